// Codes of blocks as fragments of the tensor cores, exactly: whole numbers that bf16 and fp16 hold, made of packed
// codes by masks, without a conversion. Scales multiply the sums of a group of inputs instead, in float32.
//
// A code of n bits is put into the upper bits of a mantissa, under the exponent of 2^n: that is 2^n + code. What the
// products have too much then is 2^n (and the format's zero) times the sum of x, which one more product makes: with the
// constant that is too much as the weight.
//
// The order of inputs in a product is free. Lanes of a row, four, take what the format keeps side by side.
#pragma once

#include "kernels/cuda/block_formats.cuh"
#include "kernels/cuda/code_traits.h"

namespace powerhouse::cuda {

/// How a type's bits are.
template <typename Element>
inline constexpr int kMantissaBits = 7;
template <>
inline constexpr int kMantissaBits<float16> = 10;
template <typename Element>
inline constexpr int kExponentOfOne = 127;
template <>
inline constexpr int kExponentOfOne<float16> = 15;

static constexpr __device__ __forceinline__ std::uint32_t twice(std::uint32_t half) { return half * 0x00010001u; }

/// `codes` of kWidth bits from bit kFrom on in both halves come to bit kTo of what is there.
template <int kWidth, int kFrom, int kTo>
static __device__ __forceinline__ std::uint32_t placed(std::uint32_t codes, std::uint32_t onto) {
  const std::uint32_t moved =
      kFrom <= kTo ? codes << (kTo > kFrom ? kTo - kFrom : 0) : codes >> (kFrom > kTo ? kFrom - kTo : 0);
  return masked_or(moved, twice(((1u << kWidth) - 1) << kTo), onto);
}

/// Two bytes of a word, each in a half.
static __device__ __forceinline__ std::uint32_t spread(std::uint32_t word, int pair) {
  return choose_bytes(word, 0, pair == 0 ? 0x4140u : 0x4342u);
}

template <SixteenBytes kLevels>
static __device__ __forceinline__ float byte_level(int code) {
  constexpr std::uint32_t k0 = kLevels.word[0], k1 = kLevels.word[1], k2 = kLevels.word[2], k3 = kLevels.word[3];
  const std::uint32_t word = code < 8 ? (code < 4 ? k0 : k1) : (code < 12 ? k2 : k3);
  return static_cast<float>(static_cast<int>(word >> code % 4 * 8 & 255u) - 128);
}

template <BlockFormat kFormat, typename Element>
static __device__ __forceinline__ void fill_level_table(unsigned char* table, int thread, int threads) {
  using F = BlockFormat;
  using Traits = CodeTraits<kFormat>;
  for (int byte = thread / 32; byte < 256; byte += threads / 32) {
    float level[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int code = Traits::kNibbleLevels == (i == 0) ? byte >> 4 : byte & 15;
      if constexpr (Traits::template kIs<F::nf4, F::nf4_32>) level[i] = kNf4Table.values[code];
      if constexpr (Traits::template kIs<F::fp4, F::fp4_32>) level[i] = kFp4Table.values[code] * 12.0f;
      if constexpr (Traits::template kIs<F::iq4_nl, F::iq4_xs>) level[i] = byte_level<kIq4Levels>(code);
      if constexpr (Traits::template kIs<F::mxfp4>) level[i] = byte_level<kMxfp4Levels>(code);
    }
#pragma unroll
    for (int plane = 0; plane < Traits::kPlanes; ++plane) {
      const std::uint32_t pair = pack(level[0], level[1], Element{});
      store_as(table + plane * kLevelTableBytes + (byte * 32 + thread % 32) * 4, pair);
      level[0] -= widen_low(pair, Element{});
      level[1] -= widen_high(pair, Element{});
    }
  }
}

/// A lane's codes of a unit of one row, as its words.
template <BlockFormat kFormat>
struct UnitCodes {
  using F = BlockFormat;
  using Traits = CodeTraits<kFormat>;
  std::uint32_t low[4], high[2];
  Eight numbers;

