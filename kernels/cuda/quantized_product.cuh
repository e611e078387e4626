// Products of one to eight rows of float32 with a weight of blocks: its bytes are read once, 16 a lane, and become
// numbers only in registers. A warp takes a row of the weight, in chunks of 1,024 elements: while it multiplies one,
// the next is on its way into shared memory. Rows of some formats begin anywhere on two bytes, so a chunk's copy begins
// with the sector of 32 bytes around its first one.
#pragma once

#include "kernels/cuda/few_block_rows.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/quantized_product_params.h"
#include "kernels/cuda/row_sums.cuh"

namespace powerhouse::cuda {

inline constexpr int kProductWarps = 4, kChunkElements = 1024;

template <BlockFormat kFormat>
inline constexpr int kChunkBytes = kChunkElements / kBlockElements<kFormat>* kBlockBytes<kFormat>;
/// With what stands around it.
template <BlockFormat kFormat>
inline constexpr int kChunkRoom = (kChunkBytes<kFormat> + 15) / 16 * 16 + 32;

/// How far behind the beginning of its sector something stands.
static __device__ __forceinline__ int skew_of(const std::uint8_t* at) {
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(at) % 32);
}

/// Starts to copy `bytes` from `from` to the same place in a sector; nothing where there are none.
static __device__ __forceinline__ void start_chunk(unsigned char* to, const std::uint8_t* from, std::int64_t bytes) {
  const int skew = skew_of(from);
  const int all = bytes <= 0 ? 0 : skew + static_cast<int>(bytes);
  for (int at = static_cast<int>(threadIdx.x) * 16; at < all; at += 32 * 16)
    copy_async<16>(to + at, from - skew + at, true);
  copy_async_commit();
}

/// What a warp's elements of a chunk add to the sums of all rows.
template <BlockFormat kFormat, int kRows>
static __device__ __forceinline__ void multiply_chunk(const QuantizedProductParams& params, const unsigned char* blocks,
                                                      std::int64_t first, float (&sums)[kRows]) {
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x) * 8; at < kChunkElements && first + at < params.inputs; at += 32 * 8) {
    Eight weights;
    decode_eight<kFormat>(blocks + at / kBlockElements<kFormat> * kBlockBytes<kFormat>, at % kBlockElements<kFormat>,
                          weights);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= params.rows) break;
      Eight x;
      load_elements(static_cast<const float*>(params.x) + row * params.x_stride + first + at, x);
#pragma unroll
      for (int i = 0; i < 8; ++i) sums[row] += weights[i] * x[i];
    }
  }
}

template <BlockFormat kFormat>
__global__ void __launch_bounds__(32 * kProductWarps, 1) quantized_product_kernel(const QuantizedProductParams params) {
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * kProductWarps + threadIdx.y;
  if (output >= params.outputs) return;
  unsigned char* const room = shared_memory() + threadIdx.y * 2 * kChunkRoom<kFormat>;
  const std::int64_t row_bytes = params.inputs / kBlockElements<kFormat> * kBlockBytes<kFormat>;
  const std::uint8_t* const weight = static_cast<const std::uint8_t*>(params.weight) + output * row_bytes;
  const auto chunk_bytes = [&](std::int64_t chunk) {
    const std::int64_t left = row_bytes - chunk * kChunkBytes<kFormat>;
    return left < kChunkBytes<kFormat> ? left : kChunkBytes<kFormat>;
  };

  constexpr int kRows = static_cast<int>(kMostPlainRows);
  float sums[kRows] = {};
  start_chunk(room, weight, chunk_bytes(0));
  for (std::int64_t chunk = 0; chunk * kChunkElements < params.inputs; ++chunk) {
    const std::uint8_t* const from = weight + chunk * kChunkBytes<kFormat>;
    start_chunk(room + (chunk + 1) % 2 * kChunkRoom<kFormat>, from + kChunkBytes<kFormat>, chunk_bytes(chunk + 1));
    copy_async_wait<1>();
    sync_warp();  // the other lanes' copies have come too
    const unsigned char* const blocks = room + chunk % 2 * kChunkRoom<kFormat> + skew_of(from);
    multiply_chunk<kFormat>(params, blocks, chunk * kChunkElements, sums);
    sync_warp();  // all have read before the next copy goes there
  }
  copy_async_wait<0>();
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const float sum = warp_sum(sums[row]);
    if (static_cast<int>(threadIdx.x) != row || row >= params.rows) continue;
    const float bias = params.bias != nullptr ? static_cast<const float*>(params.bias)[output] : 0.0f;
    static_cast<float*>(params.y)[row * params.y_stride + output] = sum + bias;
  }
}

/// Of up to eight rows of float32, of up to 16 of other types. For formats of one family (block_formats.cuh); false for
/// another format.
template <typename Family, typename Launch>
bool launch_plain_product(Family family, const Launch& launch, const QuantizedProductParams& p) {
  if (p.type != Element::f32) return launch_few_block_rows(family, launch, p);
  return visit_family(family, p.format, [&](auto tag) {
    constexpr BlockFormat kFormat = decltype(tag)::kValue;
    const LaunchShape shape{.grid_x = p.rows == 0 ? 0 : divide_up(p.outputs, kProductWarps),
                            .block_x = 32,
                            .block_y = kProductWarps,
                            .shared_bytes = kProductWarps * 2 * kChunkRoom<kFormat>};
    launch(shape, quantized_product_kernel<kFormat>, p);
  });
}

}  // namespace powerhouse::cuda
