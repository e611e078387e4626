// Weights of bitsandbytes' blocks as the tensors and the words of config.json that it and transformers read.
#pragma once

#include <vector>

#include "formats/safetensors.h"
#include "model/causal_lm_impl.h"
#include "support/json.h"

namespace powerhouse {

/// Adds `weight`'s codes and what stands beside them (formats/bitsandbytes.h), scales in float32, so that nothing is
/// quantized again; false where it is of other numbers. `type` is the one that its values had.
bool add_bitsandbytes(std::vector<TensorSource>& sources, const Weight& weight, const Assembly& assembly,
                      at::ScalarType type);

/// `quantization_config` for a model with such weights; null for others. Error{unsupported} for several types in one.
Json bitsandbytes_config(const Model& model);

}  // namespace powerhouse
