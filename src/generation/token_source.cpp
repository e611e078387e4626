#include "generation/token_source.h"

#include "powerhouse/error.h"

namespace powerhouse {

TokenSource::TokenSource(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                         const GenerationOptions& options, const Continuation& text)
    : session_(session),
      sequence_(sequence),
      options_(options),
      seed_(text.seed()),
      draws_(session.can_draw() && draws_by_warpers_alone(options) && !options.top_log_probs),
      chooser_(tokenizer, options, session.model().config(), text) {
  if (options.sampling.guidance_scale != 1.0f) negative_ = session.create();
}

TokenSource::~TokenSource() {
  if (negative_) session_.remove(*negative_);
}

void TokenSource::forward(std::span<const std::int64_t> ids, const std::stop_token& cancel) {
  if (!negative_) {
    logits_ = session_.forward(sequence_, ids, LogitsOf::last, cancel);
    return;
  }
  // The sequence without the prompt begins with the negative one, or as transformers has it with the last token.
  const auto& prompt = options_.sampling.negative_prompt_ids;
  const bool begins = session_.length(*negative_) == 0;
  const SequenceInput both[] = {
      {sequence_, ids}, {*negative_, begins && !prompt.empty() ? std::span<const std::int64_t>(prompt) : ids.last(1)}};
  logits_ = session_.forward(both, cancel);
}

bool TokenSource::append(std::span<const std::int64_t> ids, std::size_t place, const std::stop_token& cancel) {
  try {
    if (draws_) {
      const SequenceInput input{sequence_, ids};
      const TokenDraw draw{.temperature = options_.temperature,
                           .top_k = options_.top_k,
                           .top_p = options_.top_p,
                           .min_p = options_.min_p,
                           .seed = seed_,
                           .counter = place};
      drawn_ = session_.draw({&input, 1}, {&draw, 1}, cancel).front();
    } else {
      forward(ids, cancel);
    }
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    return false;
  }
}

std::int64_t TokenSource::choose(Continuation& text) {
  if (draws_) return chooser_.settle(drawn_);
  logits_ = logits_.contiguous();
  const auto size = static_cast<std::size_t>(logits_.size(-1));
  auto* const row = logits_.data_ptr<float>();
  const std::span<const float> negative(row + size, negative_ ? size : 0);
  return chooser_.choose(text, {row, size}, negative);
}

}  // namespace powerhouse
