#include "model/rope_regime.h"

#include "ops/rope.h"

namespace powerhouse {

RopeRegimes::RopeRegimes(const ModelConfig& config) {
  for (const Block& block : config.layers) {
    if (block.position != PositionKind::rope || !ops::depends_on_length(block.rope)) continue;
    original_ = block.rope.original_max_position_embeddings;
    grows_ = block.rope.scaling == RopeScaling::dynamic;
    return;
  }
}

const RopeRegimes::State& RopeRegimes::at(std::int64_t sequence) const {
  static const State kNew;
  const auto found = sequences_.find(sequence);
  return found == sequences_.end() ? kNew : found->second;
}

std::int64_t RopeRegimes::wanted(std::int64_t sequence, std::int64_t total) const {
  if (total <= original_) return original_;
  const std::int64_t now = at(sequence).rope_length;
  if (now > original_) return now;
  return grows_ ? total : original_ + 1;
}

bool RopeRegimes::outgrown(std::int64_t sequence, std::int64_t wanted_length) const {
  const State& state = at(sequence);
  return !state.tokens.empty() && state.rope_length != wanted_length;
}

void RopeRegimes::append(std::int64_t sequence, std::span<const std::int64_t> ids, std::int64_t rope_length) {
  State& state = sequences_[sequence];
  state.tokens.insert(state.tokens.end(), ids.begin(), ids.end());
  state.rope_length = rope_length;
}

void RopeRegimes::truncate(std::int64_t sequence, std::int64_t length) {
  State& state = sequences_[sequence];
  if (length < static_cast<std::int64_t>(state.tokens.size())) state.tokens.resize(static_cast<std::size_t>(length));
  if (state.tokens.empty()) state.rope_length = 0;
}

}  // namespace powerhouse
