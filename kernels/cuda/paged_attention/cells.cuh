// Cells of a cache: how eight elements are read from them, and how they become part of one. Blocks have the bits of
// ggml's quantize_row_q8_0_ref and quantize_row_q4_0_ref; four lanes share one.
#pragma once

#include "kernels/cuda/paged_attention/pages.cuh"

namespace powerhouse::cuda {

/// Elements [at, at + 8) of a row in shared or global memory. kFloats: of float types too, but for float32.
template <bool kFloats>
static __device__ __forceinline__ void read_cells(BlockFormat type, const std::uint8_t* row, int at, Eight& x) {
  if (type == BlockFormat::q8_0) return decode_q8_0(row + at / 32 * 34, at % 32, x);
  if (type == BlockFormat::q4_0) return decode_q4_0(row + at / 32 * 18, at % 32, x);
  if constexpr (kFloats) {
    if (type == BlockFormat::bf16) return load_elements(reinterpret_cast<const bfloat16*>(row) + at, x);
    if (type == BlockFormat::f16) return load_elements(reinterpret_cast<const float16*>(row) + at, x);
  }
}

static __device__ __forceinline__ void load_source(const void* from, Element type, std::int64_t at, Eight& x) {
  if (type == Element::f32) return load_elements(static_cast<const float*>(from) + at, x);
  if (type == Element::bf16) return load_elements(static_cast<const bfloat16*>(from) + at, x);
  load_elements(static_cast<const float16*>(from) + at, x);
}

static __device__ __forceinline__ void store_as_type(void* to, Element type, std::int64_t at, const Eight& x) {
  if (type == Element::f32) return store_elements(static_cast<float*>(to) + at, x);
  if (type == Element::bf16) return store_elements(static_cast<bfloat16*>(to) + at, x);
  store_elements(static_cast<float16*>(to) + at, x);
}

static __device__ __forceinline__ float magnitude(float x) { return x < 0.0f ? -x : x; }
static __device__ __forceinline__ bool is_finite(float x) { return (as_bits(x) & 0x7F800000u) != 0x7F800000u; }

/// What the lanes of a block know together: its first element of the largest magnitude, and whether all are finite.
struct BlockOfFour {
  float extreme = 0.0f;
  int index = 0;
  int finite = 1;

  __device__ __forceinline__ BlockOfFour(const Eight& x, int lane) {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      finite = finite != 0 && is_finite(x[e]) ? 1 : 0;
      if (magnitude(x[e]) <= magnitude(extreme)) continue;
      extreme = x[e];
      index = lane * 8 + e;
    }
#pragma unroll
    for (int lanes = 1; lanes < 4; lanes *= 2) {
      const float other = shuffle_xor(extreme, lanes);
      const int other_index = shuffle_xor(index, lanes);
      finite &= shuffle_xor(finite, lanes);
      const bool larger = magnitude(other) > magnitude(extreme);
      if (!larger && (magnitude(other) < magnitude(extreme) || other_index >= index)) continue;
      extreme = other;
      index = other_index;
    }
  }
  /// What elements are multiplied by; zero for scales of which f16 keeps nothing.
  static __device__ __forceinline__ float turn(float scale) {
    const float turn = 1.0f / scale;
    return is_finite(turn) ? turn : 0.0f;
  }
  __device__ __forceinline__ void store_scale(std::uint8_t* block, float scale) const {
    store_as(block, finite != 0 ? narrow<float16>(scale).bits : std::uint16_t{0x7E00});
  }
};

/// `lane` of the block's four has its elements [8 lane, 8 lane + 8); lanes with `valid` store.
static __device__ __forceinline__ void store_q8_0(std::uint8_t* block, const Eight& x, int lane, bool valid) {
  const BlockOfFour all(x, lane);
  const float scale = magnitude(all.extreme) / 127.0f, turn = BlockOfFour::turn(scale);
  if (!valid) return;
  if (lane == 0) all.store_scale(block, scale);
#pragma unroll
  for (int e = 0; e < 8; e += 2) {
    const int first = all.finite != 0 ? static_cast<int>(roundf(multiply(x[e], turn))) : 0;
    const int second = all.finite != 0 ? static_cast<int>(roundf(multiply(x[e + 1], turn))) : 0;
    store_as(block + 2 + lane * 8 + e, static_cast<std::uint16_t>((first & 255) | (second & 255) << 8));
  }
}

static __device__ __forceinline__ void store_q4_0(std::uint8_t* block, const Eight& x, int lane, bool valid) {
  const BlockOfFour all(x, lane);
  const float scale = all.extreme / -8.0f, turn = BlockOfFour::turn(scale);
  std::uint32_t codes = 0;
#pragma unroll
  for (int e = 0; e < 8; ++e) {
    const int code = all.finite != 0 ? static_cast<int>(add(multiply(x[e], turn), 8.5f)) : 0;
    codes |= static_cast<std::uint32_t>(code > 15 ? 15 : code) << 4 * e;
  }
  const std::uint32_t upper = shuffle_xor(codes, 2);  // of elements 16 further
  if (!valid) return;
  if (lane == 0) all.store_scale(block, scale);
  if (lane >= 2) return;
#pragma unroll
  for (int e = 0; e < 8; e += 2) {
    const std::uint32_t low = codes >> 4 * e, high = upper >> 4 * e;
    const std::uint32_t pair = (low & 15) | (high & 15) << 4 | (low >> 4 & 15) << 8 | (high >> 4 & 15) << 12;
    store_as(block + 2 + lane * 8 + e, static_cast<std::uint16_t>(pair));
  }
}

/// By whole warps: elements [at, at + 8) of a row of the cache.
static __device__ __forceinline__ void store_cells(BlockFormat type, std::uint8_t* row, int at, const Eight& x,
                                                   bool valid) {
  if (type == BlockFormat::q8_0) return store_q8_0(row + at / 32 * 34, x, at % 32 / 8, valid);
  if (type == BlockFormat::q4_0) return store_q4_0(row + at / 32 * 18, x, at % 32 / 8, valid);
  if (!valid) return;
  if (type == BlockFormat::f32) return store_as_type(row, Element::f32, at, x);
  store_as_type(row, type == BlockFormat::bf16 ? Element::bf16 : Element::f16, at, x);
}

}  // namespace powerhouse::cuda
