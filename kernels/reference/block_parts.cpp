#include "kernels/reference/block_parts.h"

#include <cstring>

#include "kernels/reference/bytes.h"

namespace powerhouse {
namespace {

using u8 = std::uint8_t;
using Parts = BlockParts;

std::uint16_t word(const u8* bytes) { return load<std::uint16_t>(bytes); }

std::uint16_t negated(const u8* f16) { return static_cast<std::uint16_t>(word(f16) ^ 0x8000u); }

// Sixteen bytes hold elements i and i + 16.
void nibbles(const u8* bytes, u8* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = bytes[i] & 15;
    codes[i + 16] = bytes[i] >> 4;
  }
}

// --- k-quants: 256 elements ---

// 2-bit fields of 64 bytes, 128 elements a half.
void low_two_bits(const u8* values, u8* codes) {
  for (int part = 0; part < 8; ++part) {
    const u8* const from = values + part / 4 * 32;
    for (int i = 0; i < 32; ++i) codes[32 * part + i] = from[i] >> part % 4 * 2 & 3;
  }
}

// Bit `part` of 32 bytes belongs to element 32 part + i, where it is bit `value`.
void high_bits(const u8* bytes, int value, u8* codes) {
  for (int part = 0; part < 8; ++part) {
    for (int i = 0; i < 32; ++i) {
      codes[32 * part + i] = static_cast<u8>(codes[32 * part + i] | (bytes[i] >> part & 1) << value);
    }
  }
}

void q2_k(const u8* block, Parts& parts) {
  parts.d = word(block + 80);
  parts.m = negated(block + 82);
  for (int group = 0; group < 16; ++group) {
    parts.scales[group] = static_cast<std::int8_t>(block[group] & 15);
    parts.mins[group] = block[group] >> 4;
  }
  low_two_bits(block + 16, parts.codes);
}

void q3_k(const u8* block, Parts& parts) {
  const u8* packed = block + 96;
  parts.d = word(block + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = group < 8 ? packed[group] & 15 : packed[group - 8] >> 4;
    const int top = packed[8 + group % 4] >> (group / 4 * 2) & 3;
    parts.scales[group] = static_cast<std::int8_t>((low | top << 4) - 32);
  }
  low_two_bits(block + 32, parts.codes);
  high_bits(block, 2, parts.codes);
}

// The 6-bit scales and minima of Q4_K and Q5_K, packed into 12 bytes.
void scales_and_mins(const u8* packed, Parts& parts) {
  for (int group = 0; group < 4; ++group) {
    parts.scales[group] = static_cast<std::int8_t>(packed[group] & 63);
    parts.mins[group] = packed[group + 4] & 63;
    parts.scales[group + 4] = static_cast<std::int8_t>((packed[group + 8] & 15) | packed[group] >> 6 << 4);
    parts.mins[group + 4] = static_cast<u8>(packed[group + 8] >> 4 | packed[group + 4] >> 6 << 4);
  }
}

// Thirty-two bytes hold elements i and i + 32.
void wide_nibbles(const u8* bytes, u8* codes) {
  for (int part = 0; part < 8; ++part) {
    const u8* const from = bytes + part / 2 * 32;
    for (int i = 0; i < 32; ++i) codes[32 * part + i] = from[i] >> part % 2 * 4 & 15;
  }
}

void q4_k(const u8* block, Parts& parts) {
  parts.d = word(block);
  parts.m = negated(block + 2);
  scales_and_mins(block + 4, parts);
  wide_nibbles(block + 16, parts.codes);
}

void q5_k(const u8* block, Parts& parts) {
  parts.d = word(block);
  parts.m = negated(block + 2);
  scales_and_mins(block + 4, parts);
  wide_nibbles(block + 48, parts.codes);
  high_bits(block + 16, 4, parts.codes);
}

void q6_k(const u8* block, Parts& parts) {
  parts.d = word(block + 208);
  std::memcpy(parts.scales, block + 192, 16);
  for (int part = 0; part < 8; ++part) {
    const u8* const low = block + part / 4 * 64 + part % 2 * 32;
    const u8* const high = block + 128 + part / 4 * 32;
    for (int i = 0; i < 32; ++i) {
      parts.codes[32 * part + i] =
          static_cast<u8>((low[i] >> part % 4 / 2 * 4 & 15) | (high[i] >> part % 4 * 2 & 3) << 4);
    }
  }
}

// --- levels from a table ---

void iq4_xs(const u8* block, Parts& parts) {
  parts.d = word(block);
  const unsigned high = word(block + 2);
  for (int group = 0; group < 8; ++group) {
    const unsigned low = block[4 + group / 2] >> (group % 2 * 4) & 15u;
    parts.scales[group] = static_cast<std::int8_t>(static_cast<int>(low | (high >> 2 * group & 3u) << 4) - 32);
    nibbles(block + 8 + group * 16, parts.codes + group * 32);
  }
}

}  // namespace

void split_block(BlockFormat format, const std::uint8_t* block, BlockParts& parts) noexcept {
  switch (format) {
    case BlockFormat::q2_k: return q2_k(block, parts);
    case BlockFormat::q3_k: return q3_k(block, parts);
    case BlockFormat::q4_k: return q4_k(block, parts);
    case BlockFormat::q5_k: return q5_k(block, parts);
    case BlockFormat::q6_k: return q6_k(block, parts);
    case BlockFormat::iq4_xs: return iq4_xs(block, parts);
    default: return;
  }
}

}  // namespace powerhouse
