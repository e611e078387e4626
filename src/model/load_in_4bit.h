// Quantizing a checkpoint's linear layers while it loads, as transformers does with a BitsAndBytesConfig.
#pragma once

#include "model/weights.h"
#include "powerhouse/causal_lm.h"

namespace powerhouse {

/// The matrices of linear layers become NF4 or FP4 in memory, one after the other: bitsandbytes' codes of their values
/// in `type`. The head, embeddings, norms, routers and experts' tensors stay, and modules that `skip_modules` names.
/// Error{unsupported} for rows that are no multiple of 64.
void load_in_4bit(DecoderWeights& weights, const BitsAndBytesConfig& config, at::ScalarType type);

/// Throws Error{usage} for a type that is neither nf4 nor fp4.
void check(const BitsAndBytesConfig& config);

}  // namespace powerhouse
