// The arguments of low-rank terms of several adapters in one batch.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cuda {

/// y[row] += scales[a] * B[a] (A[a] x[row]) with a = adapters[row] (Punica's BGMV, Chen et al. 2023; runs of rows with
/// one adapter share what is read of it). A x is kept in float32 between the two launches; y is rounded once. A row's
/// bits do not depend on the others.
struct LoraGatherParams {
  Element type = Element::bf16;             ///< of x and y
  Element weight_type = Element::bf16;      ///< of A and B
  const void* x = nullptr;                  ///< [rows, inputs]
  void* y = nullptr;                        ///< [rows, outputs]
  std::int64_t x_stride = 0, y_stride = 0;  ///< elements
  const std::int32_t* adapters = nullptr;   ///< [rows], below 0: none
  // By adapter, all on the device:
  const void* const* a = nullptr;       ///< [rank, inputs], contiguous
  const void* const* b = nullptr;       ///< [outputs, rank], contiguous
  const std::int32_t* ranks = nullptr;  ///< at most most_rank; 0: no term
  const float* scales = nullptr;
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  int most_rank = 0;
  float* workspace = nullptr;  ///< [rows, most_rank]
  /// Whether all pointers begin on 16 bytes, and inputs and strides are multiples of 8: elsewhere elements
  /// go one by one. Of B so do those of ranks that are no multiple of 8.
  bool aligned = false;
};

}  // namespace powerhouse::cuda
