// Random weights for training from scratch, as GPT-2 has them (Radford et al. 2019): normal numbers of one small
// deviation, smaller for the matrices that write into the residual stream, 2 of them a layer; norms one, biases zero.
#pragma once

#include <cstdint>

#include "model/parameters.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

/// The first value of a parameter, contiguous in the shape that Hugging Face has it in, by Philox alone: the same
/// numbers for any number of threads. `index` is the parameter's place among all.
at::Tensor initial_parameter(const ModelConfig& config, const ParameterSpec& spec, std::uint32_t index,
                             double deviation, std::uint64_t seed);

}  // namespace powerhouse
