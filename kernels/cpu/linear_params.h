// What the kernels of matrix products are told; part of kernels.h, whose rules hold here.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"
#include "kernels/common/packed.h"
#include "kernels/common/packed_bf16.h"

namespace powerhouse::cpu {

/// y[m, n] = sum_k x[m, k] * weight[n, k] + bias[n]. Work items: output features n. Any number of rows; made for 1-32.
/// Splits at multiples of kLinearGrain are fastest.
struct LinearParams {
  Element type = Element::f32;    ///< of x, weight and bias
  Element y_type = Element::f32;  ///< `type`, or f32 (logits)
  bool wide_x = false;            ///< x and y are f32 whatever the type
  const void* x = nullptr;        ///< [rows, inputs]
  const void* weight = nullptr;   ///< [outputs, inputs]
  const void* bias = nullptr;     ///< [outputs], or null
  void* y = nullptr;              ///< [rows, outputs]
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t weight_stride = 0;
  std::int64_t y_stride = 0;
};
static constexpr std::int64_t kLinearGrain = 16;

/// Rows in codes of 16 bits: each 32 elements share a scale, x = scale * code, code -32512 to 32512. Of each four
/// elements 0, 2, 1, 3 is the order of their codes: even and odd bytes of a register of weights make words.
struct QuantizedRows {
  std::int16_t* codes = nullptr;  ///< [rows, stride]
  float* scales = nullptr;        ///< [rows, stride / 32]
  float* totals = nullptr;        ///< [rows, stride / 32], of 32 elements each: scale * sum of their codes
  std::int32_t* sums = nullptr;   ///< [rows, stride / 16], of the codes of 16 elements each
  std::int64_t stride = 0;        ///< of codes; a multiple of 32

  /// The same, beginning with another row.
  QuantizedRows from(std::int64_t row) const {
    if (codes == nullptr) return *this;
    const std::int64_t at = row * stride;
    return {codes + at, scales + at / 32, totals + at / 32, sums + at / 16, stride};
  }
};

/// Quantizes rows of `size` elements, a multiple of 32: scale = max |x| / 32512, x / scale to the nearest. Where 32
/// elements hold NaN or infinity, their scale is NaN. Work items: rows.
struct QuantizeParams {
  Element type = Element::f32;
  const void* x = nullptr;  ///< [rows, size]
  std::int64_t size = 0;
  std::int64_t x_stride = 0;
  QuantizedRows out{};
};

/// y[m, n] = sum_k x[m, k] * weight[n, k] + bias[n], the weight in panels (kernels/common/packed.h). The products of 32
/// (or 16) codes are summed exactly, the scaled sums in float32. Work items: panels, of kPanelRows features each.
struct PackedLinearParams {
  const PackedLayout* layout = nullptr;
  QuantizedRows x{};
  const void* panels = nullptr;  ///< panel_bytes() apart
  const float* bias = nullptr;   ///< [outputs], or null
  float* y = nullptr;            ///< [rows, outputs]
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t y_stride = 0;
};

/// y[m, n] = sum_k x[m, k] * weight[n, k] + bias[n], bf16 weights in panels (kernels/common/packed_bf16.h). Work items:
/// panels, of kPanelRows features each.
struct Bf16LinearParams {
  const float* x = nullptr;  ///< [rows, inputs]
  Bf16Panels weight{};
  const float* bias = nullptr;  ///< [outputs], or null
  float* y = nullptr;           ///< [rows, outputs]
  std::int64_t rows = 0;
  std::int64_t inputs = 0;  ///< a multiple of kBf16Unit
  std::int64_t outputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t y_stride = 0;
};

/// y[m, n] = sum_k x[m, k] * weight[n, k] + bias[n] for many rows (some tens and more), with weights as numbers of x's
/// type: packed weights are unpacked and rounded to it on the way. Work items: panels of kPanelRows features.
struct GemmParams {
  Element x_type = Element::f32;  ///< f32, or the table's gemm_type
  const void* x = nullptr;        ///< [rows, inputs], zeros behind them up to a multiple of kGemmPad
  const PackedLayout* layout = nullptr;
  const void* weight = nullptr;        ///< panels, panel_bytes() apart; without a layout [outputs, inputs]
  Element weight_type = Element::f32;  ///< without a layout
  const Bf16Panels* bf16 = nullptr;    ///< instead of the three
  const float* bias = nullptr;         ///< [outputs], or null
  float* y = nullptr;                  ///< [rows, outputs]
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t x_stride = 0;
  std::int64_t weight_stride = 0;
  std::int64_t y_stride = 0;
};
static constexpr std::int64_t kGemmPad = 32;
static constexpr std::int64_t kGemmMaxPanels = 2;
static constexpr std::int64_t kGemmDepth = 2048;
/// Floats of scratch that each thread brings to `gemm`; 15 of them to begin on a cache line.
static constexpr std::int64_t kGemmScratchFloats = kGemmMaxPanels * kPanelRows * kGemmDepth + 15;

}  // namespace powerhouse::cpu
