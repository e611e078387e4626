// Elements in registers: 16 bytes at a time from memory, float32 for arithmetic, one rounding on the way back.
//
// Tests compile kernels with another file of this name in front of it (tests/cuda_on_host). What differs between the
// compilers stands here and in primitives.cuh; elements.cuh builds on it.
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"
#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

/// 16 bytes, loaded and stored at once.
struct alignas(16) Words {
  std::uint32_t word[4];
};

static __device__ __forceinline__ Words load_words(const void* from) {
  const uint4 words = *static_cast<const uint4*>(from);
  return {{words.x, words.y, words.z, words.w}};
}
static __device__ __forceinline__ void store_words(void* to, const Words& words) {
  *static_cast<uint4*>(to) = make_uint4(words.word[0], words.word[1], words.word[2], words.word[3]);
}

/// One number of at most 8 bytes, aligned to its size, whatever was stored there.
template <typename T>
static __device__ __forceinline__ T load_as(const void* from) {
  return *static_cast<const T*>(from);
}
template <typename T>
static __device__ __forceinline__ void store_as(void* to, T value) {
  *static_cast<T*>(to) = value;
}

static __device__ __forceinline__ float as_float(std::uint32_t bits) { return __uint_as_float(bits); }
static __device__ __forceinline__ std::uint32_t as_bits(float value) { return __float_as_uint(value); }

static __device__ __forceinline__ float widen(float value) { return value; }
static __device__ __forceinline__ float widen(bfloat16 value) {
  return as_float(static_cast<std::uint32_t>(value.bits) << 16);
}
static __device__ __forceinline__ float widen(float16 value) { return widen_half(value.bits); }

static __device__ __forceinline__ void narrow_to(float value, float& out) { out = value; }
template <typename T>
static __device__ __forceinline__ void narrow_to(float value, T& out) {
  out.bits = narrow_bits(value, T{});
}

// Never contracted into one operation with one rounding.
static __device__ __forceinline__ float multiply(float a, float b) { return __fmul_rn(a, b); }
static __device__ __forceinline__ float add(float a, float b) { return __fadd_rn(a, b); }
static __device__ __forceinline__ float subtract(float a, float b) { return __fsub_rn(a, b); }

/// 1 / sqrt(x), within two units of the last place.
static __device__ __forceinline__ float inverse_root(float x) { return rsqrtf(x); }

/// Places of the lowest and the highest bit that is set; there is one.
static __device__ __forceinline__ int lowest_bit(unsigned bits) { return __ffs(static_cast<int>(bits)) - 1; }
static __device__ __forceinline__ int highest_bit(unsigned bits) { return 31 - __clz(static_cast<int>(bits)); }

/// The upper half of the product.
static __device__ __forceinline__ std::uint32_t multiply_high(std::uint32_t a, std::uint32_t b) {
  return __umulhi(a, b);
}

}  // namespace powerhouse::cuda
