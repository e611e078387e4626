// Rows to codes of 8 or 15 bits with a scale for each 32 elements.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Whole numbers, 32 of them, to bytes; each 16 are summed.
inline void store_whole(const float* whole, std::int8_t* bytes) {
  for (int half = 0; half < 32; half += 16) store_codes(bytes + half, load_lanes(whole + half, 16));
}

template <typename T>
inline void quantize_row(const T* x, std::int64_t size, const QuantizedRows& out) {
  constexpr int kVectors = 32 / kWidth;
  const float steps = out.rests != nullptr ? 32512.0f : 127.0f;  // 127 * 255 + 127
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
    const float scale = top / steps + reduce_add(nothing);
    out.scales[k / 32] = scale;
    const Vec turn = broadcast(scale > 0.0f ? steps / top : 0.0f);
    const Vec limit = broadcast(steps);
    float whole[32];
    float codes[32];
    float rests[32];
    for (int i = 0; i < kVectors; ++i) {
      const Vec value = max(min(round_nearest(mul(part[i], turn)), limit), sub(zero(), limit));
      const Vec code = round_nearest(mul(value, broadcast(1.0f / 255.0f)));
      store(whole + i * kWidth, value);
      store(codes + i * kWidth, code);
      store(rests + i * kWidth, sub(value, mul(code, broadcast(255.0f))));
    }
    store_whole(out.rests != nullptr ? codes : whole, out.codes + k);
    if (out.rests != nullptr) store_whole(rests, out.rests + k);
    for (int half = 0; half < 2; ++half) {
      Vec total = zero();
      for (int i = 0; i < 16; i += kWidth) total = add(total, load(whole + 16 * half + i));
      out.sums[k / 16 + half] = static_cast<std::int32_t>(reduce_add(total));  // whole numbers below 2^24: exact
    }
  }
}

void quantize(const QuantizeParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t m = begin; m < end; ++m) {
      QuantizedRows out = params.out;
      out.codes += m * out.stride;
      out.scales += m * (out.stride / 32);
      out.sums += m * (out.stride / 16);
      if (out.rests != nullptr) out.rests += m * out.stride;
      quantize_row(static_cast<const T*>(params.x) + m * params.x_stride, params.size, out);
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
