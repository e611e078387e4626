// Where the codes and scales of a block stand, for `dequantize`. Layouts: ggml's block_q4_0 ... block_iq4_xs.
//
// codes: kElements signed numbers, the format's offset taken off. kTwoLevels: scales and minima of up to sixteen groups
// of kGroup elements, whose f16 factors stand at kScaleAt; else one f16 scale (and minimum) opens the block.
#pragma once

#include <cstdint>
#include <cstring>

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

using u8 = std::uint8_t;
using i8 = std::int8_t;

/// Sixteen bytes at once: compilers unroll loops that short before they look for vectors in them.
using Sixteen = u8 __attribute__((vector_size(16)));

/// Sixteen bytes hold elements i and i + 16.
inline void nibble_codes(const u8* bytes, int offset, i8* codes) {
  Sixteen both;
  std::memcpy(&both, bytes, 16);
  const Sixteen low = (both & 15) - static_cast<u8>(offset);
  const Sixteen high = (both >> 4) - static_cast<u8>(offset);
  std::memcpy(codes, &low, 16);
  std::memcpy(codes + 16, &high, 16);
}

/// The same with a fifth bit from 32.
inline void five_bit_codes(const u8* bytes, const u8* high, int offset, i8* codes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  constexpr Sixteen kBits = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  nibble_codes(bytes, offset, codes);
  for (int half = 0; half < 2; ++half, codes += 16) {
    const std::uint64_t spread[2] = {kOnes * high[2 * half], kOnes * high[2 * half + 1]};
    Sixteen code;
    Sixteen bits;
    std::memcpy(&code, codes, 16);
    std::memcpy(&bits, spread, 16);
    code += reinterpret_cast<Sixteen>((bits & kBits) != 0) & 16;
    std::memcpy(codes, &code, 16);
  }
}

constexpr i8 kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

inline void iq4_codes(const u8* bytes, i8* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = kIq4Values[bytes[i] & 15];
    codes[i + 16] = kIq4Values[bytes[i] >> 4];
  }
}

template <int kBytesOfBlock, bool kHasMin>
struct OneLevel {
  static constexpr bool kTwoLevels = false, kMin = kHasMin;
  static constexpr int kElements = 32, kBytes = kBytesOfBlock;
};

struct Q4_0 : OneLevel<18, false> {
  static void codes(const u8* block, i8* to) { nibble_codes(block + 2, 8, to); }
};
struct Q4_1 : OneLevel<20, true> {
  static void codes(const u8* block, i8* to) { nibble_codes(block + 4, 0, to); }
};
struct Q5_0 : OneLevel<22, false> {
  static void codes(const u8* block, i8* to) { five_bit_codes(block + 6, block + 2, 16, to); }
};
struct Q5_1 : OneLevel<24, true> {
  static void codes(const u8* block, i8* to) { five_bit_codes(block + 8, block + 4, 0, to); }
};
struct Q8_0 : OneLevel<34, false> {
  static void codes(const u8* block, i8* to) { std::memcpy(to, block + 2, 32); }
};
struct Iq4Nl : OneLevel<18, false> {
  static void codes(const u8* block, i8* to) { iq4_codes(block + 2, to); }
};

/// Whole numbers with a scale and a zero a block.
template <int kBits, int kElementsOfBlock>
struct Affine {
  static constexpr int kElements = kElementsOfBlock, kBytes = 4 + kElements / 8 * kBits;
  static void codes(const u8* block, i8* to) {
    const u8* from = block + 4;
    for (int k = 0; k < kElements; k += 32, from += 4 * kBits, to += 32) {
      if constexpr (kBits == 8) {
        std::memcpy(to, from, 32);
      } else {
        nibble_codes(from, 0, to);
        for (int i = 0; kBits == 6 && i < 32; ++i) {
          to[i] = static_cast<i8>(to[i] | (from[16 + i / 16 * 4 + i % 4] >> (i % 16 / 4 * 2) & 3) << 4);
        }
      }
    }
  }
};

template <int kBytesOfBlock, int kGroupElements, int kPlace, bool kHasMin>
struct TwoLevels {
  static constexpr bool kTwoLevels = true, kMin = kHasMin;
  static constexpr int kElements = 256, kBytes = kBytesOfBlock, kGroup = kGroupElements, kScaleAt = kPlace;
};

/// 2-bit fields of 64 bytes, 128 elements a half.
template <int kPart>
inline void two_bits(const u8* values, i8* codes) {
  const u8* const from = values + kPart / 4 * 32;
  for (int i = 0; i < 32; ++i) codes[32 * kPart + i] = static_cast<i8>(from[i] >> kPart % 4 * 2 & 3);
}
inline void two_bit_codes(const u8* values, i8* codes) {
  two_bits<0>(values, codes), two_bits<1>(values, codes), two_bits<2>(values, codes), two_bits<3>(values, codes);
  two_bits<4>(values, codes), two_bits<5>(values, codes), two_bits<6>(values, codes), two_bits<7>(values, codes);
}

