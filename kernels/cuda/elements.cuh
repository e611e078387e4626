// Rows of elements of any type in float32: kWidth at once where addresses allow 16-byte accesses, one by one elsewhere.
#pragma once

#include "kernels/common/element.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/vectors.cuh"

namespace powerhouse::cuda {

template <typename T>
inline constexpr int kWidest = 16 / static_cast<int>(sizeof(T));

template <typename T>
static __device__ __forceinline__ T narrow(float value) {
  T out;
  narrow_to(value, out);
  return out;
}

/// The nearest value that T can store.
template <typename T>
static __device__ __forceinline__ float round_to(float value) {
  return widen(narrow<T>(value));
}

static __device__ __forceinline__ float widen_low(std::uint32_t pair, bfloat16) { return as_float(pair << 16); }
static __device__ __forceinline__ float widen_high(std::uint32_t pair, bfloat16) {
  return as_float(pair & 0xFFFF0000u);
}
static __device__ __forceinline__ float widen_low(std::uint32_t pair, float16) {
  return widen(float16{static_cast<std::uint16_t>(pair)});
}
static __device__ __forceinline__ float widen_high(std::uint32_t pair, float16) {
  return widen(float16{static_cast<std::uint16_t>(pair >> 16)});
}

/// One element, or aligned 16 bytes of them, or several times that, or half of it.
template <int kWidth, typename T>
static __device__ __forceinline__ void load_elements(const T* from, float (&x)[kWidth]) {
  if constexpr (kWidth == 1) {
    x[0] = widen(*from);
  } else if constexpr (sizeof(T) * kWidth == 8) {
    const auto both = load_as<std::uint64_t>(from);
    const std::uint32_t words[2] = {static_cast<std::uint32_t>(both), static_cast<std::uint32_t>(both >> 32)};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (sizeof(T) == 4) {
        x[i] = as_float(words[i]);
      } else {
        x[2 * i] = widen_low(words[i], T{});
        x[2 * i + 1] = widen_high(words[i], T{});
      }
    }
  } else {
    static_assert(kWidth % kWidest<T> == 0);
#pragma unroll
    for (int part = 0; part < kWidth; part += kWidest<T>) {
      const Words words = load_words(from + part);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if constexpr (sizeof(T) == 4) {
          x[part + i] = as_float(words.word[i]);
        } else {
          x[part + 2 * i] = widen_low(words.word[i], T{});
          x[part + 2 * i + 1] = widen_high(words.word[i], T{});
        }
      }
    }
  }
}

template <int kWidth, typename T>
static __device__ __forceinline__ void store_elements(T* to, const float (&x)[kWidth]) {
  if constexpr (kWidth == 1) {
    *to = narrow<T>(x[0]);
  } else if constexpr (sizeof(T) * kWidth == 8) {
    std::uint32_t low, high;
    if constexpr (sizeof(T) == 4) {
      low = as_bits(x[0]), high = as_bits(x[1]);
    } else {
      low = pack(x[0], x[1], T{}), high = pack(x[2], x[3], T{});
    }
    store_as(to, low | static_cast<std::uint64_t>(high) << 32);
  } else {
    static_assert(kWidth % kWidest<T> == 0);
#pragma unroll
    for (int part = 0; part < kWidth; part += kWidest<T>) {
      Words words;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if constexpr (sizeof(T) == 4) {
          words.word[i] = as_bits(x[part + i]);
        } else {
          words.word[i] = pack(x[part + 2 * i], x[part + 2 * i + 1], T{});
        }
      }
      store_words(to + part, words);
    }
  }
}

}  // namespace powerhouse::cuda
