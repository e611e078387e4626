// Rows to codes of 16 bits with a scale for each 32 elements.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

template <typename T>
inline void quantize_row(const T* x, std::int64_t size, const QuantizedRows& out) {
  constexpr int kVectors = 32 / kWidth;
  constexpr float kSteps = 32512.0f;
  for (std::int64_t k = 0; k < size; k += 32) {
    Vec part[kVectors];
    Vec largest = zero();
    Vec nothing = zero();  // stays zero but for NaN and infinity
    for (int i = 0; i < kVectors; ++i) {
      part[i] = load(x + k + i * kWidth);
      largest = max(largest, absolute(part[i]));
      nothing = fma(part[i], zero(), nothing);
    }
    const float top = reduce_max(largest);
    const float scale = top / kSteps + reduce_add(nothing);
    const Vec turn = broadcast(scale > 0.0f ? kSteps / top : 0.0f);
    const Vec limit = broadcast(kSteps);
    float whole[32];
    for (int i = 0; i < kVectors; ++i) {
      store(whole + i * kWidth, max(min(round_nearest(mul(part[i], turn)), limit), sub(zero(), limit)));
    }
    std::int32_t sums[2];
    for (int half = 0; half < 2; ++half) {
      store_codes(out.codes + k + 16 * half, load_lanes(whole + 16 * half, 16));
      Vec total = zero();
      for (int i = 0; i < 16; i += kWidth) total = add(total, load(whole + 16 * half + i));
      sums[half] = static_cast<std::int32_t>(reduce_add(total));  // whole numbers below 2^24: exact
      out.sums[k / 16 + half] = sums[half];
    }
    out.scales[k / 32] = scale;
    out.totals[k / 32] = scale * static_cast<float>(sums[0] + sums[1]);
  }
}

void quantize(const QuantizeParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t m = begin; m < end; ++m) {
      quantize_row(static_cast<const T*>(params.x) + m * params.x_stride, params.size, params.out.from(m));
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
