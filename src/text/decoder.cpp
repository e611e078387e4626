#include "text/decoder.h"

#include <limits>

#include "powerhouse/error.h"
#include "text/decoder_steps.h"
#include "text/unicode.h"

namespace powerhouse {

DecoderChain DecoderChain::byte_level() {
  DecoderChain decoder;
  decoder.append(std::make_unique<BytesStep>());
  return decoder;
}

void DecoderChain::append(std::unique_ptr<const DecoderStep> step) {
  if (joined_at_ == std::numeric_limits<std::size_t>::max() && step->joins()) joined_at_ = steps_.size();
  steps_.push_back(std::move(step));
}

DecoderState DecoderChain::start(bool stream) const {
  DecoderState state;
  state.budget = std::size_t{1} << 16;
  state.steps.resize(steps_.size());
  state.whole.resize(steps_.size());
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    // What is shown at once may be cut into tokens otherwise: only where the next step does not count them.
    state.steps[i].eager = stream && (i + 1 == steps_.size() || i + 1 >= joined_at_);
  }
  return state;
}

void DecoderChain::take(std::string_view token, bool verbatim, DecoderState& state) const {
  state.budget += 256 * token.size() + (std::size_t{1} << 16);
  run(0, token, verbatim, state);
}

void DecoderChain::run(std::size_t step, std::string_view token, bool verbatim, DecoderState& state) const {
  if (token.size() >= state.budget)
    throw Error(ErrorKind::range, "a decoder makes a text too large", {.field = "decoder"});
  state.budget -= token.size();
  if (step == steps_.size()) {
    state.out.append(token);
    return;
  }
  if (keeps_whole(step)) {
    state.whole[step].append(token);
    return;
  }
  StepState& own = state.steps[step];
  own.verbatim = verbatim;
  steps_[step]->take(token, own, [&](std::string_view next) { run(step + 1, next, false, state); });
  ++own.tokens;
}

void DecoderChain::finish(DecoderState& state) const {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const auto next = [&](std::string_view token) { run(i + 1, token, false, state); };
    if (keeps_whole(i)) {
      steps_[i]->take(state.whole[i], state.steps[i], next);
      ++state.steps[i].tokens;
    }
    steps_[i]->finish(state.steps[i], next);
  }
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  if (from.empty()) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = unicode::sequence_length(text[at]);
      out.append(to).append(text.substr(at, length));
      at += length;
    }
    return out.append(to);
  }
  std::size_t done = 0;
  for (std::size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) {
    out.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  return out.append(text.substr(done));
}

}  // namespace powerhouse
