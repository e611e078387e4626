// Tokens of one sequence, chosen from its logits, or on its device where nothing else has to see them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>

#include "generation/sampling_chain.h"
#include "powerhouse/generation.h"
#include "powerhouse/session.h"

namespace powerhouse {

/// A token and the `count` best in its place, by a row of logits.
TokenChoice choice_of(std::span<const float> logits, std::int64_t id, std::int64_t count);

class TokenSource {
 public:
  /// Must not outlive session and options.
  TokenSource(Session& session, SequenceId sequence, const GenerationOptions& options, const ChainSetting& setting,
              std::uint64_t seed);
  ~TokenSource();
  TokenSource(const TokenSource&) = delete;
  TokenSource& operator=(const TokenSource&) = delete;

  /// Computes what the token at `place` behind the prompt is chosen from. False where `cancel` came first.
  bool append(std::span<const std::int64_t> ids, std::size_t place, const std::stop_token& cancel);
  /// The token behind `context`, whose seed is the source's; `matcher` follows the text's constraint, if there is one.
  std::int64_t choose(LogitsContext context, ConstraintMatcher* matcher);
  /// With top_log_probs, of a token in the place that was chosen last.
  TokenChoice choice(std::int64_t id) const { return choice_of(own_, id, *options_.top_log_probs); }

 private:
  void forward(std::span<const std::int64_t> ids, const std::stop_token& cancel);

  Session& session_;
  SequenceId sequence_;
  const GenerationOptions& options_;
  std::uint64_t seed_;
  bool draws_;
  SamplingChain chain_;
  std::optional<SequenceId> negative_{};  // of guidance
  at::Tensor logits_{};                   // a row; of guidance a second one
  std::vector<float> own_{};              // the model's, before processors, with top_log_probs
  std::int64_t drawn_ = -1;
};

}  // namespace powerhouse
