// Weights of GPTQ and AWQ on the device: one layout of our own, into which both files' layouts are repacked at load.
//
// Both formats are the same numbers, scale * (code - zero) with a scale and a zero a group of inputs and output, and
// differ in the order of codes only. Repacked, a lane's codes of a step of the tensor cores are one word, 16 bytes are
// four steps, and act-order is an order of the columns of x: so one kernel serves GPTQ, AWQ and every number of rows.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cuda {

/// A repacked weight [outputs, inputs]. Codes of 2 and 3 bits are kept in 4.
///
/// Outputs come in strips of 32, the last one filled up with zeros; a strip's codes lie one after another along inputs,
/// in tiles of 512 bytes (repack.cuh says their order), its levels after another along groups.
struct RepackedWeight {
  const void* codes = nullptr;            ///< repacked_code_bytes(...), begins on 16 bytes
  const std::uint32_t* levels = nullptr;  ///< [strips, groups, 32]: scale (fp16) in the low half, zero (int16) above it
  const std::int32_t* order = nullptr;    ///< [inputs]: the column of x that each one meets, on 16 bytes; null: its own
  std::int64_t inputs = 0;                ///< a multiple of 32
  std::int64_t outputs = 0;
  std::int64_t group = 0;  ///< inputs that share a scale: a multiple of 32, at most `inputs`
  int bits = 4;            ///< 4 or 8
};

inline constexpr int kStripOutputs = 32;

inline constexpr std::int64_t repacked_strips(std::int64_t outputs) {
  return (outputs + kStripOutputs - 1) / kStripOutputs;
}
inline constexpr std::int64_t repacked_groups(std::int64_t inputs, std::int64_t group) {
  return (inputs + group - 1) / group;
}
inline constexpr std::int64_t repacked_code_bytes(std::int64_t outputs, std::int64_t inputs, int bits) {
  return repacked_strips(outputs) * kStripOutputs * ((inputs + 63) / 64 * 64) * bits / 8;
}
inline constexpr std::int64_t repacked_level_bytes(std::int64_t outputs, std::int64_t inputs, std::int64_t group) {
  return repacked_strips(outputs) * repacked_groups(inputs, group) * kStripOutputs * 4;
}

/// How a file holds a weight.
enum class PackedLayout : std::uint8_t {
  gptq,  ///< qweight int32 [inputs * bits / 32, outputs], codes along inputs; qzeros [groups, outputs * bits / 32]
  awq,   ///< "GEMM", 4 bits: qweight int32 [inputs, outputs / 8], nibbles of outputs 0 2 4 6 1 3 5 7; qzeros alike
};

/// From a file's layout, in the device's memory, to ours. Inputs are a multiple of 32, outputs of 32 / bits (of 32 with
/// 3 bits), as the formats have it.
struct RepackParams {
  PackedLayout layout = PackedLayout::gptq;
  const std::int32_t* qweight = nullptr;
  const std::int32_t* qzeros = nullptr;
  const void* scales = nullptr;         ///< fp16 [groups, outputs]
  const std::int32_t* order = nullptr;  ///< [inputs]: the row of qweight that becomes each column; null: its own
  std::int64_t inputs = 0, outputs = 0, group = 0;
  int bits = 4;           ///< of the file: 2, 3, 4 or 8; awq: 4
  int zero_offset = 0;    ///< added to stored zeros: 1 for GPTQ's "gptq", 0 for "gptq_v2" and AWQ
  void* codes = nullptr;  ///< as in RepackedWeight, whose `bits` are 8 for 8 and 4 for less
  std::uint32_t* levels = nullptr;
};

/// y = x weight^T + bias: codes minus zeros are exact, sums are float32, scaled a group at a time and rounded once.
struct RepackedProductParams {
  RepackedWeight weight{};
  Element type = Element::bf16;  ///< of x, bias and y: bf16 or f16
  const void* x = nullptr;       ///< [rows, inputs], it and its rows begin on 16 bytes
  const void* bias = nullptr;    ///< [outputs], or null: 0
  void* y = nullptr;             ///< [rows, outputs]
  std::int64_t rows = 0;         ///< at most kMostTiledRows of product_plan.h
  std::int64_t x_stride = 0;
  std::int64_t y_stride = 0;
  float* workspace = nullptr;  ///< workspace_floats(...) of product_plan.h; begins on 16 bytes
  int multiprocessors = 108;   ///< of the device
};

/// The weight as numbers [outputs, inputs], in the order of x's own columns: for products of very many rows.
struct RepackedDequantizeParams {
  RepackedWeight weight{};
  Element type = Element::bf16;
  void* destination = nullptr;  ///< [outputs, inputs], begins on 16 bytes
};

}  // namespace powerhouse::cuda
