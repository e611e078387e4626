// What the tensors of a LoRA adapter begin with.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "adapters/adapter.h"

namespace powerhouse {

/// float32 tensors that are functions of (seed, lane) alone.
at::Tensor uniform_tensor(at::IntArrayRef sizes, double bound, std::uint64_t seed, std::uint32_t lane);
at::Tensor normal_tensor(at::IntArrayRef sizes, double deviation, std::uint64_t seed, std::uint32_t lane);

/// Error{unsupported} for a name that is not built, Error{usage} for options that exclude each other.
void check_init(const LoraConfig& config);

/// Fills a, b, bias and the rest of a module that knows its rank and scale. `lane` tells modules apart.
void init_lora(LoraModule& module, const Model& model, const LoraConfig& config, std::uint32_t lane, Start start);

/// DoRA's magnitudes: |W + scale B A| of each output.
at::Tensor dora_magnitude(const LoraModule& module, const Model& model);

}  // namespace powerhouse
