// Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0. With importance: the searches of encode_search.h, a block a lane. Without: a block
// after the other, as kernels/reference/encode_plain.cpp has it; blocks whose scale is so small that its inverse is not
// finite are left to that.
#pragma once

#include <cstring>

#include "kernels/cpu/generic/encode_k.h"
#include "kernels/reference/encode.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

struct LegacyFormat {
  int most;    ///< the largest code
  bool fifth;  ///< bit of codes, kept apart
  bool low;    ///< has a minimum
  int bytes;
};
inline LegacyFormat legacy_format(BlockFormat format) {
  switch (format) {
    case BlockFormat::q4_0: return {15, false, false, 18};
    case BlockFormat::q4_1: return {15, false, true, 20};
    case BlockFormat::q5_0: return {31, true, false, 22};
    case BlockFormat::q5_1: return {31, true, true, 24};
    default: return {255, false, false, 34};
  }
}

/// Codes of 32 elements behind scale and minimum: element i and i + 16 share a byte, fifth bits stand before them.
inline void put_legacy(const LegacyFormat& format, const std::uint8_t* codes, std::uint8_t* block) {
  std::uint8_t* at = block + (format.low ? 4 : 2);
  if (format.fifth) {
    std::uint32_t bits = 0;
    for (int i = 0; i < 32; ++i) bits |= (codes[i] >> 4 & 1u) << i;
    std::memcpy(at, &bits, sizeof bits);
    at += 4;
  }
  for (int i = 0; i < 16; ++i) at[i] = static_cast<std::uint8_t>((codes[i] & 15) | codes[i + 16] << 4);
}

/// The block of one lane's find.
inline void put_found(const LegacyFormat& format, const float* x, float scale, float low, float turn, float base,
                      std::uint8_t* block) {
  const int half = format.low ? 0 : (format.most + 1) / 2;
  std::uint8_t codes[32] = {};
  for (int i = 0; i < 32 && turn != 0.0f; ++i) {
    const float turned = turn * (format.low ? x[i] - base : x[i]);
    codes[i] =
        static_cast<std::uint8_t>(half + encoding::between(encoding::nearest(turned), -half, format.most - half));
  }
  encoding::put_half(block, scale);
  if (format.low) encoding::put_half(block + 2, low);
  put_legacy(format, codes, block);
}

inline void encode_legacy_weighted(const LegacyFormat& format, const GroupRun& run, std::uint8_t* blocks) {
  const std::int64_t each = run.columns / 32;
  const encoding::AffineSearch search{format.most, -0.9f, 0.05f, 36, false};
  Groups groups;
  std::int64_t row = -1;
  float spread = 0.0f;
  for (std::int64_t first = 0; first < run.groups; first += kWidth) {
    alignas(64) float spreads[kWidth];
    for (int lane = 0; lane < kWidth; ++lane) {  // of the whole row
      const std::int64_t own = run.index(first, lane) / each;
      if (own != row) {
        spread = encoding::sum_of_squares(run.x + own * run.columns, run.columns) / static_cast<float>(run.columns);
        row = own;
      }
      spreads[lane] = spread;
    }
    run.gather(first, groups);
    run.gather_importance(first, groups);
    weigh(32, load(spreads), groups);
    const Found found =
        format.low ? search_affine<false>(search, 32, groups) : search_signed((format.most + 1) / 2, 32, groups);
    alignas(64) float scales[kWidth], lows[kWidth], turns[kWidth], bases[kWidth];
    store(scales, found.scale);
    store(lows, found.low);
    store(turns, found.turn);
    store(bases, found.base);
    for (int lane = 0; lane < kWidth && first + lane < run.groups; ++lane) {
      put_found(format, run.x + (first + lane) * 32, scales[lane], lows[lane], turns[lane], bases[lane],
                blocks + (first + lane) * format.bytes);
    }
  }
}

