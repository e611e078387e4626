// Llama-shaped models with random weights, here and on the device.
#pragma once

#include "gpu_check/machine.h"
#include "powerhouse/causal_lm.h"

namespace powerhouse::gpu_check {

struct ModelShape {
  std::int64_t vocabulary, hidden, layers, heads, kv_heads, intermediate;
};
inline constexpr ModelShape kTinyModel{200, 64, 2, 4, 2, 128};
/// The proxy of the benchmarks on the CPU (docs/benchmarks.md): 1.1 billion parameters.
inline constexpr ModelShape kLargeModel{32000, 2048, 16, 32, 8, 8192};

/// The same weights for a shape; `four_bit`: linear layers in NF4.
CausalLM model_here(const ModelShape& shape, Dtype dtype, bool four_bit);
CausalLM model_there(const Machine& machine, const ModelShape& shape, Dtype dtype, bool four_bit);

}  // namespace powerhouse::gpu_check
