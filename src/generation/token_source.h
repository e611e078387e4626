// Tokens of one sequence, chosen from its logits, or on its device where nothing else has to see them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>

#include "generation/row_chooser.h"
#include "powerhouse/generation.h"
#include "powerhouse/session.h"

namespace powerhouse {

class TokenSource {
 public:
  /// Of `text`, behind its prompt. Must not outlive session, tokenizer and options.
  TokenSource(Session& session, SequenceId sequence, const Tokenizer& tokenizer, const GenerationOptions& options,
              const Continuation& text);
  ~TokenSource();
  TokenSource(const TokenSource&) = delete;
  TokenSource& operator=(const TokenSource&) = delete;

  /// Computes what the token at `place` behind the prompt is chosen from. False where `cancel` came first.
  bool append(std::span<const std::int64_t> ids, std::size_t place, const std::stop_token& cancel);
  /// The token that `text` goes on with; the caller takes it.
  std::int64_t choose(Continuation& text);

 private:
  void forward(std::span<const std::int64_t> ids, const std::stop_token& cancel);

  Session& session_;
  SequenceId sequence_;
  const GenerationOptions& options_;
  std::uint64_t seed_;
  bool draws_;
  RowChooser chooser_;
  std::optional<SequenceId> negative_{};  // of guidance
  at::Tensor logits_{};                   // a row; of guidance a second one
  std::int64_t drawn_ = -1;
};

}  // namespace powerhouse
