// What a machine allows at best: the limits that `benchmark` holds speeds against.
#pragma once

#include <ATen/core/Tensor.h>
#include <powerhouse/powerhouse.h>

#include <cstddef>
#include <cstdint>

namespace cli {

/// Bytes a second that all threads together sum, read-only.
struct Bandwidth {
  double model = 0;    ///< from a buffer of the model's size, at most 2 GiB: caches help as they may help the model
  double two_gib = 0;  ///< from one that no cache holds
};

/// The best of several passes. Touches 2 GiB of memory, and gives them back. Error{memory}.
Bandwidth measure_bandwidth(std::size_t model_bytes, int threads);

/// Bytes of keys and values that a token reads `length` tokens into its sequence: a layer with a window reads no more
/// than that.
double cache_bytes_read(const powerhouse::ModelConfig& config, std::size_t bytes_per_token, double length);

/// Seconds that the model's matrix products take by themselves for a prefill of `rows` tokens with the logits of the
/// last: LibTorch's products of the same shapes, in bf16 or float32, whichever is faster; matrices that read the same
/// rows count as one. `like` is any CPU tensor.
double gemm_seconds(const powerhouse::ModelConfig& config, std::int64_t rows, const at::Tensor& like);

}  // namespace cli