  /// `block` of the unit, whose first input is number `at` of it.
  __device__ __forceinline__ void load(const unsigned char* block, int at, int quad) {
    if constexpr (Traits::kDecoded) decode_eight<kFormat>(block, at + quad * 8, numbers);
    if constexpr (Traits::template kIs<F::q4_0, F::iq4_nl>) low[0] = word_at<2>(block + 2 + quad * 4);
    if constexpr (Traits::template kIs<F::q4_1>) low[0] = word_at<4>(block + 4 + quad * 4);
    if constexpr (Traits::template kIs<F::mxfp4>) low[0] = word_at<1>(block + 1 + quad * 4);
    if constexpr (Traits::template kIs<F::iq4_xs>) low[0] = word_at<4>(block + 8 + at / 2 + quad * 4);
    if constexpr (Traits::template kIs<F::q5_0>)
      low[0] = word_at<2>(block + 6 + quad * 4), high[0] = word_at<2>(block + 2) >> quad * 4;
    if constexpr (Traits::template kIs<F::q5_1>)
      low[0] = word_at<4>(block + 8 + quad * 4), high[0] = word_at<4>(block + 4) >> quad * 4;
    if constexpr (Traits::kNibbleLevels) low[0] = word_at<4>(block + 4 + at / 2 + quad * 4);
    if constexpr (Traits::template kIs<F::q8_0>)
      low[0] = word_at<2>(block + 2 + quad * 8), low[1] = word_at<2>(block + 6 + quad * 8);
    if constexpr (Traits::template kIs<F::int8_rows>)
      low[0] = word_at<4>(block + 4 + at + quad * 8), low[1] = word_at<4>(block + 8 + at + quad * 8);
    if constexpr (Traits::template kIs<F::q4_k, F::q5_k>) {
      constexpr int kFirst = Traits::template kIs<F::q4_k> ? 16 : 48;
      low[0] = word_at<4>(block + kFirst + at / 2 + quad * 8),
      low[1] = word_at<4>(block + kFirst + 4 + at / 2 + quad * 8);
    }
    if constexpr (Traits::template kIs<F::q5_k>) {
      high[0] = word_at<4>(block + 16 + quad * 8) >> at / 32, high[1] = word_at<4>(block + 20 + quad * 8) >> at / 32;
    }
    if constexpr (Traits::template kIs<F::q6_k>) {
#pragma unroll
      for (int i = 0; i < 4; ++i) low[i] = word_at<2>(block + at / 2 + i * 16 + quad * 4);
#pragma unroll
      for (int i = 0; i < 2; ++i) high[i] = word_at<2>(block + 128 + at / 4 + i * 16 + quad * 4);
    }
    if constexpr (Traits::template kIs<F::q3_k>) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        low[i] = word_at<2>(block + 32 + at / 4 + i * 16 + quad * 4);
        high[i] = word_at<2>(block + i * 16 + quad * 4) >> at / 32;
      }
    }
    if constexpr (Traits::template kIs<F::q2_k>) {
#pragma unroll
      for (int i = 0; i < 2; ++i) low[i] = word_at<4>(block + 16 + at / 4 + i * 16 + quad * 4);
    }
  }

  /// The row's pair of the kProduct-th product of the kPart-th 32 inputs.
  template <typename Element, int kPart, int kProduct>
  __device__ __forceinline__ std::uint32_t pair(int i) const {
    constexpr int kBits = Traits::kBits, kTop = kMantissaBits<Element> - kBits;
    constexpr std::uint32_t kBase =
        twice(static_cast<std::uint32_t>(kExponentOfOne<Element> + kBits) << kMantissaBits<Element>);
    if constexpr (Traits::template kIs<F::q4_0, F::q4_1>) {
      return placed<4, kProduct * 4, kTop>(spread(low[0], i), kBase);
    } else if constexpr (Traits::template kIs<F::q4_k>) {
      return placed<4, kPart * 4, kTop>(spread(low[kProduct], i), kBase);
    } else if constexpr (Traits::template kIs<F::q5_0, F::q5_1>) {
      // Two bits of the word, one for each half: the product holds both in both places.
      const std::uint32_t two = (high[0] >> (kProduct * 16 + i * 2) & 3u) * ((1u << (kTop + 4)) + (1u << (kTop + 19)));
      return masked_or(two, twice(1u << (kTop + 4)), placed<4, kProduct * 4, kTop>(spread(low[0], i), kBase));
    } else if constexpr (Traits::template kIs<F::q5_k>) {
      return placed<1, kPart, kTop + 4>(spread(high[kProduct], i),
                                        placed<4, kPart * 4, kTop>(spread(low[kProduct], i), kBase));
    } else if constexpr (Traits::template kIs<F::q6_k>) {
      return placed<2, kPart * 2, kTop + 4>(
          spread(high[kProduct], i), placed<4, kPart / 2 * 4, kTop>(spread(low[kPart % 2 * 2 + kProduct], i), kBase));
    } else if constexpr (Traits::template kIs<F::q3_k>) {
      return placed<1, kPart, kTop + 2>(spread(high[kProduct], i),
                                        placed<2, kPart * 2, kTop>(spread(low[kProduct], i), kBase));
    } else if constexpr (Traits::template kIs<F::q2_k>) {
      return placed<2, kPart * 2, kTop>(spread(low[kProduct], i), kBase);
    } else {
      return signed_pair(spread(low[kProduct], i), Element{});
    }
  }

  /// Signed bytes: in bf16 128 + the lower seven bits, less 128 or 256 by the sign.
  static __device__ __forceinline__ std::uint32_t signed_pair(std::uint32_t bytes, bfloat16) {
    return multiply_add_pair(masked_or(bytes, 0x007F007Fu, 0x43004300u), 0x3F803F80u,
                             masked_or(bytes, 0x00800080u, 0xC300C300u), bfloat16{});
  }
  static __device__ __forceinline__ std::uint32_t signed_pair(std::uint32_t bytes, float16) {
    return multiply_add_pair(bytes ^ 0x64806480u, 0x3C003C00u, 0xE480E480u, float16{});
  }

  /// Numbers rounded, or what that left.
  template <typename Element, int kProduct, int kPlane>
  __device__ __forceinline__ std::uint32_t pair_of_numbers(int i) const {
    const float first = numbers[kProduct * 4 + i * 2], second = numbers[kProduct * 4 + i * 2 + 1];
    const std::uint32_t rounded = pack(first, second, Element{});
    if constexpr (kPlane == 0) return rounded;
    return pack(first - widen_low(rounded, Element{}), second - widen_high(rounded, Element{}), Element{});
  }

  /// The same by table.
  template <int kProduct>
  __device__ __forceinline__ std::uint32_t pair_by_table(const unsigned char* table, int lane, int i) const {
    constexpr int kFirst = kProduct * 2;  // of the lane's four bytes
    const int byte = kFirst + i;
    const std::uint32_t moved = byte == 0 ? low[0] << 7 : low[0] >> (byte * 8 - 7);
    return load_as<std::uint32_t>(table + masked_or(moved, 0x7F80u, static_cast<std::uint32_t>(lane * 4)));
  }
};

