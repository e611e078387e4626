// kernels/cuda/vectors.cuh as kernels see it when g++ compiles them for the CPU: the same names. A load or store is one
// access of its size, which the compiler reports as one.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/common/float16.h"
#include "kernels/cuda/primitives.cuh"

#ifndef __constant__
#define __constant__
#endif

namespace powerhouse::cuda {

struct alignas(16) Words {
  std::uint32_t word[4];
};

typedef std::uint32_t VectorOfFour __attribute__((vector_size(16), may_alias));

static __forceinline__ Words load_words(const void* from) {
  const VectorOfFour words = *static_cast<const VectorOfFour*>(from);
  return {{words[0], words[1], words[2], words[3]}};
}
static __forceinline__ void store_words(void* to, const Words& words) {
  *static_cast<VectorOfFour*>(to) = VectorOfFour{words.word[0], words.word[1], words.word[2], words.word[3]};
}

template <typename T>
static __forceinline__ T load_as(const void* from) {
  T value;
  __builtin_memcpy(&value, __builtin_assume_aligned(from, sizeof(T)), sizeof(T));
  return value;
}
template <typename T>
static __forceinline__ void store_as(void* to, T value) {
  __builtin_memcpy(__builtin_assume_aligned(to, sizeof(T)), &value, sizeof(T));
}

static __forceinline__ float as_float(std::uint32_t bits) { return bits_float(bits); }
static __forceinline__ std::uint32_t as_bits(float value) { return float_bits(value); }

template <typename T>
static __forceinline__ float widen(T value) {
  return to_float(value);
}
template <typename T>
static __forceinline__ void narrow_to(float value, T& out) {
  from_float(value, out);
}

// Files of kernels are compiled without contraction.
static __forceinline__ float multiply(float a, float b) { return a * b; }
static __forceinline__ float add(float a, float b) { return a + b; }
static __forceinline__ float subtract(float a, float b) { return a - b; }

static __forceinline__ float inverse_root(float x) { return 1.0f / std::sqrt(x); }
static __forceinline__ int lowest_bit(unsigned bits) { return __builtin_ctz(bits); }
static __forceinline__ int highest_bit(unsigned bits) { return 31 - __builtin_clz(bits); }

static __forceinline__ std::uint32_t multiply_high(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::uint32_t>(std::uint64_t{a} * b >> 32);
}

}  // namespace powerhouse::cuda
