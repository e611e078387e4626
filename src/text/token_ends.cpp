#include "text/token_ends.h"

#include <algorithm>

#include "text/tokenizer_impl.h"

namespace powerhouse {

TokenEnds token_ends(const Tokenizer& tokenizer, std::span<const std::int64_t> ids) {
  const Tokenizer::Impl& impl = tokenizer.impl();
  DecoderState state = impl.decoder.start(true);
  const auto holds = [&] {
    return std::any_of(state.steps.begin(), state.steps.end(), [](const StepState& s) { return !s.held.empty(); }) ||
           std::any_of(state.whole.begin(), state.whole.end(), [](const std::string& s) { return !s.empty(); });
  };
  TokenEnds out;
  out.ends.reserve(ids.size());
  for (const std::int64_t id : ids) {
    impl.decode_token(id, state);
    out.ends.push_back(holds() ? -1 : static_cast<std::int64_t>(state.out.size()));
  }
  impl.decoder.finish(state);
  out.text = std::move(state.out);
  if (!out.ends.empty()) out.ends.back() = static_cast<std::int64_t>(out.text.size());
  return out;
}

}  // namespace powerhouse