/// A group's scale, and what multiplies the surplus' sums for the minimum.
struct GroupLevel {
  float scale, surplus;
};
/// Where scales are not prepared. `block` of the group.
template <BlockFormat kFormat>
static __device__ __forceinline__ GroupLevel level_of(const unsigned char* block) {
  using F = BlockFormat;
  using Traits = CodeTraits<kFormat>;
  if constexpr (Traits::kNibbleLevels) {
    const float scale = as_float(word_at<4>(block));
    return {Traits::template kIs<F::fp4, F::fp4_32> ? scale * (1.0f / 12) : scale, 0};
  } else if constexpr (Traits::kDecoded) {
    return {1, 0};
  } else if constexpr (Traits::template kIs<F::int8_rows>) {
    return {as_float(word_at<4>(block)) * kInt8Step, 0};
  } else if constexpr (Traits::template kIs<F::mxfp4>) {
    const std::uint32_t exponent = block[0];
    return {as_float(exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23), 0};
  } else if constexpr (Traits::kMins) {
    return {half_at(block), half_at(block + 2) * (-1.0f / Traits::kSurplus)};
  } else {
    return {half_at(block), 0};
  }
}

/// Half of a block's scales as floats: of eight groups four, of sixteen eight. `half` 0 or 1.
template <BlockFormat kFormat>
static __device__ __forceinline__ void prepare_levels(const unsigned char* block, int half, float* to) {
  using F = BlockFormat;
  using Traits = CodeTraits<kFormat>;
  if constexpr (Traits::template kIs<F::q4_k, F::q5_k>) {
    const float d = half_at(block), dmin = half_at(block + 2) * (1.0f / Traits::kSurplus);
    const std::uint32_t a = word_at<4>(block + 4), b = word_at<4>(block + 8), c = word_at<4>(block + 12);
    const std::uint32_t scales = half == 0 ? a & 0x3F3F3F3Fu : (c & 0x0F0F0F0Fu) | (a >> 2 & 0x30303030u);
    const std::uint32_t mins = half == 0 ? b & 0x3F3F3F3Fu : (c >> 4 & 0x0F0F0F0Fu) | (b >> 2 & 0x30303030u);
    const EightBytes both = {{scales, mins}};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      to[half * 8 + i * 2] = d * both.number(i);
      to[half * 8 + i * 2 + 1] = dmin * both.number(4 + i);
    }
  }
  if constexpr (Traits::template kIs<F::q6_k>) {
    const float d = half_at(block + 208);
    const EightBytes scales = bytes_at<2>(block + 192 + half * 8).without_sign();
#pragma unroll
    for (int i = 0; i < 8; ++i) to[half * 8 + i] = d * scales.number(i, 128);
  }
  if constexpr (Traits::template kIs<F::q3_k>) {
    const float d = half_at(block + 108);
    const EightBytes low = bytes_at<2>(block + 96).bits(half * 4, kLowHalves);
    const std::uint32_t top = word_at<2>(block + 104) >> half * 4;
    const EightBytes scales = low | EightBytes{{(top & kLowQuarters) << 4, (top >> 2 & kLowQuarters) << 4}};
#pragma unroll
    for (int i = 0; i < 8; ++i) to[half * 8 + i] = d * scales.number(i, 32);
  }
  if constexpr (Traits::template kIs<F::q2_k>) {
    const float d = half_at(block + 80), dmin = half_at(block + 82) * (1.0f / Traits::kSurplus);
    const EightBytes packed = bytes_at<4>(block + half * 8);
    const EightBytes scales = packed.bits(0, kLowHalves), mins = packed.bits(4, kLowHalves);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      to[half * 16 + i * 2] = d * scales.number(i);
      to[half * 16 + i * 2 + 1] = dmin * mins.number(i);
    }
  }
  if constexpr (Traits::template kIs<F::iq4_xs>) {
    const float d = half_at(block);
    const std::uint32_t high = load_as<std::uint16_t>(block + 2) >> half * 8;
    const std::uint32_t low = load_as<std::uint16_t>(block + 4 + half * 2);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int code = static_cast<int>((low >> 4 * i & 15u) | (high >> 2 * i & 3u) << 4);
      to[half * 4 + i] = d * static_cast<float>(code - 32);
    }
  }
}

}  // namespace powerhouse::cuda
