// bf16 and f16 as bits, with the conversions that IEEE 754 and PyTorch define: round to nearest even, NaN stays NaN.
//
// Plain integer arithmetic, so that every instruction set and every compiler gives the same bits. `static` keeps each
// translation unit's copy its own: these files are compiled with different instruction sets (docs/architecture.md).
#pragma once

#include <cstdint>
#include <cstring>

namespace powerhouse {

struct bfloat16 {
  std::uint16_t bits;
};

struct float16 {
  std::uint16_t bits;
};

static inline std::uint32_t float_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float bits_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float to_float(float value) { return value; }

static inline float to_float(bfloat16 value) { return bits_float(static_cast<std::uint32_t>(value.bits) << 16); }

static inline float to_float(float16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  const std::uint32_t exponent = value.bits >> 10 & 0x1Fu;
  const std::uint32_t mantissa = value.bits & 0x3FFu;
  if (exponent == 0x1F) return bits_float(sign | 0x7F800000u | mantissa << 13);
  if (exponent != 0) return bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
  // Zero and subnormals: the mantissa counts units of 2^-24, exact in float.
  const float magnitude = static_cast<float>(mantissa) * 0x1.0p-24f;
  return bits_float(sign | float_bits(magnitude));
}

static inline void from_float(float value, float& out) { out = value; }

static inline void from_float(float value, bfloat16& out) {
  const std::uint32_t bits = float_bits(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
    out.bits = static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // quiet, sign kept
    return;
  }
  out.bits = static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static inline void from_float(float value, float16& out) {
  const std::uint32_t bits = float_bits(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) {
    out.bits = static_cast<std::uint16_t>(sign | 0x7E00u);
  } else if (magnitude >= 0x477FF000u) {  // 65520 and more round to infinity
    out.bits = static_cast<std::uint16_t>(sign | 0x7C00u);
  } else if (magnitude < 0x38800000u) {  // below 2^-14: subnormal; adding 0.5 aligns units of 2^-24 and rounds
    out.bits = static_cast<std::uint16_t>(sign | (float_bits(bits_float(magnitude) + 0.5f) - 0x3F000000u));
  } else {
    out.bits = static_cast<std::uint16_t>(sign | (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13);
  }
}

template <typename T>
static inline T rounded(float value) {
  T out;
  from_float(value, out);
  return out;
}

}  // namespace powerhouse
