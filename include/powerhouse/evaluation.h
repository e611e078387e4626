// Measuring a model on text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "powerhouse/causal_lm.h"
#include "powerhouse/export.h"
#include "powerhouse/session.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct PerplexityOptions {
  std::int64_t context = 512;          ///< tokens a chunk; even, at least 4
  KvType kv_type = KvType::automatic;  ///< of the cache
  std::optional<KvType> value_type{};  ///< of its values, where it is not that of keys
  /// Called after each chunk with chunks done, chunks in all and the perplexity (or mean divergence) so far.
  std::function<void(std::int64_t, std::int64_t, double)> on_progress{};
};

struct PerplexityResult {
  double perplexity = 0;               ///< exp(mean negative log-likelihood)
  double standard_error = 0;           ///< of the perplexity, first order
  double negative_log_likelihood = 0;  ///< mean, in nats
  std::int64_t tokens = 0;             ///< scored
  std::int64_t chunks = 0;
};

/// Perplexity by llama.cpp's protocol: the text is tokenized once, cut into chunks of `context` tokens (the rest is
/// dropped), each chunk's first token is replaced by BOS where the tokenizer adds one, and tokens of the second half of
/// each chunk are scored. Error{range} where the text is shorter than two chunks.
POWERHOUSE_API PerplexityResult perplexity(const CausalLM& model, const Tokenizer& tokenizer, std::string_view text,
                                           const PerplexityOptions& options = {});

/// How far a model's predictions are from another's, token by token of a text. Error bars are standard errors of means
/// over tokens.
struct DivergenceResult {
  PerplexityResult reference{};
  PerplexityResult model{};
  /// Kullback-Leibler divergence of the model's next token from the reference's, in nats: sum of p log(p / q), p the
  /// reference's.
  double mean = 0;
  double standard_error = 0;
  double median = 0;
  double percentile_99 = 0;  ///< between neighbours by a straight line
  double maximum = 0;
  double same_top = 0;  ///< share of tokens whose most probable next token is the same
  double same_top_error = 0;
  /// Mean of the log-likelihood that is lost: log of the perplexities' ratio. Its error is far smaller than that of
  /// either perplexity, for both are of the same tokens.
  double log_perplexity_ratio = 0;
  double log_perplexity_ratio_error = 0;
};

/// Both models over the chunks of `perplexity`, side by side, so that no more than 256 rows of logits of each are held.
/// The options' cache types are the model's; the reference has its own. Loaded with exact numerics, quantized weights
/// alone make the difference. Error{unsupported} for models whose logits are not of the same number of tokens; whether
/// they are the same tokens is the caller's affair (`compare` looks).
POWERHOUSE_API DivergenceResult divergence(const CausalLM& reference, const CausalLM& model, const Tokenizer& tokenizer,
                                           std::string_view text, const PerplexityOptions& options = {});

}  // namespace powerhouse
