#include "generation/continuation.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse {

Continuation::Continuation(const ModelConfig& config, const Tokenizer& tokenizer, std::vector<std::int64_t> history,
                           std::int64_t prompt_tokens, std::int64_t room, const GenerationOptions& options)
    : options_(options),
      ends_(end_ids(config, tokenizer, options)),
      output_(tokenizer, options),
      matcher_(matcher_of(options, ends_)),
      history_(std::move(history)),
      prompt_length_(std::ssize(history_)),
      limit_(std::min(options.max_new_tokens, room)),
      result_{.prompt_tokens = prompt_tokens, .seed = options.seed ? *options.seed : system_seed()} {}

bool Continuation::wants_more() {
  if (ended_ || made() >= limit_) return false;
  if (options_.cancel.stop_requested()) end(FinishReason::cancelled);
  return !ended_;
}

bool Continuation::take(std::int64_t id) {
  result_.ids.push_back(id);
  history_.push_back(id);
  if (made() == 1) {
    result_.first_token_seconds = seconds_since(begin_);
    first_token_ = Clock::now();
  }
  if (ends_.contains(id)) {
    end(FinishReason::eos);
    return false;
  }
  output_.add(id);
  if (matcher_) matcher_->accept(id);
  if (output_.stopped() || (matcher_ && matcher_->is_finished())) end(FinishReason::stop);
  if (ended_ || made() >= limit_) return false;
  if (options_.max_time && seconds_since(begin_) >= *options_.max_time) end(FinishReason::time);
  return wants_more();
}

GenerationResult Continuation::finish() {
  output_.finish();
  if (output_.stopped()) result_.finish_reason = FinishReason::stop;
  result_.generation_seconds = result_.ids.empty() ? 0 : seconds_since(first_token_);
  result_.text = output_.take();
  return std::move(result_);
}

void check_prompt(std::span<const std::int64_t> ids) {
  if (!ids.empty()) return;
  throw Error(ErrorKind::usage, "there is nothing to continue: the prompt has no tokens", {.field = "prompt"});
}

std::vector<std::int64_t> history_of(const Session& session, SequenceId sequence, std::span<const std::int64_t> ids) {
  const auto past = session.tokens(sequence);
  std::vector<std::int64_t> history(past.begin(), past.end());
  history.insert(history.end(), ids.begin(), ids.end());
  return history;
}

std::int64_t room_behind(const Session& session, SequenceId sequence, std::span<const std::int64_t> ids) {
  return session.room(sequence) - std::ssize(ids) + 1;
}

std::int64_t guided_room_behind(const Session& session, SequenceId sequence, std::span<const std::int64_t> ids,
                                const SamplingOptions& sampling) {
  const std::int64_t room = room_behind(session, sequence, ids);
  if (sampling.guidance_scale == 1.0f) return room;
  const std::int64_t longest = session.length(sequence) + session.room(sequence);
  // Without a negative prompt its sequence begins with one token, the prompt's last.
  const std::int64_t begin = std::max<std::int64_t>(1, std::ssize(sampling.negative_prompt_ids));
  return std::min(room, longest - begin + 1);
}

at::Tensor forward_unless_cancelled(Session& session, SequenceId sequence, std::span<const std::int64_t> ids,
                                    const std::stop_token& cancel) {
  try {
    return session.forward(sequence, ids, LogitsOf::last, cancel);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    return {};
  }
}

}  // namespace powerhouse
