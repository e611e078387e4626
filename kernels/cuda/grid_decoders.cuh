// Decoders, as in block_decoders.cuh, of the formats that are read by a grid or by powers of three: i-quants, ternary
// and microscaling types. The definition is kernels/reference/dequantize_grids.cpp.
#pragma once

#include "kernels/common/iq_grids.h"
#include "kernels/cuda/block_decoders.cuh"

namespace powerhouse::cuda {

static __device__ const Table<std::uint16_t, 256> kIq2XxsTable = table_of(kIq2XxsGrid);
static __device__ const Table<std::uint16_t, 512> kIq2XsTable = table_of(kIq2XsGrid);
static __device__ const Table<std::uint16_t, 1024> kIq2STable = table_of(kIq2SGrid);
static __device__ const Table<std::uint16_t, 256> kIq3XxsTable = table_of(kIq3XxsGrid);
static __device__ const Table<std::uint16_t, 512> kIq3STable = table_of(kIq3SGrid);
static __device__ const Table<std::uint16_t, 2048> kIq1STable = table_of(kIq1SGrid);

/// The signs of eight elements from seven bits: the eighth makes their number even.
static __device__ __forceinline__ std::uint32_t even_signs(std::uint32_t seven) {
  std::uint32_t parity = seven ^ seven >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return seven | (parity & 1u) << 7;
}

static __device__ __forceinline__ float turned(float value, std::uint32_t signs, int i) {
  return as_float(as_bits(value) ^ (signs >> i & 1u) << 31);
}

// IQ2: a row of eight levels, 8, 25 or 43.

static __device__ __forceinline__ void eight_of_iq2(std::uint32_t row, float scale, std::uint32_t signs, Eight& out) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t level = 0x002B1908u >> 8 * (row >> 2 * i & 3u) & 255u;
    out[i] = turned(multiply(scale, static_cast<float>(static_cast<int>(level))), signs, i);
  }
}

static __device__ __forceinline__ float iq2_scale(float d, int code) {
  return multiply(multiply(d, add(0.5f, static_cast<float>(code))), 0.25f);
}

static __device__ __forceinline__ void decode_iq2_xxs(const std::uint8_t* block, int at, Eight& out) {
  const std::uint8_t* const codes = block + 2 + at / 32 * 8;
  const int part = at % 32 / 8;
  const std::uint32_t packed = word_at<2>(codes + 4);
  const float scale = iq2_scale(half_at(block), static_cast<int>(packed >> 28));
  eight_of_iq2(kIq2XxsTable.values[codes[part]], scale, even_signs(packed >> 7 * part & 127u), out);
}

static __device__ __forceinline__ void decode_iq2_xs(const std::uint8_t* block, int at, Eight& out) {
  const std::uint32_t code = load_as<std::uint16_t>(block + 2 + at / 8 * 2);
  const float scale = iq2_scale(half_at(block), block[66 + at / 32] >> at / 16 % 2 * 4 & 15);
  eight_of_iq2(kIq2XsTable.values[code & 511u], scale, even_signs(code >> 9), out);
}

static __device__ __forceinline__ void decode_iq2_s(const std::uint8_t* block, int at, Eight& out) {
  const int part = at / 8;
  const int code = block[2 + part] | (block[66 + part / 4] >> part % 4 * 2 & 3) << 8;
  const float scale = iq2_scale(half_at(block), block[74 + at / 32] >> at / 16 % 2 * 4 & 15);
  eight_of_iq2(kIq2STable.values[code], scale, block[34 + part], out);
}

// IQ3: two rows of four levels for eight signs.

static __device__ __forceinline__ void decode_iq3_xxs(const std::uint8_t* block, int at, Eight& out) {
  const std::uint32_t packed = word_at<2>(block + 66 + at / 32 * 4);
  const float scale =
      multiply(multiply(half_at(block), add(0.5f, static_cast<float>(static_cast<int>(packed >> 28)))), 0.5f);
  const std::uint32_t signs = even_signs(packed >> 7 * (at % 32 / 8) & 127u);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t row = kIq3XxsTable.values[block[2 + at / 4 + i / 4]];
    const std::uint32_t index = row >> 4 * (i % 4) & 15u;
    const std::uint32_t level = index < 7 ? 4 + 8 * index : 62;
    out[i] = turned(multiply(scale, static_cast<float>(static_cast<int>(level))), signs, i);
  }
}

static __device__ __forceinline__ void decode_iq3_s(const std::uint8_t* block, int at, Eight& out) {
  const int group = at / 32;
  const float scale =
      multiply(half_at(block), static_cast<float>(1 + 2 * (block[106 + group / 2] >> group % 2 * 4 & 15)));
  const std::uint32_t signs = block[74 + at / 8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int part = at / 4 + i / 4;
    const std::uint32_t row = kIq3STable.values[block[2 + part] | (block[66 + group] >> part % 8 & 1) << 8];
    const int level = 1 + 2 * static_cast<int>(row >> 4 * (i % 4) & 15u);
    out[i] = turned(multiply(scale, static_cast<float>(level)), signs, i);
  }
}

