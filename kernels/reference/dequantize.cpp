// The plain loops of dequantization. Layouts: ggml's block_q4_0 ... block_iq4_xs. Each multiplies and adds in the order
// of gguf's Python code, in float32, so that results agree to the bit; contraction is off for this file.
#include "kernels/reference/dequantize.h"

#include "kernels/common/four_bit.h"
#include "kernels/common/iq4_levels.h"
#include "kernels/reference/bytes.h"
#include "kernels/reference/dequantize_grids.h"

namespace powerhouse {
namespace {

using u8 = std::uint8_t;
using i8 = std::int8_t;

// --- plain types ---

template <typename T>
void plain(const u8* source, float* out, std::int64_t elements) {
  for (std::int64_t i = 0; i < elements; ++i) {
    const T value = load<T>(source + i * static_cast<std::int64_t>(sizeof(T)));
    if constexpr (sizeof(T) == 2 && requires { value.bits; }) {
      out[i] = to_float(value);
    } else {
      out[i] = static_cast<float>(value);
    }
  }
}

void boolean(const u8* source, float* out, std::int64_t elements) {
  for (std::int64_t i = 0; i < elements; ++i) out[i] = source[i] != 0 ? 1.0f : 0.0f;
}

// OCP 8-bit floats: e4m3 has no infinity and NaN only at all ones; e5m2 is the upper half of an f16.
float e4m3(u8 bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x80u) << 24;
  const std::uint32_t exponent = bits >> 3 & 0xFu;
  const std::uint32_t mantissa = bits & 7u;
  if (exponent == 15 && mantissa == 7) return bits_float(sign | 0x7FC00000u);
  if (exponent == 0) return bits_float(sign | float_bits(static_cast<float>(mantissa) * 0x1.0p-9f));
  return bits_float(sign | (exponent + 120) << 23 | mantissa << 20);
}

void float8_e4m3(const u8* source, float* out, std::int64_t elements) {
  for (std::int64_t i = 0; i < elements; ++i) out[i] = e4m3(source[i]);
}

void float8_e5m2(const u8* source, float* out, std::int64_t elements) {
  for (std::int64_t i = 0; i < elements; ++i) {
    out[i] = to_float(float16{static_cast<std::uint16_t>(source[i] << 8)});
  }
}

// --- legacy: 32 elements, an f16 scale, for _1 an f16 minimum ---

void q4_0(const u8* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 16; ++i) {
    const u8 byte = block[2 + i];
    out[i] = d * static_cast<float>((byte & 15) - 8);
    out[i + 16] = d * static_cast<float>((byte >> 4) - 8);
  }
}

void q4_1(const u8* block, float* out) {
  const float d = half(block);
  const float m = half(block + 2);
  for (int i = 0; i < 16; ++i) {
    const u8 byte = block[4 + i];
    out[i] = d * static_cast<float>(byte & 15) + m;
    out[i + 16] = d * static_cast<float>(byte >> 4) + m;
  }
}

void q5_0(const u8* block, float* out) {
  const float d = half(block);
  const auto high = load<std::uint32_t>(block + 2);
  for (int i = 0; i < 16; ++i) {
    const u8 byte = block[6 + i];
    out[i] = d * static_cast<float>(static_cast<int>((byte & 15u) | (high >> i & 1u) << 4) - 16);
    out[i + 16] = d * static_cast<float>(static_cast<int>((byte >> 4u) | (high >> (i + 16) & 1u) << 4) - 16);
  }
}

void q5_1(const u8* block, float* out) {
  const float d = half(block);
  const float m = half(block + 2);
  const auto high = load<std::uint32_t>(block + 4);
  for (int i = 0; i < 16; ++i) {
    const u8 byte = block[8 + i];
    out[i] = d * static_cast<float>((byte & 15u) | (high >> i & 1u) << 4) + m;
    out[i + 16] = d * static_cast<float>((byte >> 4u) | (high >> (i + 16) & 1u) << 4) + m;
  }
}

void q8_0(const u8* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<i8>(block[2 + i]));
}

// --- k-quants: 256 elements, scales of 16 or 32 elements quantized themselves ---

// 16 groups of 16: 4-bit scale and minimum, 2-bit values.
void q2_k(const u8* block, float* out) {
  const u8* scales = block;
  const u8* values = block + 16;
  const float d = half(block + 80);
  const float m = half(block + 82);
  for (int group = 0; group < 16; ++group) {
    const float dl = d * static_cast<float>(scales[group] & 15);
    const float ml = m * static_cast<float>(scales[group] >> 4);
    const u8* bytes = values + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) out[group * 16 + i] = dl * static_cast<float>(bytes[i] >> shift & 3) - ml;
  }
}

