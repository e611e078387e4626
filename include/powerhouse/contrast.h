// Decoding by contrast: what a text's context, a larger model or the last layers add is amplified, by subtracting the
// scores of a run that lacks it (docs/contrast.md).
//
//     auto result = powerhouse::generate_context_aware(model, tokenizer, ids_with_context, ids_without, {.alpha =
//     0.5f});
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/generation.h"
#include "powerhouse/tensor.h"

namespace powerhouse {

/// Context-aware decoding (Shi et al. 2023, arXiv 2305.14739).
struct ContextAwareOptions {
  float alpha = 0.5f;  ///< 0 is plain decoding with the context; 0 or more
};

/// (1 + alpha) * logit(y | context, x) - alpha * logit(y | x), in place of the first row.
POWERHOUSE_API void context_aware_logits(std::span<float> with_context, std::span<const float> without,
                                         const ContextAwareOptions& options = {});

/// Continues a prompt that holds a context, against the same prompt without it. Both are computed in one pass. Options
/// apply to the contrasted logits, penalties count tokens of the prompt with its context.
POWERHOUSE_API GenerationResult generate_context_aware(const CausalLM& model, const Tokenizer& tokenizer,
                                                       std::span<const std::int64_t> with_context,
                                                       std::span<const std::int64_t> without,
                                                       const ContextAwareOptions& contrast = {},
                                                       const GenerationOptions& options = {});

/// Contrastive decoding (Li et al. 2023, arXiv 2210.15097).
struct ContrastiveDecodingOptions {
  float alpha = 0.1f;  ///< tokens below alpha times the expert's best probability are forbidden; in (0, 1]
  float tau = 1.0f;    ///< weight of the amateur's log-probability; 0 or more
  float amateur_temperature = 1.0f;  ///< its logits are divided by it; above 0
};

/// log p_expert - tau * log p_amateur where p_expert >= alpha * max p_expert, -infinity elsewhere; in place of the
/// first row.
POWERHOUSE_API void contrastive_logits(std::span<float> expert, std::span<const float> amateur,
                                       const ContrastiveDecodingOptions& options = {});

/// A model that is right more seldom, of the same vocabulary.
struct Amateur {
  const CausalLM& model;
  const Tokenizer& tokenizer;
};

/// Rows that fill up one of the heads alone stand for no token, and are never chosen. Error{unsupported} for an amateur
/// of another vocabulary.
POWERHOUSE_API GenerationResult generate_contrastive(const CausalLM& expert, const Tokenizer& tokenizer,
                                                     const Amateur& amateur, std::span<const std::int64_t> ids,
                                                     const ContrastiveDecodingOptions& contrast = {},
                                                     const GenerationOptions& options = {});

/// How far an early layer's distribution q is from the last one's p, with m = (p + q) / 2.
enum class LayerDivergence {
  reversed,        ///< (KL(m | p) + KL(m | q)) / 2: what the authors' program and transformers compute
  jensen_shannon,  ///< (KL(p | m) + KL(q | m)) / 2: what the paper says
};

/// DoLa, decoding by contrasting layers (Chuang et al. 2024, arXiv 2309.03883), as transformers had it. A
/// repetition_penalty of 1.2 is what the authors advise.
struct DolaOptions {
  /// Candidates for the premature layer, 0 being the embeddings: the one farthest from the last layer is chosen for
  /// each token; a single one is static DoLa. See dola_layers.
  std::vector<std::int64_t> layers{};
  float relative_top = 0.1f;  ///< tokens below this share of the last layer's best probability are forbidden; in (0, 1]
  LayerDivergence divergence = LayerDivergence::reversed;
};

/// Every second layer of the lower or the upper half (of more than 40 layers: the first or last 20), as transformers'
/// dola_layers "low" and "high"; the embeddings are left out where the head is tied to them. Error{usage} for another
/// word.
POWERHOUSE_API std::vector<std::int64_t> dola_layers(const ModelConfig& config, std::string_view half);

/// `rows` is float32 [early + 1, vocabulary]: logits of early layers, and behind them the last one's (PassOptions).
/// Returns [vocabulary]: log p_last - log p_premature, -infinity where forbidden; `premature`, where not null, is told
/// which of the early rows was farthest. Where `allowed` is not empty it has a bit for each token (as
/// ConstraintMatcher::allowed): the others are forbidden, and the best probability is that of these.
POWERHOUSE_API at::Tensor dola_logits(const at::Tensor& rows, const DolaOptions& options,
                                      std::int64_t* premature = nullptr, std::span<const std::uint64_t> allowed = {});

struct DolaResult {
  GenerationResult generation{};
  std::vector<std::int64_t> premature_layers{};  ///< of each token
};

POWERHOUSE_API DolaResult generate_dola(const CausalLM& model, const Tokenizer& tokenizer,
                                        std::span<const std::int64_t> ids, const DolaOptions& contrast,
                                        const GenerationOptions& options = {});

/// What a context changes about a token of an answer.
struct ContextEffect {
  std::int64_t id = 0;
  double with_context = 0;  ///< log-probability
  double without = 0;     ///< of the same token behind the prompt without context and the same beginning of the answer
  double divergence = 0;  ///< Jensen-Shannon, of the two distributions; in [0, log 2]
};

/// Does a model follow its context or its weights? Greedy answers with the context, without it, and context-aware.
struct ConflictReport {
  GenerationResult with_context{}, without{}, context_aware{};
  std::vector<ContextEffect> effects{};  ///< of each token of `with_context`
  /// The answers begin with different tokens.
  bool conflict = false;
  /// What the context adds to the answer's log-probability.
  POWERHOUSE_API double context_gain() const;
};

/// `options` are those of the answers; Error{usage} for a temperature other than 0.
POWERHOUSE_API ConflictReport knowledge_conflict(const CausalLM& model, const Tokenizer& tokenizer,
                                                 std::span<const std::int64_t> with_context,
                                                 std::span<const std::int64_t> without,
                                                 const ContextAwareOptions& contrast = {},
                                                 const GenerationOptions& options = {});

}  // namespace powerhouse
