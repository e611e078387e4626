#include "kernels/reference/encode_super.h"

#include <cmath>
#include <cstring>

namespace powerhouse::encoding {
namespace {

using u8 = std::uint8_t;
using i8 = std::int8_t;

constexpr AffineSearch fine(int most) { return {most, -0.9f, 0.05f, 36, false}; }

constexpr KFormat kFormats[] = {
    {BlockFormat::q2_k, 16, 3, true, {3, -0.5f, 0.1f, 15, true}, fine(3)},
    {BlockFormat::q3_k, 16, 7, false, {}, {}},
    {BlockFormat::q4_k, 32, 15, true, {15, -1.0f, 0.1f, 20, false}, fine(15)},
    {BlockFormat::q5_k, 32, 31, true, {31, -0.5f, 0.1f, 15, false}, fine(31)},
    {BlockFormat::q6_k, 16, 63, false, {}, {}},
};

float half_at(const u8* at) { return to_float(float16{static_cast<std::uint16_t>(at[0] | at[1] << 8)}); }

float greatest(const float* x, int count) {
  float most = 0.0f;
  for (int i = 0; i < count; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

/// Codes 0 .. most of scales or minima, by the largest, or by a search in which groups weigh what their elements do.
/// Returns what a step of the codes stands for.
float affine_codes(int most, int groups, const float* values, const float* weights, u8* codes) {
  if (weights != nullptr) return search_positive(most, groups, values, weights, codes);
  const float largest = greatest(values, groups);
  const float turn = largest > 0.0f ? static_cast<float>(most) / largest : 0.0f;
  for (int i = 0; i < groups; ++i) codes[i] = largest > 0.0f ? static_cast<u8>(nearest(turn * values[i])) : 0;
  return largest > 0.0f ? largest / static_cast<float>(most) : 0.0f;
}

void put_q2_k(bool weighted, SuperBlock& super, u8* block) {
  u8 scales[16];
  u8 minima[16];
  const float* const weights = weighted ? super.weights : nullptr;
  put_half(block + 80, affine_codes(15, 16, super.scales, weights, scales));
  put_half(block + 82, affine_codes(15, 16, super.minima, weights, minima));
  for (int i = 0; i < 16; ++i) {
    block[i] = static_cast<u8>(scales[i] | minima[i] << 4);
    super.steps[i] = half_at(block + 80) * static_cast<float>(block[i] & 15);
    super.lows[i] = half_at(block + 82) * static_cast<float>(block[i] >> 4);
  }
}

void put_q4_k(bool weighted, bool clamped, SuperBlock& super, u8* block) {
  u8 scales[8];
  u8 minima[8];
  const float* const weights = weighted ? super.weights : nullptr;
  put_half(block, affine_codes(63, 8, super.scales, weights, scales));
  put_half(block + 2, affine_codes(63, 8, super.minima, weights, minima));
  u8* const packed = block + 4;
  for (int i = 0; i < 8; ++i) {
    if (clamped && scales[i] > 63) scales[i] = 63;
    if (clamped && minima[i] > 63) minima[i] = 63;
    if (i < 4) {
      packed[i] = scales[i];
      packed[i + 4] = minima[i];
    } else {
      packed[i + 4] = static_cast<u8>((scales[i] & 15) | (minima[i] & 15) << 4);
      packed[i - 4] = static_cast<u8>(packed[i - 4] | scales[i] >> 4 << 6);
      packed[i] = static_cast<u8>(packed[i] | minima[i] >> 4 << 6);
    }
  }
  for (int i = 0; i < 8; ++i) {
    const int scale = i < 4 ? packed[i] & 63 : (packed[i + 4] & 15) | packed[i - 4] >> 6 << 4;
    const int low = i < 4 ? packed[i + 4] & 63 : packed[i + 4] >> 4 | packed[i] >> 6 << 4;
    super.steps[i] = half_at(block) * static_cast<float>(scale);
    super.lows[i] = half_at(block + 2) * static_cast<float>(low);
  }
}

void put_q3_k(bool weighted, SuperBlock& super, u8* block) {
  i8 codes[16] = {};
  float unit = 0.0f;
  if (weighted) {
    unit = search_signed(32, 16, super.scales, super.weights, codes);
  } else if (const float most = largest(super.scales, 16); most != 0.0f) {
    const float turn = -32.0f / most;
    for (int i = 0; i < 16; ++i) {
      codes[i] = static_cast<i8>(between(static_cast<i8>(nearest(turn * super.scales[i])), -32, 31) + 32);
    }
    unit = 1.0f / turn;
  }
  u8* const packed = block + 96;
  for (int i = 0; i < 16; ++i) {
    packed[i % 8] = static_cast<u8>(packed[i % 8] | (codes[i] & 15) << (i < 8 ? 0 : 4));
    packed[8 + i % 4] = static_cast<u8>(packed[8 + i % 4] | codes[i] >> 4 << 2 * (i / 4));
  }
  put_half(block + 108, unit);
  for (int i = 0; i < 16; ++i) {
    super.steps[i] = half_at(block + 108) * static_cast<float>((codes[i] & 63) - 32);
    super.lows[i] = 0.0f;
  }
}

void put_q6_k(SuperBlock& super, u8* block) {
  const float most = largest(super.scales, 16);
  if (magnitude(most) < kNothing) {  // all bytes stay zero
    for (int i = 0; i < 16; ++i) super.steps[i] = super.lows[i] = 0.0f;
    std::memset(super.codes, 0, sizeof super.codes);
    return;
  }
  const float turn = -128.0f / most;
  put_half(block + 208, 1.0f / turn);
  for (int i = 0; i < 16; ++i) {
    const int code = nearest(turn * super.scales[i]);
    const auto scale = static_cast<i8>(code < 127 ? code : 127);
    block[192 + i] = static_cast<u8>(scale);
    super.steps[i] = half_at(block + 208) * static_cast<float>(scale);
    super.lows[i] = 0.0f;
  }
}

/// Two bits of elements 32 apart share a byte.
void put_pairs_of_bits(const u8* codes, int shift, u8* out) {
  for (int half = 0; half < 256; half += 128) {
    for (int i = 0; i < 32; ++i) {
      const u8* const c = codes + half + i;
      out[half / 4 + i] = static_cast<u8>((c[0] >> shift & 3) | (c[32] >> shift & 3) << 2 | (c[64] >> shift & 3) << 4 |
                                          (c[96] >> shift & 3) << 6);
    }
  }
}

/// One bit of each eighth of the elements in a byte.
void put_bits(const u8* codes, int shift, u8* out) {
  for (int i = 0; i < 32; ++i) {
    int bits = 0;
    for (int part = 0; part < 8; ++part) bits |= (codes[32 * part + i] >> shift & 1) << part;
    out[i] = static_cast<u8>(bits);
  }
}

void put_nibbles(const u8* codes, int stride, u8* out) {
  for (int start = 0; start < 256; start += 2 * stride) {
    for (int i = 0; i < stride; ++i) {
      out[start / 2 + i] = static_cast<u8>((codes[start + i] & 15) | codes[start + stride + i] << 4);
    }
  }
}

}  // namespace

const KFormat* k_format(BlockFormat format) noexcept {
  for (const KFormat& row : kFormats) {
    if (row.format == format) return &row;
  }
  return nullptr;
}

float spread_of(BlockFormat format, const float* super_block) noexcept {
  const float sum = sum_of_squares(super_block, 256);
  return format == BlockFormat::q2_k ? sum / 256.0f : 2.0f * sum / 256.0f;
}

void group_weights(const KFormat& format, const float* x, const float* importance, float spread,
                   float* weights) noexcept {
  const int count = format.group;
  if (format.format == BlockFormat::q6_k) {
    if (importance == nullptr) return squares(x, count, weights);
    for (int i = 0; i < count; ++i) weights[i] = importance[i];
  } else if (importance != nullptr) {
    weigh(x, importance, spread, count, weights);
  } else if (format.format == BlockFormat::q2_k) {
    for (int i = 0; i < count; ++i) weights[i] = magnitude(x[i]);
  } else {
    const float size = std::sqrt(sum_of_squares(x, count) / static_cast<float>(count));
    for (int i = 0; i < count; ++i) weights[i] = size + magnitude(x[i]);
  }
}

void put_scales(const KFormat& format, bool weighted, SuperBlock& super, u8* block) noexcept {
  std::memset(block, 0, static_cast<std::size_t>(block_info(format.format).block_bytes));
  switch (format.format) {
    case BlockFormat::q2_k: return put_q2_k(weighted, super, block);
    case BlockFormat::q3_k: return put_q3_k(weighted, super, block);
    case BlockFormat::q4_k: return put_q4_k(weighted, !weighted, super, block);
    case BlockFormat::q5_k: return put_q4_k(weighted, true, super, block);
    default: return put_q6_k(super, block);
  }
}

void put_codes(const KFormat& format, const u8* codes, u8* block) noexcept {
  switch (format.format) {
    case BlockFormat::q2_k: return put_pairs_of_bits(codes, 0, block + 16);
    case BlockFormat::q3_k: put_bits(codes, 2, block); return put_pairs_of_bits(codes, 0, block + 32);
    case BlockFormat::q4_k: return put_nibbles(codes, 32, block + 16);
    case BlockFormat::q5_k: put_bits(codes, 4, block + 16); return put_nibbles(codes, 32, block + 48);
    default: put_nibbles(codes, 64, block); return put_pairs_of_bits(codes, 4, block + 128);
  }
}

}  // namespace powerhouse::encoding