/// The first element of largest magnitude; 0 without a sign where all are zero.
inline float largest_of_32(const float* x) {
  Vec most = zero();
  for (int i = 0; i < 32; i += kWidth) most = max(most, absolute(load(x + i)));
  const float size = reduce_max(most);
  for (int i = 0; i < 32 && size != 0.0f; i += kWidth) {
    const unsigned where = equal_mask(absolute(load(x + i)), broadcast(size));
    if (where != 0) return x[i + __builtin_ctz(where)];
  }
  return 0.0f;
}

struct Extent {
  float low, high;
};
/// The first smallest and a largest element; where all are zeros of any sign, they are the same one.
inline Extent extent_of_32(const float* x) {
  Vec low = load(x);
  Vec high = low;
  for (int i = kWidth; i < 32; i += kWidth) {
    low = min(low, load(x + i));
    high = max(high, load(x + i));
  }
  const float smallest = -reduce_max(sub(zero(), low));
  const float largest = reduce_max(high);
  if (smallest != 0.0f) return {smallest, largest};
  for (int i = 0; i < 32; ++i) {
    if (x[i] == 0.0f) return {x[i], largest == 0.0f ? x[i] : largest};
  }
  return {smallest, largest};
}

/// False where the inverse of the scale is not finite.
inline bool encode_centred(const LegacyFormat& format, const float* x, std::uint8_t* block) {
  const auto half = static_cast<float>((format.most + 1) / 2);
  const float scale = largest_of_32(x) / -half;
  const float turn = scale != 0.0f ? 1.0f / scale : 0.0f;
  if (!(encoding::magnitude(turn) <= 0x1.fffffep127f)) return false;
  std::uint8_t codes[32];
  for (int i = 0; i < 32; ++i) {
    const int code = static_cast<int>(x[i] * turn + (half + 0.5f));
    codes[i] = static_cast<std::uint8_t>(code < format.most ? code : format.most);
  }
  encoding::put_half(block, scale);
  put_legacy(format, codes, block);
  return true;
}

inline bool encode_from_minimum(const LegacyFormat& format, const float* x, std::uint8_t* block) {
  const Extent range = extent_of_32(x);
  const float scale = (range.high - range.low) / static_cast<float>(format.most);
  const float turn = scale != 0.0f ? 1.0f / scale : 0.0f;
  if (!(turn <= 0x1.fffffep127f) || !(scale <= 0x1.fffffep127f)) return false;
  std::uint8_t codes[32];
  for (int i = 0; i < 32; ++i) {
    const int code = static_cast<int>((x[i] - range.low) * turn + 0.5f);
    codes[i] = static_cast<std::uint8_t>(code < format.most ? code : format.most);
  }
  encoding::put_half(block, scale);
  encoding::put_half(block + 2, range.low);
  put_legacy(format, codes, block);
  return true;
}

inline bool encode_bytes(const float* x, std::uint8_t* block) {
  const float scale = encoding::magnitude(largest_of_32(x)) / 127.0f;
  const float turn = scale != 0.0f ? 1.0f / scale : 0.0f;
  if (!(turn <= 0x1.fffffep127f)) return false;
  const Vec almost_half = broadcast(0x1.fffffep-2f);  // halves go away from zero, and nothing below them
  alignas(64) float moved[32];
  for (int i = 0; i < 32; i += kWidth) {
    const Vec code = mul(load(x + i), broadcast(turn));
    store(moved + i, add(code, copy_sign(almost_half, code)));
  }
  encoding::put_half(block, scale);
  for (int i = 0; i < 32; ++i) block[2 + i] = static_cast<std::uint8_t>(static_cast<int>(moved[i]));
  return true;
}

inline void encode_legacy(const EncodeParams& params, const GroupRun& run, std::uint8_t* blocks) {
  const LegacyFormat format = legacy_format(params.format);
  if (params.importance != nullptr && format.most != 255) return encode_legacy_weighted(format, run, blocks);
  for (std::int64_t i = 0; i < run.groups; ++i) {
    const float* const x = run.x + 32 * i;
    std::uint8_t* const block = blocks + format.bytes * i;
    const bool made = format.most == 255 ? encode_bytes(x, block)
                      : format.low       ? encode_from_minimum(format, x, block)
                                         : encode_centred(format, x, block);
    if (!made) encode_row(params.format, x, nullptr, 32, block);
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