/// Bit kPart of 32 bytes belongs to element 32 kPart + i, where it weighs kWeight.
template <int kPart, int kWeight>
inline void one_bit(const u8* bytes, i8* codes) {
  for (int i = 0; i < 32; ++i) {
    codes[32 * kPart + i] = static_cast<i8>(codes[32 * kPart + i] + (bytes[i] >> kPart & 1) * kWeight);
  }
}
template <int kWeight>
inline void high_bit_codes(const u8* bytes, i8* codes) {
  one_bit<0, kWeight>(bytes, codes), one_bit<1, kWeight>(bytes, codes), one_bit<2, kWeight>(bytes, codes);
  one_bit<3, kWeight>(bytes, codes), one_bit<4, kWeight>(bytes, codes), one_bit<5, kWeight>(bytes, codes);
  one_bit<6, kWeight>(bytes, codes), one_bit<7, kWeight>(bytes, codes);
}

/// Thirty-two bytes hold elements i and i + 32.
inline void wide_nibble_codes(const u8* bytes, i8* codes) {
  for (int part = 0; part < 4; ++part, bytes += 32, codes += 64) {
    for (int i = 0; i < 32; ++i) codes[i] = static_cast<i8>(bytes[i] & 15);
    for (int i = 0; i < 32; ++i) codes[i + 32] = static_cast<i8>(bytes[i] >> 4);
  }
}

/// The 6-bit scales and minima of Q4_K and Q5_K, packed into 12 bytes.
inline void six_bit_scales(const u8* packed, i8* scales, i8* mins) {
  for (int group = 0; group < 4; ++group) {
    scales[group] = static_cast<i8>(packed[group] & 63);
    mins[group] = static_cast<i8>(packed[group + 4] & 63);
    scales[group + 4] = static_cast<i8>((packed[group + 8] & 15) | packed[group] >> 6 << 4);
    mins[group + 4] = static_cast<i8>(packed[group + 8] >> 4 | packed[group + 4] >> 6 << 4);
  }
  std::memset(scales + 8, 0, 8);
  std::memset(mins + 8, 0, 8);
}

struct Q2_K : TwoLevels<84, 16, 80, true> {
  static void codes(const u8* block, i8* to) { two_bit_codes(block + 16, to); }
  static void scales(const u8* block, i8* scales, i8* mins) {
    for (int group = 0; group < 16; ++group) scales[group] = static_cast<i8>(block[group] & 15);
    for (int group = 0; group < 16; ++group) mins[group] = static_cast<i8>(block[group] >> 4);
  }
};
struct Q3_K : TwoLevels<110, 16, 108, false> {
  static void codes(const u8* block, i8* to) {
    two_bit_codes(block + 32, to);
    high_bit_codes<4>(block, to);
    for (int i = 0; i < 256; ++i) to[i] = static_cast<i8>(to[i] - 4);
  }
  static void scales(const u8* block, i8* scales, i8*) {
    const u8* const packed = block + 96;
    for (int group = 0; group < 16; ++group) {
      const int low = group < 8 ? packed[group] & 15 : packed[group - 8] >> 4;
      const int top = packed[8 + group % 4] >> (group / 4 * 2) & 3;
      scales[group] = static_cast<i8>((low | top << 4) - 32);
    }
  }
};
struct Q4_K : TwoLevels<144, 32, 0, true> {
  static void codes(const u8* block, i8* to) { wide_nibble_codes(block + 16, to); }
  static void scales(const u8* block, i8* scales, i8* mins) { six_bit_scales(block + 4, scales, mins); }
};
struct Q5_K : TwoLevels<176, 32, 0, true> {
  static void codes(const u8* block, i8* to) {
    wide_nibble_codes(block + 48, to);
    high_bit_codes<16>(block + 16, to);
  }
  static void scales(const u8* block, i8* scales, i8* mins) { six_bit_scales(block + 4, scales, mins); }
};
struct Q6_K : TwoLevels<210, 16, 208, false> {
  template <int kPart>
  static void part(const u8* block, i8* to) {
    const u8* const low = block + kPart / 4 * 64 + kPart % 2 * 32;
    const u8* const high = block + 128 + kPart / 4 * 32;
    for (int i = 0; i < 32; ++i) {
      const int value = (low[i] >> kPart % 4 / 2 * 4 & 15) | (high[i] >> kPart % 4 * 2 & 3) << 4;
      to[32 * kPart + i] = static_cast<i8>(value - 32);
    }
  }
  static void codes(const u8* block, i8* to) {
    part<0>(block, to), part<1>(block, to), part<2>(block, to), part<3>(block, to);
    part<4>(block, to), part<5>(block, to), part<6>(block, to), part<7>(block, to);
  }
  static void scales(const u8* block, i8* scales, i8*) { std::memcpy(scales, block + 192, 16); }
};
struct Iq4Xs : TwoLevels<136, 32, 0, false> {
  static void codes(const u8* block, i8* to) {
    for (int group = 0; group < 8; ++group) iq4_codes(block + 8 + group * 16, to + group * 32);
  }
  static void scales(const u8* block, i8* scales, i8*) {
    const unsigned high = block[2] | static_cast<unsigned>(block[3]) << 8;
    for (int group = 0; group < 8; ++group) {
      const unsigned low = block[4 + group / 2] >> (group % 2 * 4) & 15u;
      scales[group] = static_cast<i8>(static_cast<int>(low | (high >> 2 * group & 3u) << 4) - 32);
    }
    std::memset(scales + 8, 0, 8);
  }
};

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
