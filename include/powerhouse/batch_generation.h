// Several prompts at once, each with options of its own.
//
//     auto results = powerhouse::generate_batch(model, tokenizer, {{.ids = tokenizer.encode("Once upon")},
//                                                                  {.ids = tokenizer.encode("A list:"),
//                                                                   .options = {.temperature = 0.7f, .seed = 1}}});
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/generation.h"

namespace powerhouse {

struct GenerationRequest {
  std::vector<std::int64_t> ids{};  ///< the prompt, encoded with the tokenizer's special tokens
  GenerationOptions options{};      ///< all but cache_prompt
};

struct BatchOptions {
  std::int64_t max_num_seqs = 32;  ///< texts in a pass at most; others wait until one of them ends. 1 or more
  SessionOptions session{};
};

/// The texts of all requests, in their order. A pass takes a token of each text that is not over, and the prompts of
/// those that begin. Each has its own seed, stops, budgets, callback and cancellation, and is the text that `generate`
/// writes of it alone, as far as the model's numerics give a row the same bits in any batch: exact ones do, and fast
/// ones for prompts of up to 32 tokens or as long as each comes in one pass (docs/numerics.md). prompt_seconds of
/// requests that begin together are the same. Errors as `generate`, before anything runs where options are wrong.
POWERHOUSE_API std::vector<GenerationResult> generate_batch(const CausalLM& model, const Tokenizer& tokenizer,
                                                            std::span<const GenerationRequest> requests,
                                                            const BatchOptions& options = {});
POWERHOUSE_API std::vector<GenerationResult> generate_batch(const CausalLM& model, const Tokenizer& tokenizer,
                                                            std::initializer_list<GenerationRequest> requests,
                                                            const BatchOptions& options = {});

}  // namespace powerhouse
