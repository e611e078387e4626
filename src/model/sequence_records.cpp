#include "model/sequence_records.h"

#include "ops/rope.h"

namespace powerhouse {

SequenceRecords::SequenceRecords(const ModelConfig& config) {
  for (const Block& block : config.layers) {
    if (block.position != PositionKind::rope || !ops::depends_on_length(block.rope)) continue;
    original_ = block.rope.original_max_position_embeddings;
    grows_ = block.rope.scaling == RopeScaling::dynamic;
    return;
  }
}

const SequenceRecord& SequenceRecords::at(std::int64_t sequence) const {
  static const SequenceRecord kNew;
  const auto found = records_.find(sequence);
  return found == records_.end() ? kNew : found->second;
}

std::int64_t SequenceRecords::wanted(std::int64_t sequence, std::int64_t total) const {
  if (total <= original_ || original_ == 0) return original_;
  const std::int64_t now = at(sequence).rope_length;
  if (now > original_) return now;
  return grows_ ? total : original_ + 1;
}

bool SequenceRecords::outgrown(std::int64_t sequence, std::int64_t wanted_length) const {
  if (original_ == 0) return false;
  const SequenceRecord& record = at(sequence);
  return !record.tokens.empty() && record.rope_length != wanted_length;
}

bool SequenceRecords::plausible(const SequenceRecord& record) const {
  if (original_ == 0 || record.tokens.empty()) return record.rope_length == 0;
  if (record.rope_length == original_) return static_cast<std::int64_t>(record.tokens.size()) <= original_;
  return grows_ ? record.rope_length > original_ : record.rope_length == original_ + 1;
}

void SequenceRecords::append(std::int64_t sequence, std::span<const std::int64_t> ids, std::int64_t rope_length) {
  SequenceRecord& record = records_[sequence];
  record.tokens.insert(record.tokens.end(), ids.begin(), ids.end());
  record.rope_length = rope_length;
}

void SequenceRecords::truncate(std::int64_t sequence, std::int64_t length) {
  const auto found = records_.find(sequence);
  if (found == records_.end()) return;
  SequenceRecord& record = found->second;
  if (length < static_cast<std::int64_t>(record.tokens.size())) record.tokens.resize(static_cast<std::size_t>(length));
  if (record.tokens.empty()) record.rope_length = 0;
}

}  // namespace powerhouse