// 16 groups of 16: 6-bit scales around 32; values of 2 low bits and an inverted high bit.
void q3_k(const u8* block, float* out) {
  const u8* high = block;
  const u8* values = block + 32;
  const u8* packed = block + 96;
  const float d = half(block + 108);
  for (int group = 0; group < 16; ++group) {
    const int low = group < 8 ? packed[group] & 15 : packed[group - 8] >> 4;
    const int top = packed[8 + group % 4] >> (group / 4 * 2) & 3;
    const float dl = d * static_cast<float>((low | top << 4) - 32);
    const u8* bytes = values + group / 8 * 32 + group % 2 * 16;
    const u8* bits = high + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) {
      const int value = (bytes[i] >> shift & 3) - ((bits[i] >> group / 2 & 1) != 0 ? 0 : 4);
      out[group * 16 + i] = dl * static_cast<float>(value);
    }
  }
}

// The 6-bit scale and minimum of group 0 .. 7 of Q4_K and Q5_K, packed into 12 bytes.
struct ScaleMin {
  int scale, min;
};
ScaleMin scale_min(const u8* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4, (packed[group + 4] >> 4) | (packed[group] >> 6)
                                                                                                   << 4};
}

void q4_k(const u8* block, float* out) {
  const float d = half(block);
  const float m = half(block + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = scale_min(block + 4, group);
    const float dl = d * static_cast<float>(packed.scale);
    const float ml = m * static_cast<float>(packed.min);
    const u8* bytes = block + 16 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) out[group * 32 + i] = dl * static_cast<float>(bytes[i] >> shift & 15) - ml;
  }
}

void q5_k(const u8* block, float* out) {
  const float d = half(block);
  const float m = half(block + 2);
  const u8* high = block + 16;
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = scale_min(block + 4, group);
    const float dl = d * static_cast<float>(packed.scale);
    const float ml = m * static_cast<float>(packed.min);
    const u8* bytes = block + 48 + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int value = (bytes[i] >> shift & 15) | (high[i] >> group & 1) << 4;
      out[group * 32 + i] = dl * static_cast<float>(value) - ml;
    }
  }
}

void q6_k(const u8* block, float* out) {
  const u8* low = block;
  const u8* high = block + 128;
  const auto* scales = reinterpret_cast<const i8*>(block + 192);
  const float d = half(block + 208);
  for (int part = 0; part < 8; ++part) {  // 32 elements each
    const u8* bytes = low + part / 4 * 64 + part % 2 * 32;
    const u8* bits = high + part / 4 * 32;
    const int low_shift = part % 4 / 2 * 4;
    const int high_shift = part % 4 * 2;
    for (int i = 0; i < 32; ++i) {
      const int value = ((bytes[i] >> low_shift & 15) | (bits[i] >> high_shift & 3) << 4) - 32;
      const auto scale = scales[part * 2 + i / 16];
      const float dl = d * static_cast<float>(scale);
      out[part * 32 + i] = dl * static_cast<float>(value);
    }
  }
}

// --- i-quants with a table of 16 levels ---

void iq4_nl(const u8* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kIq4Levels[block[2 + i] & 15]);
    out[i + 16] = d * static_cast<float>(kIq4Levels[block[2 + i] >> 4]);
  }
}

void iq4_xs(const u8* block, float* out) {
  const float d = half(block);
  const auto high = load<std::uint16_t>(block + 2);
  for (int group = 0; group < 8; ++group) {
    const int low = block[4 + group / 2] >> (group % 2 * 4) & 15;
    const float dl = d * static_cast<float>((low | (high >> 2 * group & 3) << 4) - 32);
    const u8* bytes = block + 8 + group * 16;
    for (int i = 0; i < 16; ++i) {
      out[group * 32 + i] = dl * static_cast<float>(kIq4Levels[bytes[i] & 15]);
      out[group * 32 + i + 16] = dl * static_cast<float>(kIq4Levels[bytes[i] >> 4]);
    }
  }
}

// --- bitsandbytes: a float32 scale, then codes ---

template <const float* kLevels, int kElements>
void four_bit(const u8* block, float* out) {
  const auto scale = load<float>(block);
  for (int i = 0; i < kElements / 2; ++i) {
    out[2 * i] = kLevels[block[4 + i] >> 4] * scale;
    out[2 * i + 1] = kLevels[block[4 + i] & 15] * scale;
  }
}

void int8_rows(const u8* block, float* out) {
  const auto scale = load<float>(block);
  for (int i = 0; i < 64; ++i) out[i] = static_cast<float>(static_cast<i8>(block[4 + i])) * scale * kInt8Step;
}

// --- whole numbers with a scale and a zero ---

