// Rotary position embedding (Su et al. 2021) in place: (a, b) -> (a cos - b sin, b cos + a sin), one rounding.
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
inline void rotate_halves(T* head, const float* cos, const float* sin, std::int64_t half) {
  for (std::int64_t i = 0; i < half; i += kWidth) {
    const int count = lanes(half, i);
    const Vec c = read(cos + i, count);
    const Vec s = read(sin + i, count);
    const Vec a = read(head + i, count);
    const Vec b = read(head + half + i, count);
    write(head + i, sub(mul(a, c), mul(b, s)), count);
    write(head + half + i, add(mul(b, c), mul(a, s)), count);
  }
}

template <typename T>
inline void rotate_pairs(T* head, const float* cos, const float* sin, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = to_float(head[2 * i]);
    const float b = to_float(head[2 * i + 1]);
    from_float(a * cos[i] - b * sin[i], head[2 * i]);
    from_float(b * cos[i] + a * sin[i], head[2 * i + 1]);
  }
}

void rope(const RopeParams& params, std::int64_t begin, std::int64_t end) {
  const std::int64_t half = params.rotary_dim / 2;
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t token = item / params.heads;
      T* const head =
          static_cast<T*>(params.data) + token * params.token_stride + item % params.heads * params.head_stride;
      const std::int64_t position = params.positions == nullptr ? token : params.positions[token];
      const float* const cos = params.cos + position * params.table_stride;
      const float* const sin = params.sin + position * params.table_stride;
      if (params.interleaved) {
        rotate_pairs(head, cos, sin, half);
      } else {
        rotate_halves(head, cos, sin, half);
      }
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
