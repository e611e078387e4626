// Eight neighbors of a block as float32, from any memory, with the bits of kernels/reference/dequantize.cpp: each is
// multiplied and added in its order, never contracted. `at` is the first one's index in the block, a multiple of eight.
//
// Eight are what 16 bytes of bf16 hold, and in no format do they have more than one scale. Formats that are read by a
// grid or by powers of three stand in grid_decoders.cuh. `turned`: as in bytes_at.
#pragma once

#include "kernels/common/four_bit.h"
#include "kernels/cuda/block_bytes.cuh"

namespace powerhouse::cuda {

using Eight = float[8];

/// Of each byte of a word.
inline constexpr std::uint32_t kLowHalves = 0x0F0F0F0Fu, kLowQuarters = 0x03030303u, kLowBits = 0x01010101u;

// Legacy: 32 elements, the first 16 in the low halves of bytes.

static __device__ __forceinline__ void decode_q4_0(const std::uint8_t* block, int at, Eight& out) {
  const float d = half_at(block);
  const EightBytes codes = bytes_at<2>(block + 2 + at % 16).bits(at / 16 * 4, kLowHalves);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(d, codes.number(i, 8));
}

static __device__ __forceinline__ void decode_q4_1(const std::uint8_t* block, int at, Eight& out) {
  const float d = half_at(block), m = half_at(block + 2);
  const EightBytes codes = bytes_at<4>(block + 4 + at % 16).bits(at / 16 * 4, kLowHalves);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = add(multiply(d, codes.number(i)), m);
}

static __device__ __forceinline__ void decode_q5_0(const std::uint8_t* block, int at, Eight& out) {
  const float d = half_at(block);
  const EightBytes codes =
      bytes_at<2>(block + 6 + at % 16).bits(at / 16 * 4, kLowHalves) | fifth_bits(word_at<2>(block + 2) >> at);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(d, codes.number(i, 16));
}

static __device__ __forceinline__ void decode_q5_1(const std::uint8_t* block, int at, Eight& out) {
  const float d = half_at(block), m = half_at(block + 2);
  const EightBytes codes =
      bytes_at<4>(block + 8 + at % 16).bits(at / 16 * 4, kLowHalves) | fifth_bits(word_at<4>(block + 4) >> at);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = add(multiply(d, codes.number(i)), m);
}

static __device__ __forceinline__ void decode_q8_0(const std::uint8_t* block, int at, Eight& out, bool turned = false) {
  const float d = half_at(block);
  const EightBytes codes = bytes_at<2>(block + 2 + at, turned).without_sign();
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(d, codes.number(i, 128));
}

// k-quants: 256 elements, scales of 16 or 32 elements quantized themselves.

static __device__ __forceinline__ void decode_q2_k(const std::uint8_t* block, int at, Eight& out) {
  const int group = at / 16;
  const int packed = block[group];
  const float scale = multiply(half_at(block + 80), static_cast<float>(packed & 15));
  const float min = multiply(half_at(block + 82), static_cast<float>(packed >> 4));
  const EightBytes codes = bytes_at<4>(block + 16 + group / 8 * 32 + at % 32).bits(group % 8 / 2 * 2, kLowQuarters);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = subtract(multiply(scale, codes.number(i)), min);
}

static __device__ __forceinline__ void decode_q3_k(const std::uint8_t* block, int at, Eight& out) {
  const int group = at / 16;
  const std::uint8_t* const packed = block + 96;
  const int low = group < 8 ? packed[group] & 15 : packed[group - 8] >> 4;
  const int top = packed[8 + group % 4] >> group / 4 * 2 & 3;
  const float scale = multiply(half_at(block + 108), static_cast<float>((low | top << 4) - 32));
  const EightBytes codes = bytes_at<2>(block + 32 + group / 8 * 32 + at % 32).bits(group % 8 / 2 * 2, kLowQuarters) |
                           bytes_at<2>(block + at % 32).bits(group / 2, kLowBits).shifted_up(2);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(scale, codes.number(i, 4));
}

/// The 6-bit scale and minimum of a group of 32 of Q4_K and Q5_K, times those of the block.
struct ScaleAndMin {
  float scale, min;
};
static __device__ __forceinline__ ScaleAndMin scale_and_min(const std::uint8_t* block, int group) {
  const std::uint8_t* const packed = block + 4;
  int scale, min;
  if (group < 4) {
    scale = packed[group] & 63;
    min = packed[group + 4] & 63;
  } else {
    scale = (packed[group + 4] & 15) | packed[group - 4] >> 6 << 4;
    min = packed[group + 4] >> 4 | packed[group] >> 6 << 4;
  }
  return {multiply(half_at(block), static_cast<float>(scale)), multiply(half_at(block + 2), static_cast<float>(min))};
}

static __device__ __forceinline__ void decode_q4_k(const std::uint8_t* block, int at, Eight& out) {
  const int group = at / 32;
  const ScaleAndMin level = scale_and_min(block, group);
  const EightBytes codes = bytes_at<4>(block + 16 + group / 2 * 32 + at % 32).bits(group % 2 * 4, kLowHalves);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = subtract(multiply(level.scale, codes.number(i)), level.min);
}

static __device__ __forceinline__ void decode_q5_k(const std::uint8_t* block, int at, Eight& out) {
  const int group = at / 32;
  const ScaleAndMin level = scale_and_min(block, group);
  const EightBytes codes = bytes_at<4>(block + 48 + group / 2 * 32 + at % 32).bits(group % 2 * 4, kLowHalves) |
                           bytes_at<4>(block + 16 + at % 32).bits(group, kLowBits).shifted_up(4);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = subtract(multiply(level.scale, codes.number(i)), level.min);
}

static __device__ __forceinline__ void decode_q6_k(const std::uint8_t* block, int at, Eight& out, bool turned = false) {
  const int part = at / 32;
  const int packed = static_cast<std::int8_t>(block[192 + at / 16]);
  const float scale = multiply(half_at(block + 208), static_cast<float>(packed));
  const EightBytes codes =
      bytes_at<2>(block + part / 4 * 64 + part % 2 * 32 + at % 32, turned).bits(part % 4 / 2 * 4, kLowHalves) |
      bytes_at<2>(block + 128 + part / 4 * 32 + at % 32, turned).bits(part % 4 * 2, kLowQuarters).shifted_up(4);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(scale, codes.number(i, 32));
}

// i-quants with 16 levels.

inline constexpr SixteenBytes kIq4Levels =
    bytes_above<int>({-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113});

static __device__ __forceinline__ void decode_iq4_nl(const std::uint8_t* block, int at, Eight& out) {
  const float d = half_at(block);
  const EightBytes levels = look_up<kIq4Levels>(bytes_at<2>(block + 2 + at % 16).bits(at / 16 * 4, kLowHalves));
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(d, levels.number(i, 128));
}

static __device__ __forceinline__ void decode_iq4_xs(const std::uint8_t* block, int at, Eight& out) {
  const int group = at / 32;
  const int low = block[4 + group / 2] >> group % 2 * 4 & 15;
  const int high = load_as<std::uint16_t>(block + 2) >> 2 * group & 3;
  const float scale = multiply(half_at(block), static_cast<float>((low | high << 4) - 32));
  const EightBytes codes = bytes_at<4>(block + 8 + group * 16 + at % 16).bits(at % 32 / 16 * 4, kLowHalves);
  const EightBytes levels = look_up<kIq4Levels>(codes);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(scale, levels.number(i, 128));
}

// bitsandbytes: a float32 scale, then codes.

static __device__ const Table<float, 16> kNf4Table = table_of(kNf4Levels);
static __device__ const Table<float, 16> kFp4Table = table_of(kFp4Levels);

static __device__ __forceinline__ void decode_four_bit(const Table<float, 16>& levels, const std::uint8_t* block,
                                                       int at, Eight& out) {
  const float scale = as_float(word_at<4>(block));
  const std::uint32_t codes = word_at<4>(block + 4 + at / 2);
#pragma unroll
  for (int i = 0; i < 8; ++i) {  // the first of a byte in its high half
    out[i] = multiply(levels.values[codes >> (i / 2 * 8 + (1 - i % 2) * 4) & 15u], scale);
  }
}

static __device__ __forceinline__ void decode_int8(const std::uint8_t* block, int at, Eight& out, bool turned = false) {
  const float scale = as_float(word_at<4>(block));
  const EightBytes codes = bytes_at<4>(block + 4 + at, turned).without_sign();
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(multiply(codes.number(i, 128), scale), kInt8Step);
}

}  // namespace powerhouse::cuda