template <int kBits, int kElements>
void affine(const u8* block, float* out) {
  const float d = half(block);
  const float m = d * half(block + 2);
  const u8* from = block + 4;
  for (int k = 0; k < kElements; k += 32, from += 4 * kBits) {
    for (int i = 0; i < 32; ++i) {
      int code = from[i % 16] >> (i / 16 * 4) & 15;
      if constexpr (kBits == 6) code |= (from[16 + i / 16 * 4 + i % 4] >> (i % 16 / 4 * 2) & 3) << 4;
      if constexpr (kBits == 8) code = static_cast<i8>(from[i]);
      out[k + i] = d * static_cast<float>(code) - m;
    }
  }
}

template <void (*kBlock)(const u8*, float*), int kElements, int kBytes>
void blocks(const u8* source, float* out, std::int64_t elements) {
  for (std::int64_t block = 0; block < elements / kElements; ++block) {
    kBlock(source + block * kBytes, out + block * kElements);
  }
}

using RowFunction = void (*)(const u8*, float*, std::int64_t);

constexpr RowFunction row_function(BlockFormat format) {
  switch (format) {
    case BlockFormat::f64: return plain<double>;
    case BlockFormat::f32: return plain<float>;
    case BlockFormat::f16: return plain<float16>;
    case BlockFormat::bf16: return plain<bfloat16>;
    case BlockFormat::i64: return plain<std::int64_t>;
    case BlockFormat::i32: return plain<std::int32_t>;
    case BlockFormat::i16: return plain<std::int16_t>;
    case BlockFormat::i8: return plain<std::int8_t>;
    case BlockFormat::u64: return plain<std::uint64_t>;
    case BlockFormat::u32: return plain<std::uint32_t>;
    case BlockFormat::u16: return plain<std::uint16_t>;
    case BlockFormat::u8: return plain<std::uint8_t>;
    case BlockFormat::boolean: return boolean;
    case BlockFormat::f8_e4m3: return float8_e4m3;
    case BlockFormat::f8_e5m2: return float8_e5m2;
    case BlockFormat::q4_0: return blocks<q4_0, 32, 18>;
    case BlockFormat::q4_1: return blocks<q4_1, 32, 20>;
    case BlockFormat::q5_0: return blocks<q5_0, 32, 22>;
    case BlockFormat::q5_1: return blocks<q5_1, 32, 24>;
    case BlockFormat::q8_0: return blocks<q8_0, 32, 34>;
    case BlockFormat::q2_k: return blocks<q2_k, 256, 84>;
    case BlockFormat::q3_k: return blocks<q3_k, 256, 110>;
    case BlockFormat::q4_k: return blocks<q4_k, 256, 144>;
    case BlockFormat::q5_k: return blocks<q5_k, 256, 176>;
    case BlockFormat::q6_k: return blocks<q6_k, 256, 210>;
    case BlockFormat::iq4_nl: return blocks<iq4_nl, 32, 18>;
    case BlockFormat::iq4_xs: return blocks<iq4_xs, 256, 136>;
    case BlockFormat::nf4: return blocks<four_bit<kNf4Levels, 64>, 64, 36>;
    case BlockFormat::fp4: return blocks<four_bit<kFp4Levels, 64>, 64, 36>;
    case BlockFormat::nf4_32: return blocks<four_bit<kNf4Levels, 32>, 32, 20>;
    case BlockFormat::fp4_32: return blocks<four_bit<kFp4Levels, 32>, 32, 20>;
    case BlockFormat::int8_rows: return blocks<int8_rows, 64, 68>;
    case BlockFormat::affine4_32: return blocks<affine<4, 32>, 32, 20>;
    case BlockFormat::affine4_64: return blocks<affine<4, 64>, 64, 36>;
    case BlockFormat::affine4_128: return blocks<affine<4, 128>, 128, 68>;
    case BlockFormat::affine6_32: return blocks<affine<6, 32>, 32, 28>;
    case BlockFormat::affine6_64: return blocks<affine<6, 64>, 64, 52>;
    case BlockFormat::affine6_128: return blocks<affine<6, 128>, 128, 100>;
    case BlockFormat::affine8_32: return blocks<affine<8, 32>, 32, 36>;
    case BlockFormat::affine8_64: return blocks<affine<8, 64>, 64, 68>;
    case BlockFormat::affine8_128: return blocks<affine<8, 128>, 128, 132>;
    default: return nullptr;
  }
}

}  // namespace

bool can_dequantize(BlockFormat format) noexcept {
  return row_function(format) != nullptr || grid_block_function(format) != nullptr;
}

void dequantize_row(BlockFormat format, const void* source, float* destination, std::int64_t elements) noexcept {
  const auto* bytes = static_cast<const u8*>(source);
  if (const BlockFunction block = grid_block_function(format)) {
    const BlockInfo info = block_info(format);
    for (std::int64_t i = 0; i < elements / info.block_elements; ++i) {
      block(bytes + i * info.block_bytes, destination + i * info.block_elements);
    }
    return;
  }
  row_function(format)(bytes, destination, elements);
}

}  // namespace powerhouse
