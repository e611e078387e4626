// Measuring a model on text.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "powerhouse/causal_lm.h"
#include "powerhouse/export.h"
#include "powerhouse/session.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct PerplexityOptions {
  std::int64_t context = 512;          ///< tokens a chunk; even, at least 4
  KvType kv_type = KvType::automatic;  ///< of the cache
  /// Called after each chunk with chunks done, chunks in all and the perplexity so far.
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

}  // namespace powerhouse
