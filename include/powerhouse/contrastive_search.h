// Contrastive search (Su et al. 2022, "A Contrastive Framework for Neural Text Generation", arXiv 2202.06417): of the
// most probable tokens, the one that is probable and says least what the text says already.
//
//     auto result = powerhouse::contrastive_search(model, tokenizer, "DeepMind Company is",
//                                                  {.penalty_alpha = 0.6f, .top_k = 4});
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "powerhouse/export.h"
#include "powerhouse/generation.h"

namespace powerhouse {

/// Names are transformers'.
struct ContrastiveSearchOptions {
  /// A token's score is (1 - alpha) p - alpha max cos(h, h'): p its probability, h the last layer's hidden state at it,
  /// h' that at any token before. In [0, 1]; 0 is greedy.
  float penalty_alpha = 0.6f;
  std::int64_t top_k = 4;  ///< candidates, which cost a row of a pass each; 1 to 1024; 1 is greedy
  /// Everything else, generation.constraint too. Penalties, rules and processors work on logits before p is taken.
  /// Error{usage}: what samples (temperature, top_k and all other samplers, an order of them), cache_prompt,
  /// guidance_scale, max_time, thinking, top_log_probs.
  GenerationOptions generation{};
};

/// Options outside their bounds are Error{usage} naming the field; otherwise as `generate`.
POWERHOUSE_API GenerationResult contrastive_search(const CausalLM& model, const Tokenizer& tokenizer,
                                                   std::string_view prompt,
                                                   const ContrastiveSearchOptions& options = {});
/// Ids, and a session's cache: a sequence of its own that ends with the search.
POWERHOUSE_API GenerationResult contrastive_search(Session& session, const Tokenizer& tokenizer,
                                                   std::span<const std::int64_t> ids,
                                                   const ContrastiveSearchOptions& options = {});

}  // namespace powerhouse
