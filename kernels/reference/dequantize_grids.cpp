// Layouts: ggml's block_iq1_s ... block_mxfp4. As in dequantize.cpp, each multiplies and adds in the order of gguf's
// Python code.
#include "kernels/reference/dequantize_grids.h"

#include "kernels/common/iq_grids.h"
#include "kernels/reference/bytes.h"

namespace powerhouse {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;

constexpr float kIq2Levels[4] = {8, 25, 43, 0};
constexpr float kIq3XxsLevels[16] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr float kIq3SLevels[16] = {1, 3, 5, 7, 9, 11, 13, 15};

// The signs of eight elements from seven bits: the eighth makes their number even.
u32 even_signs(u32 seven) {
  u32 parity = seven ^ seven >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return seven | (parity & 1) << 7;
}

float with_sign(float value, u32 signs, int i) { return (signs >> i & 1) != 0 ? -value : value; }

void eight(u16 row, float scale, u32 signs, float* out) {
  for (int i = 0; i < 8; ++i) out[i] = with_sign(scale * kIq2Levels[row >> 2 * i & 3], signs, i);
}

void four(u16 row, const float* levels, float scale, u32 signs, float* out) {
  for (int i = 0; i < 4; ++i) out[i] = with_sign(scale * levels[row >> 4 * i & 15], signs, i);
}

// --- IQ2: 32 or 16 elements a scale ---

void iq2_xxs(const u8* block, float* out) {
  const float d = half(block);
  for (int group = 0; group < 8; ++group) {
    const u8* const codes = block + 2 + 8 * group;
    const auto packed = load<u32>(codes + 4);
    const float scale = d * (0.5f + static_cast<float>(packed >> 28)) * 0.25f;
    for (int part = 0; part < 4; ++part) {
      eight(kIq2XxsGrid[codes[part]], scale, even_signs(packed >> 7 * part & 127), out + 32 * group + 8 * part);
    }
  }
}

float scale_of_sixteen(float d, const u8* scales, int group) {
  const int code = scales[group / 2] >> group % 2 * 4 & 15;
  return d * (0.5f + static_cast<float>(code)) * 0.25f;
}

void iq2_xs(const u8* block, float* out) {
  const float d = half(block);
  for (int part = 0; part < 32; ++part) {
    const auto code = load<u16>(block + 2 + 2 * part);
    const float scale = scale_of_sixteen(d, block + 66, part / 2);
    eight(kIq2XsGrid[code & 511], scale, even_signs(code >> 9), out + 8 * part);
  }
}

void iq2_s(const u8* block, float* out) {
  const float d = half(block);
  const u8* const signs = block + 34;
  const u8* const high = block + 66;
  for (int part = 0; part < 32; ++part) {
    const int code = block[2 + part] | (high[part / 4] >> part % 4 * 2 & 3) << 8;
    eight(kIq2SGrid[code], scale_of_sixteen(d, block + 74, part / 2), signs[part], out + 8 * part);
  }
}

// --- IQ3: two rows of four elements for eight signs ---

void iq3_xxs(const u8* block, float* out) {
  const float d = half(block);
  for (int group = 0; group < 8; ++group) {
    const auto packed = load<u32>(block + 66 + 4 * group);
    const float scale = d * (0.5f + static_cast<float>(packed >> 28)) * 0.5f;
    for (int part = 0; part < 8; ++part) {
      const u32 signs = even_signs(packed >> 7 * (part / 2) & 127) >> part % 2 * 4;
      const u16 row = kIq3XxsGrid[block[2 + 8 * group + part]];
      four(row, kIq3XxsLevels, scale, signs, out + 32 * group + 4 * part);
    }
  }
}

void iq3_s(const u8* block, float* out) {
  const float d = half(block);
  const u8* const high = block + 66;
  const u8* const signs = block + 74;
  const u8* const scales = block + 106;
  for (int part = 0; part < 64; ++part) {
    const int group = part / 8;
    const float scale = d * static_cast<float>(1 + 2 * (scales[group / 2] >> group % 2 * 4 & 15));
    const int code = block[2 + part] | (high[group] >> part % 8 & 1) << 8;
    four(kIq3SGrid[code], kIq3SLevels, scale, static_cast<u32>(signs[part / 2]) >> part % 2 * 4, out + 4 * part);
  }
}

// --- IQ1: ternary rows, moved by an eighth ---

void ternary(u16 row, float scale, bool down, float* out) {
  const float delta = down ? -0.125f : 0.125f;
  for (int i = 0; i < 8; ++i) out[i] = scale * (static_cast<float>((row >> 2 * i & 3) - 1) + delta);
}

void iq1_s(const u8* block, float* out) {
  const float d = half(block);
  for (int group = 0; group < 8; ++group) {
    const auto high = load<u16>(block + 34 + 2 * group);
    const float scale = d * static_cast<float>(2 * (high >> 12 & 7) + 1);
    for (int part = 0; part < 4; ++part) {
      const int code = block[2 + 4 * group + part] | (high >> 3 * part & 7) << 8;
      ternary(kIq1SGrid[code], scale, (high & 0x8000) != 0, out + 32 * group + 8 * part);
    }
  }
}

void iq1_m(const u8* block, float* out) {
  u16 scales[4];
  std::memcpy(scales, block + 48, sizeof scales);
  u16 bits = 0;  // the f16 scale stands in the upper four bits of each
  for (int i = 0; i < 4; ++i) bits = static_cast<u16>(bits | (scales[i] & 0xF000) >> (12 - 4 * i));
  const float d = to_float(float16{bits});
  for (int part = 0; part < 32; ++part) {
    const int sixteen = part / 2;
    const float scale = d * static_cast<float>(2 * (scales[sixteen / 4] >> 3 * (sixteen % 4) & 7) + 1);
    const int high = block[32 + sixteen] >> part % 2 * 4 & 15;
    ternary(kIq1SGrid[block[part] | (high & 7) << 8], scale, (high & 8) != 0, out + 8 * part);
  }
}

// --- ternary: five digits of base three in a byte, or four of two bits ---

void tq1_0(const u8* block, float* out) {
  constexpr int kPowers[5] = {1, 3, 9, 27, 81};
  const float d = half(block + 52);
  const auto digits = [&](const u8* bytes, int count, int powers) {
    for (int power = 0; power < powers; ++power) {
      for (int i = 0; i < count; ++i, ++out) {
        const auto shifted = static_cast<u8>(bytes[i] * kPowers[power]);
        *out = d * static_cast<float>((shifted * 3 >> 8) - 1);
      }
    }
  };
  digits(block, 32, 5);
  digits(block + 32, 16, 5);
  digits(block + 48, 4, 4);
}

void tq2_0(const u8* block, float* out) {
  const float d = half(block + 64);
  for (int part = 0; part < 8; ++part) {
    const u8* const bytes = block + part / 4 * 32;
    for (int i = 0; i < 32; ++i) out[32 * part + i] = d * static_cast<float>((bytes[i] >> part % 4 * 2 & 3) - 1);
  }
}

// --- one and two bits: plus and minus the scale, or -1 .. 2 times it ---

void q1_0(const u8* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 128; ++i) out[i] = (block[2 + i / 8] >> i % 8 & 1) != 0 ? d : -d;
}

