// The arguments of products of few rows with dense weights or blocks, as a step of decoding makes them.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"
#include "kernels/cpu/elementwise_params.h"

namespace powerhouse::cuda {

inline constexpr std::int64_t kMostFewRows = 16;
inline constexpr int kFewRowsParts = 3;

/// One of the maps that read the same rows. All pointers begin on 16 bytes, rows of the weight one behind the other.
struct FewRowsPart {
  const void* weight = nullptr;  ///< [outputs, inputs]
  const void* bias = nullptr;    ///< [outputs]; null: none
  void* y = nullptr;             ///< [rows, outputs]
  std::int64_t outputs = 0;
  std::int64_t y_stride = 0;  ///< elements
};

/// y = residual + (norm(x) W^T + bias) of each part, or activation(gate) * up of two. Sums are float32; what comes
/// between the three (the normed row, the product, gate and up) is rounded to the type, as if each were a launch of its
/// own. A row's bits depend on nothing but the row and the weights.
struct FewRowsParams {
  Element type = Element::bf16;  ///< of x, weights, biases and residual: bf16 or f16
  bool blocks = false;           ///< weights are blocks of one format, not elements, and begin on 32 bytes
  BlockFormat format = BlockFormat::q4_0;
  bool to_float = false;    ///< y is float32, rounded just once; without residual and gate
  const void* x = nullptr;  ///< [rows, inputs]
  std::int64_t x_stride = 0;
  std::int64_t rows = 0;    ///< at most kMostFewRows
  std::int64_t inputs = 0;  ///< a multiple of 8, as are strides
  FewRowsPart parts[kFewRowsParts]{};
  int count = 1;

  // RMSNorm of x in front, as cpu::RmsNormParams has it.
  bool normed = false;
  const void* norm_weight = nullptr;  ///< [inputs]; null: none
  float epsilon = 0;
  bool unit_offset = false;
  bool round_once = false;

  const void* residual = nullptr;  ///< [rows, outputs] of the one part; null: none. May be y
  std::int64_t residual_stride = 0;

  /// The parts are gate and up, of as many outputs, behind a norm; y is the first's.
  bool gated = false;
  cpu::ActivationKind kind = cpu::ActivationKind::silu;

  /// Whether weights may be read while the launch before this one still runs: nothing queued may still write them.
  bool early = false;
  int multiprocessors = 1;      ///< of the device; no bit follows from it
  int shared_bytes = 99 << 10;  ///< that a block of it can have
};

}  // namespace powerhouse::cuda