// IQ1: ternary rows, moved by an eighth.

static __device__ __forceinline__ void eight_of_iq1(int code, float scale, bool down, Eight& out) {
  const std::uint32_t row = kIq1STable.values[code];
  const float delta = down ? -0.125f : 0.125f;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    out[i] = multiply(scale, add(static_cast<float>(static_cast<int>(row >> 2 * i & 3u) - 1), delta));
  }
}

static __device__ __forceinline__ void decode_iq1_s(const std::uint8_t* block, int at, Eight& out) {
  const int high = load_as<std::uint16_t>(block + 34 + at / 32 * 2);
  const float scale = multiply(half_at(block), static_cast<float>(2 * (high >> 12 & 7) + 1));
  const int code = block[2 + at / 8] | (high >> 3 * (at % 32 / 8) & 7) << 8;
  eight_of_iq1(code, scale, (high & 0x8000) != 0, out);
}

static __device__ __forceinline__ void decode_iq1_m(const std::uint8_t* block, int at, Eight& out) {
  std::uint32_t bits = 0;  // the f16 scale stands in the upper four bits of each
#pragma unroll
  for (int i = 0; i < 4; ++i) bits |= (load_as<std::uint16_t>(block + 48 + 2 * i) & 0xF000u) >> (12 - 4 * i);
  const int sixteen = at / 16;
  const int scales = load_as<std::uint16_t>(block + 48 + sixteen / 4 * 2);
  const float scale = multiply(widen(float16{static_cast<std::uint16_t>(bits)}),
                               static_cast<float>(2 * (scales >> 3 * (sixteen % 4) & 7) + 1));
  const int high = block[32 + sixteen] >> at / 8 % 2 * 4 & 15;
  eight_of_iq1(block[at / 8] | (high & 7) << 8, scale, (high & 8) != 0, out);
}

// Ternary: five digits of base three in a byte, or four of two bits.

/// The highest digits of four bytes, which stand for fractions, times a power of three that moves another one there.
static __device__ __forceinline__ std::uint32_t ternary_digits(std::uint32_t bytes, std::uint32_t power) {
  constexpr std::uint32_t kEven = 0x00FF00FFu;
  const std::uint32_t even = (bytes & kEven) * power & kEven, odd = (bytes >> 8 & kEven) * power & kEven;
  return (even * 3 >> 8 & kEven) | (odd * 3 & ~kEven);
}

/// Five digits of 32 bytes, then of 16, then four of 4 bytes: there, eight elements are two digits of the same bytes.
static __device__ __forceinline__ void decode_tq1_0(const std::uint8_t* block, int at, Eight& out,
                                                    bool turned = false) {
  const float d = half_at(block + 52);
  const bool last = at >= 240;
  const int digit = at < 160 ? at / 32 : last ? (at - 240) / 4 : (at - 160) / 16;
  const int place = at < 160 ? at % 32 : last ? 48 : 32 + at % 16, swap = turned && !last ? 4 : 0;
  const std::uint32_t power = digit == 0 ? 1 : digit == 1 ? 3 : digit == 2 ? 9 : digit == 3 ? 27 : 81;
  const std::uint32_t first = word_at<2>(block + place + swap),
                      second = word_at<2>(block + place + (last ? 0 : swap ^ 4));
  const EightBytes digits = {{ternary_digits(turned ? second : first, power),
                              ternary_digits(turned ? first : second, last ? power * 3 : power)}};
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(d, digits.number(i, 1));
}

static __device__ __forceinline__ void decode_tq2_0(const std::uint8_t* block, int at, Eight& out) {
  const float d = half_at(block + 64);
  const int part = at / 32;
  const EightBytes codes = bytes_at<2>(block + part / 4 * 32 + at % 32).bits(part % 4 * 2, kLowQuarters);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(d, codes.number(i, 1));
}

// Microscaling: a power of two, halved, and twice the 4-bit floats of OCP (e2m1).

inline constexpr SixteenBytes kMxfp4Levels =
    bytes_above<int>({0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12});

static __device__ __forceinline__ void decode_mxfp4(const std::uint8_t* block, int at, Eight& out) {
  const std::uint32_t exponent = block[0];
  const float d = as_float(exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23);
  const EightBytes codes = bytes_at<1>(block + 1 + at % 16).bits(at / 16 * 4, kLowHalves);
  const EightBytes twice = look_up<kMxfp4Levels>(codes);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = multiply(d, twice.number(i, 128));
}

}  // namespace powerhouse::cuda
