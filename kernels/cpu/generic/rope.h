// Rotary position embedding (Su et al. 2021): (a, b) -> (a cos - b sin, b cos + a sin), one rounding.
//
// The half-split layout is Hugging Face's and runs on whole vectors. The interleaved one is the plain loop: a decode
// step turns a few kilobytes, and weights in that layout are reordered when they are loaded.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

template <typename T>
inline void rotate_halves(const T* from, T* head, const float* cos, const float* sin, float sign, std::int64_t half) {
  for (std::int64_t i = 0; i < half; i += kWidth) {
    const int count = lanes(half, i);
    const Vec c = read(cos + i, count);
    const Vec s = mul(read(sin + i, count), broadcast(sign));
    const Vec a = read(from + i, count);
    const Vec b = read(from + half + i, count);
    write(head + i, sub(mul(a, c), mul(b, s)), count);
    write(head + half + i, add(mul(b, c), mul(a, s)), count);
  }
}

template <typename T>
inline void rotate_pairs(const T* from, T* head, const float* cos, const float* sin, float sign, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float s = sin[i] * sign;
    const float a = to_float(from[2 * i]);
    const float b = to_float(from[2 * i + 1]);
    from_float(a * cos[i] - b * s, head[2 * i]);
    from_float(b * cos[i] + a * s, head[2 * i + 1]);
  }
}

void rope(const RopeParams& params, std::int64_t begin, std::int64_t end) {
  const std::int64_t half = params.rotary_dim / 2;
  const float sign = params.inverse ? -1.0f : 1.0f;
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t token = item / params.heads;
      const std::int64_t place = item % params.heads;
      T* const head = static_cast<T*>(params.data) + token * params.token_stride + place * params.head_stride;
      const T* from = head;
      if (params.source != nullptr) {
        from = static_cast<const T*>(params.source) + token * params.source_token_stride +
               place * params.source_head_stride;
        for (std::int64_t i = params.rotary_dim; i < params.head_dim; ++i) head[i] = from[i];
      }
      const std::int64_t position = params.positions == nullptr ? token : params.positions[token];
      const float* const cos = params.cos + position * params.table_stride;
      const float* const sin = params.sin + position * params.table_stride;
      if (params.interleaved) {
        rotate_pairs(from, head, cos, sin, sign, half);
      } else {
        rotate_halves(from, head, cos, sin, sign, half);
      }
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
