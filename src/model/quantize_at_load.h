// Quantizing a checkpoint's linear layers while it loads, as transformers does with a BitsAndBytesConfig.
#pragma once

#include "model/weights.h"
#include "powerhouse/causal_lm.h"

namespace powerhouse {

/// Where `config` asks for it, the matrices of linear layers become NF4, FP4 or int8 in memory, one after the other:
/// bitsandbytes' codes of their values in `type`. The head, embeddings, norms, routers and experts' tensors stay, and
/// modules that `llm_int8_skip_modules` names; so do those that a folder has in codes already, but where `anew`.
/// Error{unsupported} for rows that are no multiple of 32 (int8: 64), Error{numeric} for numbers that int8 can't say.
void quantize_at_load(DecoderWeights& weights, const BitsAndBytesConfig& config, at::ScalarType type,
                      bool anew = false);

/// Throws Error{usage} for a type that is neither nf4 nor fp4, and for 4 and 8 bits at once.
void check(const BitsAndBytesConfig& config);

}  // namespace powerhouse