void q2_0(const u8* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 64; ++i) out[i] = d * static_cast<float>((block[2 + i / 4] >> i % 4 * 2 & 3) - 1);
}

// --- microscaling: a scale, halved, and twice the 4-bit floats of OCP (e2m1) ---

constexpr float kTwice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void mxfp4(const u8* block, float* out) {
  const u32 exponent = block[0];
  const float d = bits_float(exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * kTwice[block[1 + i] & 15];
    out[i + 16] = d * kTwice[block[1 + i] >> 4];
  }
}

// Four groups of 16 with a float8 scale each (e4m3, whose sign is not used; 127 stands for zero).
void nvfp4(const u8* block, float* out) {
  for (int group = 0; group < 4; ++group) {
    const u8 code = block[group];
    float d = bits_float(static_cast<u32>((code >> 3 & 15) + 119) << 23 | static_cast<u32>(code & 7) << 20);
    if (code == 0 || code == 127) d = 0.0f;
    if ((code & 0x78) == 0) d = static_cast<float>(code & 7) * 0x1p-10f;
    for (int i = 0; i < 8; ++i) {
      const u8 byte = block[4 + 8 * group + i];
      out[16 * group + i] = d * kTwice[byte & 15];
      out[16 * group + i + 8] = d * kTwice[byte >> 4];
    }
  }
}

}  // namespace

BlockFunction grid_block_function(BlockFormat format) noexcept {
  switch (format) {
    case BlockFormat::iq1_s: return iq1_s;
    case BlockFormat::iq1_m: return iq1_m;
    case BlockFormat::iq2_xxs: return iq2_xxs;
    case BlockFormat::iq2_xs: return iq2_xs;
    case BlockFormat::iq2_s: return iq2_s;
    case BlockFormat::iq3_xxs: return iq3_xxs;
    case BlockFormat::iq3_s: return iq3_s;
    case BlockFormat::tq1_0: return tq1_0;
    case BlockFormat::tq2_0: return tq2_0;
    case BlockFormat::mxfp4: return mxfp4;
    case BlockFormat::nvfp4: return nvfp4;
    case BlockFormat::q1_0: return q1_0;
    case BlockFormat::q2_0: return q2_0;
    default: return nullptr;
  }
}

}  // namespace powerhouse
