// From a row of logits to the next token of a text: guidance, the chain, a thinking budget's word, and what else could
// have come. What all loops that make one text from rows do.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "generation/continuation.h"
#include "generation/sampling_chain.h"
#include "generation/thinking_budget.h"

namespace powerhouse {

class RowChooser {
 public:
  /// Must not outlive tokenizer and options.
  RowChooser(const Tokenizer& tokenizer, const GenerationOptions& options, const ModelConfig& config,
             const Continuation& text);

  /// The token that `text` goes on with; the caller takes it. May change the row. `negative` is the row that guidance
  /// leads away from, empty without guidance.
  std::int64_t choose(Continuation& text, std::span<float> row, std::span<const float> negative = {});
  /// The same where a token was chosen elsewhere, without top_log_probs: it, or the budget's.
  std::int64_t settle(std::int64_t chosen);

 private:
  const GenerationOptions& options_;
  SamplingChain chain_;
  std::optional<ThinkingBudget> thinking_{};
  std::vector<float> own_{};  // the row before guidance and processors, with top_log_probs
};

}  // namespace powerhouse
