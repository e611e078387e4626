// Blocks of a file as dense bf16, f16 or f32, for products of many rows. A block of threads takes 4,096 elements, whose
// bytes are whole sectors of 32 in every format: they come into shared memory 16 at once, and a thread writes 16 or two
// times 16.
//
// The definition is kernels/reference/dequantize.h, bit by bit, rounded to the type.
#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cuda/block_formats.cuh"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

inline constexpr int kDequantizeThreads = 512, kDequantizeElements = 8 * kDequantizeThreads;

template <BlockFormat kFormat>
inline constexpr int kDequantizeBlocks = kDequantizeElements / kBlockElements<kFormat>;

static __device__ __forceinline__ void store_eight(const cpu::DequantizeParams& params, std::int64_t at,
                                                   const Eight& values) {
  switch (params.type) {
    case Element::f32: return store_elements(static_cast<float*>(params.destination) + at, values);
    case Element::bf16: return store_elements(static_cast<bfloat16*>(params.destination) + at, values);
    case Element::f16: return store_elements(static_cast<float16*>(params.destination) + at, values);
  }
}

template <BlockFormat kFormat>
__global__ void __launch_bounds__(kDequantizeThreads)
    dequantize_kernel(const cpu::DequantizeParams params, std::int64_t blocks) {
  constexpr int kTileBytes = kDequantizeBlocks<kFormat> * kBlockBytes<kFormat>;
  static_assert(kTileBytes % 32 == 0);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kDequantizeBlocks<kFormat>;
  const int count =
      blocks - first < kDequantizeBlocks<kFormat> ? static_cast<int>(blocks - first) : kDequantizeBlocks<kFormat>;
  const int bytes = count * kBlockBytes<kFormat>;
  const auto* const from = static_cast<const std::uint8_t*>(params.source) + blockIdx.x * std::int64_t{kTileBytes};
  unsigned char* const tile = shared_memory();
  const int thread = static_cast<int>(threadIdx.x);
  for (int at = thread * 16; at + 16 <= bytes; at += kDequantizeThreads * 16) {
    store_words(tile + at, load_words(from + at));
  }
  const int rest = bytes / 16 * 16 + thread;
  if (rest < bytes) tile[rest] = from[rest];
  sync_block();

  const int block = thread * 8 / kBlockElements<kFormat>;
  if (block >= count) return;
  Eight values;
  decode_eight<kFormat>(tile + block * kBlockBytes<kFormat>, thread * 8 % kBlockElements<kFormat>, values);
  store_eight(params, first * kBlockElements<kFormat> + thread * 8, values);
}

/// False for a format without a decoder: plain ones are a conversion of LibTorch's.
template <typename Launch>
bool launch_dequantize(const Launch& launch, const cpu::DequantizeParams& p, std::int64_t blocks) {
  return visit_format(p.format, [&](auto tag) {
    constexpr BlockFormat kFormat = decltype(tag)::kValue;
    const LaunchShape shape{.grid_x = divide_up(blocks, kDequantizeBlocks<kFormat>),
                            .block_x = kDequantizeThreads,
                            .shared_bytes = kDequantizeBlocks<kFormat> * kBlockBytes<kFormat>};
    launch(shape, dequantize_kernel<kFormat>, p, blocks);
  });
}

}  // namespace powerhouse::cuda
