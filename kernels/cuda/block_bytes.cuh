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
  /// The same bits of each byte, which end up lowest; `mask` is four times that of a byte.
  __device__ __forceinline__ EightBytes bits(int shift, std::uint32_t mask) const {
    return {{word[0] >> shift & mask, word[1] >> shift & mask}};
  }
  __device__ __forceinline__ EightBytes operator|(const EightBytes& other) const {
    return {{word[0] | other.word[0], word[1] | other.word[1]}};
  }
  __device__ __forceinline__ EightBytes shifted_up(int shift) const { return {{word[0] << shift, word[1] << shift}}; }
  /// Bytes with a sign as numbers from 0 on, 128 above what they were.
  __device__ __forceinline__ EightBytes without_sign() const {
    return {{word[0] ^ 0x80808080u, word[1] ^ 0x80808080u}};
  }
  /// A byte less an offset, exactly: 2^23 + byte is a float32 that has the byte as its lowest bits. A conversion would
  /// take as many instructions, and its unit is slower.
  __device__ __forceinline__ float number(int i, int offset = 0) const {
    const std::uint32_t above = choose_bytes(word[i / 4], 0x4B000000u, 0x7440u | static_cast<unsigned>(i % 4));
    return subtract(as_float(above), 8388608.0f + static_cast<float>(offset));
  }
};

/// Bit i of the lowest eight as bit 4 of byte i.
static __device__ __forceinline__ EightBytes fifth_bits(std::uint32_t bits) {
  return {{(bits & 15u) * 0x02040810u & 0x10101010u, (bits >> 4 & 15u) * 0x02040810u & 0x10101010u}};
}

/// Sixteen whole numbers from -128 on as bytes, 128 above what they are, in four registers.
struct SixteenBytes {
  std::uint32_t word[4];
};
template <typename T>
constexpr SixteenBytes bytes_above(const T (&values)[16]) {
  SixteenBytes bytes{};
  for (int i = 0; i < 16; ++i) bytes.word[i / 4] |= static_cast<std::uint32_t>(values[i] + 128) << i % 4 * 8;
  return bytes;
}

/// The bytes of a table that four codes, a nibble in each byte, stand for.
template <SixteenBytes kTable>
static __device__ __forceinline__ std::uint32_t look_up(std::uint32_t codes) {
  constexpr std::uint32_t k0 = kTable.word[0], k1 = kTable.word[1], k2 = kTable.word[2], k3 = kTable.word[3];
  const std::uint32_t pairs = (codes | codes >> 4) & 0x00FF00FFu;
  const std::uint32_t nibbles = pairs | pairs >> 8;  // the lower four
  const std::uint32_t low = choose_bytes(k0, k1, nibbles & 0x7777u);
  const std::uint32_t high = choose_bytes(k2, k3, nibbles & 0x7777u);
  return choose_bytes(low, high, 0x3210u | (nibbles & 0x8888u) >> 1);
}
template <SixteenBytes kTable>
static __device__ __forceinline__ EightBytes look_up(const EightBytes& codes) {
  return {{look_up<kTable>(codes.word[0]), look_up<kTable>(codes.word[1])}};
}

/// `turned`: the second four are read first. Lanes with eight bytes each, side by side, read from every other bank at
/// once; where half of them are turned, from all.
template <int kAlign>
static __device__ __forceinline__ EightBytes bytes_at(const std::uint8_t* at, bool turned = false) {
  const int place = turned ? 4 : 0;
  const std::uint32_t first = word_at<kAlign>(at + place), second = word_at<kAlign>(at + (place ^ 4));
  return {{turned ? second : first, turned ? first : second}};
}

}  // namespace powerhouse::cuda
