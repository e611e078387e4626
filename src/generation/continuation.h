// What a generation has made so far: takes token after token until one ends it, and tells the text and the times.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_set>
#include <vector>

#include "generation/stopping.h"
#include "generation/text_output.h"
#include "powerhouse/generation.h"
#include "support/seconds_since.h"

namespace powerhouse {

class Continuation {
 public:
  /// Begins to count time. `history` ends with the prompt, of `prompt_tokens`; `room` is how many tokens may follow.
  /// Must not outlive the options.
  Continuation(const ModelConfig& config, const Tokenizer& tokenizer, std::vector<std::int64_t> history,
               std::int64_t prompt_tokens, std::int64_t room, const GenerationOptions& options);

  /// The prompt has been computed.
  void prefilled() { result_.prompt_seconds = seconds_since(begin_); }
  void reused(std::int64_t tokens) { result_.reused_tokens = tokens; }
  /// Whether another token is wanted; false also where `cancel` has been requested.
  bool wants_more();
  /// Adds a token. Whether the text goes on behind it.
  bool take(std::int64_t id);
  /// What else could have been the token that is taken next.
  void chose(TokenChoice choice) { result_.choices.push_back(std::move(choice)); }
  void cancelled() { end(FinishReason::cancelled); }

  /// Prompt and tokens so far.
  const std::vector<std::int64_t>& history() const { return history_; }
  LogitsContext context() const { return {.ids = history_, .prompt_length = prompt_length_, .seed = result_.seed}; }
  /// Follows the text where the options have a constraint; else null.
  ConstraintMatcher* matcher() { return matcher_ ? &*matcher_ : nullptr; }
  std::int64_t made() const { return static_cast<std::int64_t>(result_.ids.size()); }
  std::int64_t limit() const { return limit_; }
  std::int64_t left() const { return limit_ - made(); }
  std::uint64_t seed() const { return result_.seed; }
  GenerationResult finish();

 private:
  using Clock = std::chrono::steady_clock;
  void end(FinishReason reason) {
    ended_ = true;
    result_.finish_reason = reason;
  }

  const GenerationOptions& options_;
  std::unordered_set<std::int64_t> ends_;
  TextOutput output_;
  std::optional<ConstraintMatcher> matcher_;
  std::vector<std::int64_t> history_;
  std::int64_t prompt_length_ = 0, limit_ = 0;
  GenerationResult result_;
  Clock::time_point begin_ = Clock::now(), first_token_ = begin_;
  bool ended_ = false;
};

/// Error{usage} where the prompt has no tokens.
void check_prompt(std::span<const std::int64_t> ids);

/// What a sequence holds, and `ids` behind it.
std::vector<std::int64_t> history_of(const Session& session, SequenceId sequence, std::span<const std::int64_t> ids);
/// Tokens that may follow `ids` on a sequence: until the model's context is full, and the last need not be computed on.
std::int64_t room_behind(const Session& session, SequenceId sequence, std::span<const std::int64_t> ids);
/// The same for a text that `sampling` may guide: also until the context of its negative prompt is full.
std::int64_t guided_room_behind(const Session& session, SequenceId sequence, std::span<const std::int64_t> ids,
                                const SamplingOptions& sampling);

/// Logits behind a prompt; undefined where `cancel` came first.
at::Tensor forward_unless_cancelled(Session& session, SequenceId sequence, std::span<const std::int64_t> ids,
                                    const std::stop_token& cancel);

}  // namespace powerhouse
