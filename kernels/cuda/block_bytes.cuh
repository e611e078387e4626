// Bytes of blocks as they lie in files: what decoders read their numbers with. Blocks of most formats are aligned to
// two bytes only, so that eight codes are four loads.
#pragma once

#include "kernels/common/blocks.h"
#include "kernels/cuda/elements.cuh"

namespace powerhouse::cuda {

template <BlockFormat kFormat>
inline constexpr int kBlockBytes = block_info(kFormat).block_bytes;
template <BlockFormat kFormat>
inline constexpr int kBlockElements = block_info(kFormat).block_elements;

/// Values in the device's memory, made by the compiler from a table of the host's.
template <typename T, int kCount>
struct Table {
  T values[kCount];
};
template <typename T, int kCount>
constexpr Table<T, kCount> table_of(const T (&values)[kCount]) {
  Table<T, kCount> table{};
  for (int i = 0; i < kCount; ++i) table.values[i] = values[i];
  return table;
}

static __device__ __forceinline__ float half_at(const std::uint8_t* at) {
  return widen(float16{load_as<std::uint16_t>(at)});
}

/// Aligned to kAlign.
template <int kAlign>
static __device__ __forceinline__ std::uint32_t word_at(const std::uint8_t* at) {
  if constexpr (kAlign == 4) {
    return load_as<std::uint32_t>(at);
  } else if constexpr (kAlign == 2) {
    return load_as<std::uint16_t>(at) | static_cast<std::uint32_t>(load_as<std::uint16_t>(at + 2)) << 16;
  } else {
    return at[0] | at[1] << 8 | at[2] << 16 | static_cast<std::uint32_t>(at[3]) << 24;
  }
}

/// Eight bytes in registers.
struct EightBytes {
  std::uint32_t word[2];

  __device__ __forceinline__ int operator[](int i) const { return static_cast<int>(word[i / 4] >> 8 * (i % 4) & 255u); }
  __device__ __forceinline__ int with_sign(int i) const { return static_cast<std::int8_t>((*this)[i]); }
};

template <int kAlign>
static __device__ __forceinline__ EightBytes bytes_at(const std::uint8_t* at) {
  return {{word_at<kAlign>(at), word_at<kAlign>(at + 4)}};
}

}  // namespace powerhouse::cuda
