// Bytes on plain C++: what products of integer codes need beside Vec.
//
// The contract, which vec/bytes_avx2.h and bytes_avx512.h fulfil too: Bytes are 64 unsigned bytes, Sums
// 16 int32, Lanes 16 floats; lane i belongs to bytes 4i .. 4i + 3. `even_bytes` and `odd_bytes` are words, two a lane,
// of which `dot` adds to each lane the products with two others, exactly.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/float16.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kLevelShift = 128;

struct Bytes {
  std::uint8_t byte[64];
};
struct Sums {
  std::int32_t lane[16];
};
struct Lanes {
  float lane[16];
};

template <typename Op>
inline Bytes each_byte(Op op) {
  Bytes result;
  for (int i = 0; i < 64; ++i) result.byte[i] = static_cast<std::uint8_t>(op(i));
  return result;
}
template <typename Op>
inline Lanes each_lane(Op op) {
  Lanes result;
  for (int i = 0; i < 16; ++i) result.lane[i] = op(i);
  return result;
}

inline Bytes load_bytes(const std::uint8_t* from) {
  Bytes result;
  std::memcpy(result.byte, from, 64);
  return result;
}
inline Bytes either(Bytes a, Bytes b) {
  return each_byte([&](int i) { return a.byte[i] | b.byte[i]; });
}
inline Bytes low_nibbles(Bytes a) {
  return each_byte([&](int i) { return a.byte[i] & 15; });
}
inline Bytes high_nibbles(Bytes a) {
  return each_byte([&](int i) { return a.byte[i] >> 4; });
}
/// The bits kFrom .. of each byte moved to kTo .., all but those of `mask` cleared.
template <int kFrom, int kTo>
inline Bytes move_bits(Bytes a, std::uint8_t mask) {
  return each_byte(
      [&](int i) { return (kFrom > kTo ? a.byte[i] >> (kFrom - kTo) : a.byte[i] << (kTo - kFrom)) & mask; });
}
/// Sixteen levels of a code, each as level + kLevelShift.
inline Bytes load_levels(const std::int8_t* levels) {
  return each_byte([&](int i) { return levels[i % 16] + kLevelShift; });
}
inline Bytes look_up(Bytes levels, Bytes nibbles) {
  return each_byte([&](int i) { return levels.byte[nibbles.byte[i]]; });
}

inline Sums sums_of(std::int32_t value) {
  Sums result;
  for (std::int32_t& lane : result.lane) lane = value;
  return result;
}
inline Sums sums_add(Sums a, Sums b) {
  for (int i = 0; i < 16; ++i) a.lane[i] += b.lane[i];
  return a;
}
inline Bytes even_bytes(Bytes a) {
  return each_byte([&](int i) { return i % 2 == 0 ? a.byte[i] : 0; });
}
inline Bytes odd_bytes(Bytes a) {
  return each_byte([&](int i) { return i % 2 == 0 ? a.byte[i + 1] : 0; });
}
inline Sums dot(Sums sums, Bytes words, const std::int16_t* two) {
  for (int i = 0; i < 32; ++i) sums.lane[i / 2] += words.byte[2 * i] * two[i % 2];
  return sums;
}
inline Lanes to_lanes(Sums sums) {
  return each_lane([&](int i) { return static_cast<float>(sums.lane[i]); });
}
inline Lanes lanes_of(float value) {
  return each_lane([&](int) { return value; });
}
inline Lanes lanes_f16(const std::uint8_t* from) {
  return each_lane([&](int i) {
    float16 value;
    std::memcpy(&value, from + 2 * i, 2);
    return to_float(value);
  });
}
inline Lanes lanes_i8(const std::uint8_t* from) {
  return each_lane([&](int i) { return static_cast<float>(static_cast<std::int8_t>(from[i])); });
}
inline Lanes lanes_u8(const std::uint8_t* from) {
  return each_lane([&](int i) { return static_cast<float>(from[i]); });
}
/// Byte kByte of each lane.
template <int kByte>
inline Lanes byte_lanes(Bytes a) {
  return each_lane([&](int i) { return static_cast<float>(a.byte[4 * i + kByte]); });
}
/// Sixteen exponents where bf16 have theirs, in both halves of their lanes.
inline Bytes load_bases(const std::uint8_t* from) {
  return each_byte([&](int i) { return i % 2 == 0 ? from[i / 4] << 7 & 0x80 : from[i / 4] >> 1; });
}
/// 32 bf16 of panels (kernels/common/packed_bf16.h): signs and fractions from `bytes`, exponents from base and bits
/// 4 kPart .. of each half of a lane of `codes`.
template <int kPart>
inline Bytes bf16_words(const std::uint8_t* bytes, Bytes codes, Bytes base) {
  Bytes result;
  for (int i = 0; i < 32; ++i) {
    const int code = (codes.byte[2 * i] | codes.byte[2 * i + 1] << 8) >> 4 * kPart & 15;
    const int bits = base.byte[2 * i] | base.byte[2 * i + 1] << 8;
    const int exponent = code == 0 ? 0 : (code << 7) + bits;
    const int word = (bytes[i] & 0x80) << 8 | exponent | (bytes[i] & 0x7F);
    result.byte[2 * i] = static_cast<std::uint8_t>(word);
    result.byte[2 * i + 1] = static_cast<std::uint8_t>(word >> 8);
  }
  return result;
}
/// The bf16 in the lower half of each lane, and in the upper.
inline Lanes even_lanes(Bytes words) {
  return each_lane([&](int i) {
    return to_float(bfloat16{static_cast<std::uint16_t>(words.byte[4 * i] | words.byte[4 * i + 1] << 8)});
  });
}
inline Lanes odd_lanes(Bytes words) {
  return each_lane([&](int i) {
    return to_float(bfloat16{static_cast<std::uint16_t>(words.byte[4 * i + 2] | words.byte[4 * i + 3] << 8)});
  });
}
inline Lanes lanes_mul(Lanes a, Lanes b) {
  return each_lane([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline Lanes lanes_add(Lanes a, Lanes b) {
  return each_lane([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline Lanes lanes_fma(Lanes a, Lanes b, Lanes c) {
  return each_lane([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
/// The first `count` lanes.
inline void store_lanes(float* to, Lanes a, int count) { std::memcpy(to, a.lane, static_cast<std::size_t>(count) * 4); }
inline Lanes load_lanes(const float* from, int count) {
  return each_lane([&](int i) { return i < count ? from[i] : 0.0f; });
}
/// Whole numbers of 16 bits, of each four 0, 2, 1, 3: as words of a lane lie.
inline void store_codes(std::int16_t* to, Lanes a) {
  for (int i = 0; i < 16; ++i) to[i] = static_cast<std::int16_t>(a.lane[i / 4 * 4 + i % 4 / 2 + i % 2 * 2]);
}
/// Sixteen rows of sixteen words become its columns, `step` bytes apart.
inline void turn_words(const void* rows, void* columns, std::int64_t step) {
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 16; ++column) {
      std::memcpy(static_cast<char*>(columns) + column * step + 4 * row,
                  static_cast<const char*>(rows) + 64 * row + 4 * column, 4);
    }
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
