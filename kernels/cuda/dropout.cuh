// Dropout whose mask is a function of its key: the bits of kernels/reference/dropout.h. A block of Philox has the bits
// of eight elements; a thread makes the one that its elements belong to.
#pragma once

#include "kernels/cpu/training_params.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/philox.cuh"

namespace powerhouse::cuda {

/// Elements of a thread: whole accesses of 16 bytes side by side, which are half a block of float32.
template <int kWidth>
inline constexpr int kDropoutElements = kWidth == 1 ? 8 : kWidth;

/// blockIdx.x: the row; blockIdx.y: 256 threads' elements of it. kWidth: what 16 bytes hold, or one by one.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256) dropout_kernel(const cpu::DropoutParams params) {
  constexpr int kElements = kDropoutElements<kWidth>;
  const std::int64_t row = blockIdx.x;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kElements;
  if (first >= params.columns) return;
  const std::uint64_t counter =
      params.counter + static_cast<std::uint64_t>(row * ((params.columns + 7) / 8) + first / 8);
  const PhiloxWords words = philox(
      {{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), params.lane, params.stream}},
      params.key[0], params.key[1]);
  const bool second_half = first % 8 != 0;
  const T* const from = static_cast<const T*>(params.x) + row * params.x_stride + first;
  T* const to = static_cast<T*>(params.y) + row * params.y_stride + first;
#pragma unroll
  for (int at = 0; at < kElements; at += kWidth) {
    if (first + at >= params.columns) break;
    float x[kWidth];
    load_elements(from + at, x);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const int pair = (at + i) / 2;
      std::uint32_t word = words.word[pair];
      if (kElements == 4 && second_half) word = words.word[2 + pair % 2];
      x[i] *= (word >> ((at + i) % 2 * 16) & 0xFFFFu) >= params.threshold ? params.kept : 0.0f;
    }
    store_elements(to + at, x);
  }
}

template <typename Launch>
void launch_dropout(const Launch& launch, const cpu::DropoutParams& p, std::int64_t rows) {
  const bool whole = Alignment{element_bytes(p.type)}
                         .pointer(p.x)
                         .pointer(p.y)
                         .elements(p.columns)
                         .elements(p.x_stride)
                         .elements(p.y_stride)
                         .whole;
  const auto shape = [&](int elements) {
    return LaunchShape{.grid_x = rows, .grid_y = divide_up(p.columns, 256 * elements), .block_x = 256};
  };
  visit_element(p.type, [&](auto tag) {
    using T = decltype(tag);
    constexpr int kWide = kWidest<T>;
    if (whole) {
      launch(shape(kDropoutElements<kWide>), dropout_kernel<T, kWide>, p);
    } else {
      launch(shape(kDropoutElements<1>), dropout_kernel<T, 1>, p);
    }
  });
}

}  // namespace powerhouse::cuda
