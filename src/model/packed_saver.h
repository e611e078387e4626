// Weights of packings as the tensors and the words of config.json that they came from.
#pragma once

#include <vector>

#include "formats/safetensors.h"
#include "model/causal_lm_impl.h"

namespace powerhouse {

/// What `model` has to remember of a checkpoint's packed weights.
PackedOrigin packed_origin(const Checkpoint& checkpoint);

/// Adds the tensors that `weight`'s rows are made of, as they are in the file (zeros that were put right as such);
/// false where its rows are its own.
bool add_packed(std::vector<TensorSource>& sources, const Weight& weight, const Assembly& assembly);

/// `quantization_config` for a model with such weights; null for others. Modules that have become dense since (by
/// merging) are named in it as not quantized. Error{unsupported} where the method has no word for that.
Json packed_config(const Model& model);

}  // namespace powerhouse
