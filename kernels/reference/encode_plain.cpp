// Encoders that take each group's scale from its largest element, and those of the legacy types with importance.
// Layouts: see dequantize.cpp. Codes that do not fit (scales that overflow or vanish) are what the processor's
// conversion gives.
#include <cmath>

#include "kernels/reference/encode.h"
#include "kernels/reference/encode_search.h"

namespace powerhouse {
namespace {

using namespace encoding;
using u8 = std::uint8_t;
using u32 = std::uint32_t;
using i8 = std::int8_t;

/// Towards zero; the least int for what no int holds, as x86 does it.
int truncated(float x) { return x >= -0x1p31f && x < 0x1p31f ? static_cast<int>(x) : -0x7FFFFFFF - 1; }

/// Halves away from zero.
int rounded_away(float x) { return truncated(std::round(x)); }

float inverse(float x) { return x != 0.0f ? 1.0f / x : 0.0f; }

/// Nothing is better than magnitude 0, which keeps its sign plus.
float largest_magnitude(const float* x, int count) { return magnitude(largest(x, count)); }

struct Extent {
  float low, high;
};
Extent extent(const float* x, int count) {
  Extent found{0x1.fffffep127f, -0x1.fffffep127f};
  for (int i = 0; i < count; ++i) {
    if (x[i] < found.low) found.low = x[i];
    if (x[i] > found.high) found.high = x[i];
  }
  return found;
}

// --- legacy types: 32 elements ---

u8 byte_code(float x, int most) {
  const int code = static_cast<i8>(truncated(x));
  return static_cast<u8>(code < most ? code : most);
}

/// Codes' low halves: element i and i + 16 share a byte. The fifth bits, if any, stand in a word of their own.
void put_codes(const u8* codes, u8* at, u8* fifth) {
  u32 high = 0;
  for (int i = 0; i < 16; ++i) {
    at[i] = static_cast<u8>((codes[i] & 15) | codes[i + 16] << 4);
    high |= (codes[i] >> 4 & 1u) << i | (codes[i + 16] >> 4 & 1u) << (i + 16);
  }
  for (int i = 0; fifth != nullptr && i < 4; ++i) fifth[i] = static_cast<u8>(high >> 8 * i);
}

/// Q4_0 and Q5_0: half is 8 or 16.
template <int kHalf>
bool centred(const float* x, const float* importance, std::int64_t columns, u8* out) {
  constexpr int kCodes = kHalf == 16 ? 6 : 2;
  const float spread = importance != nullptr ? sum_of_squares(x, columns) / static_cast<float>(columns) : 0.0f;
  for (std::int64_t k = 0; k < columns; k += 32, out += kCodes + 16) {
    u8 codes[32];
    float scale = 0.0f;
    if (importance != nullptr) {
      float weights[32];
      weigh(x + k, importance + k, spread, 32, weights);
      scale = search_signed(kHalf, 32, x + k, weights, reinterpret_cast<i8*>(codes));
    } else {
      scale = largest(x + k, 32) / static_cast<float>(-kHalf);
      const float turn = inverse(scale);
      for (int i = 0; i < 32; ++i) {
        codes[i] = byte_code(x[k + i] * turn + (static_cast<float>(kHalf) + 0.5f), 2 * kHalf - 1);
      }
    }
    put_half(out, scale);
    put_codes(codes, out + kCodes, kHalf == 16 ? out + 2 : nullptr);
  }
  return true;
}

/// Q4_1 and Q5_1: codes 0 .. most from the group's minimum.
template <int kMost>
bool from_minimum(const float* x, const float* importance, std::int64_t columns, u8* out) {
  constexpr int kCodes = kMost == 31 ? 8 : 4;
  const float spread = importance != nullptr ? sum_of_squares(x, columns) / static_cast<float>(columns) : 0.0f;
  for (std::int64_t k = 0; k < columns; k += 32, out += kCodes + 16) {
    u8 codes[32];
    if (importance != nullptr) {
      float weights[32];
      weigh(x + k, importance + k, spread, 32, weights);
      const Affine found = search_affine({kMost, -0.9f, 0.05f, 36, false}, 32, x + k, weights, codes);
      put_half(out, found.scale);
      put_half(out + 2, -found.minimum);
    } else {
      const Extent range = extent(x + k, 32);
      const float scale = (range.high - range.low) / static_cast<float>(kMost);
      const float turn = inverse(scale);
      for (int i = 0; i < 32; ++i) {
        const float code = (x[k + i] - range.low) * turn + 0.5f;
        codes[i] = kMost == 15 ? byte_code(code, kMost) : static_cast<u8>(truncated(code));
      }
      put_half(out, scale);
      put_half(out + 2, range.low);
    }
    put_codes(codes, out + kCodes, kMost == 31 ? out + 4 : nullptr);
  }
  return true;
}

template <bool kSum>
bool q8(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 32, out += kSum ? 36 : 34) {
    const float scale = largest_magnitude(x + k, 32) / 127.0f;
    const float turn = inverse(scale);
    int sum = 0;
    for (int i = 0; i < 32; ++i) {
      const auto code = static_cast<i8>(rounded_away(x[k + i] * turn));
      out[(kSum ? 4 : 2) + i] = static_cast<u8>(code);
      sum += code;
    }
    put_half(out, scale);
    if (kSum) put_half(out + 2, static_cast<float>(sum) * scale);
  }
  return true;
}

// --- one and two bits ---

bool q1_0(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 128, out += 18) {
    float sum = 0.0f;
    for (int i = 0; i < 128; ++i) sum += magnitude(x[k + i]);
    put_half(out, sum / 128.0f);
    for (int byte = 0; byte < 16; ++byte) {
      u32 bits = 0;
      for (int i = 0; i < 8; ++i) bits |= (x[k + 8 * byte + i] >= 0.0f ? 1u : 0u) << i;
      out[2 + byte] = static_cast<u8>(bits);
    }
  }
  return true;
}

bool q2_0(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 64, out += 18) {
    const float scale = largest_magnitude(x + k, 64);
    const float turn = inverse(scale);
    put_half(out, scale);
    for (int byte = 0; byte < 16; ++byte) {
      int bits = 0;
      for (int i = 0; i < 4; ++i) bits |= (between(rounded_away(x[k + 4 * byte + i] * turn), -1, 2) + 1) << 2 * i;
      out[2 + byte] = static_cast<u8>(bits);
    }
  }
  return true;
}

/// The scale is the largest magnitude, and codes stand for -1, 0 and 1 of it.
int ternary_code(float x, float turn) {
  const float code = x * turn;
  // Halves away from zero: a little less than a half, because nothing below may come to the next number.
  const float moved = code + (code < 0.0f ? -0x1.fffffep-2f : 0x1.fffffep-2f);
  return magnitude(code) <= 2.0f ? static_cast<int>(moved) + 1 : 1;  // NaN and infinity: a scale that vanished
}

bool tq2_0(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 256, out += 66) {
    const float scale = largest_magnitude(x + k, 256);
    const float turn = inverse(scale);
    for (int i = 0; i < 64; ++i) {
      u32 byte = 0;
      for (int part = 0; part < 4; ++part) {
        byte |= static_cast<u32>(ternary_code(x[k + i / 32 * 128 + i % 32 + 32 * part], turn) & 3) << 2 * part;
      }
      out[i] = static_cast<u8>(byte);
    }
    put_half(out + 64, scale);
  }
  return true;
}

/// Digits of base three, the first the highest, as a fraction of 256, rounded up.
u8 digits(const float* x, int stride, int count, float turn) {
  int value = 0;
  for (int i = 0; i < 5; ++i) value = static_cast<u8>(value * 3 + (i < count ? ternary_code(x[i * stride], turn) : 0));
  return static_cast<u8>((value * 256 + 242) / 243);
}

bool tq1_0(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 256, out += 54) {
    const float scale = largest_magnitude(x + k, 256);
    const float turn = inverse(scale);
    for (int i = 0; i < 32; ++i) out[i] = digits(x + k + i, 32, 5, turn);
    for (int i = 0; i < 16; ++i) out[32 + i] = digits(x + k + 160 + i, 16, 5, turn);
    for (int i = 0; i < 4; ++i) out[48 + i] = digits(x + k + 240 + i, 4, 4, turn);
    put_half(out + 52, scale);
  }
  return true;
}

// --- microscaling: codes name twice a float of four bits (e2m1), whose scale is halved ---

constexpr float kTwice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// The nearest; the first of several.
u8 nearest_float4(float x, float scale) {
  int best = 0;
  float least = magnitude(kTwice[0] * scale - x);
  for (int code = 1; code < 16; ++code) {
    const float off = magnitude(kTwice[code] * scale - x);
    if (off < least) {
      least = off;
      best = code;
    }
  }
  return static_cast<u8>(best);
}

void put_float4(const float* x, int count, float scale, u8* out) {
  for (int i = 0; i < count / 2; ++i) {
    out[i] = static_cast<u8>(nearest_float4(x[i], scale) | nearest_float4(x[i + count / 2], scale) << 4);
  }
}

bool mxfp4(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 32, out += 17) {
    const float most = largest_magnitude(x + k, 32);
    // The float's logarithm, which for the last values below a power of two is rounded up to that power's.
    const u8 exponent = most > 0.0f ? static_cast<u8>(truncated(std::floor(std::log2(most)) - 2.0f + 127.0f)) : 0;
    const u32 bits = exponent < 2 ? 0x00200000u << exponent : static_cast<u32>(exponent - 1) << 23;
    out[0] = exponent;
    put_float4(x + k, 32, bits_float(bits), out + 1);
  }
  return true;
}

/// A float of four bits of exponent and three of mantissa without a sign; halves of the last place are rounded up.
u8 unsigned_e4m3(float x) {
  if (!(x > 0.0f)) return 0;
  const u32 bits = float_bits(x > 448.0f ? 448.0f : x);
  const int exponent = static_cast<int>(bits >> 23) - 120;
  if (exponent <= 0) {
    const int code = static_cast<int>(bits_float(bits) * 512.0f + 0.5f);
    return static_cast<u8>(code < 7 ? code : 7);
  }
  const int code = exponent * 8 + static_cast<int>((bits >> 20 & 7) + (bits >> 19 & 1));
  return static_cast<u8>(exponent >= 15 || code >= 120 ? 126 : code);
}

float half_of_e4m3(u8 code) {
  if (code == 0 || code == 127) return 0.0f;
  if (code < 8) return static_cast<float>(code) * 0x1p-10f;
  return bits_float(static_cast<u32>((code >> 3) + 119) << 23 | static_cast<u32>(code & 7) << 20);
}

bool nvfp4(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 64, out += 36) {
    for (int part = 0; part < 4; ++part) {
      const float* const group = x + k + 16 * part;
      out[part] = unsigned_e4m3(largest_magnitude(group, 16) / 6.0f);
      put_float4(group, 16, half_of_e4m3(out[part]), out + 4 + 8 * part);
    }
  }
  return true;
}

// --- floats ---

template <typename T>
bool floats(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t i = 0; i < columns; ++i) {
    const T value = rounded<T>(x[i]);
    std::memcpy(out + i * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
  }
  return true;
}

}  // namespace

EncodeFunction plain_encoder(BlockFormat format) noexcept {
  switch (format) {
    case BlockFormat::f32: return floats<float>;
    case BlockFormat::f16: return floats<float16>;
    case BlockFormat::bf16: return floats<bfloat16>;
    case BlockFormat::q4_0: return centred<8>;
    case BlockFormat::q4_1: return from_minimum<15>;
    case BlockFormat::q5_0: return centred<16>;
    case BlockFormat::q5_1: return from_minimum<31>;
    case BlockFormat::q8_0: return q8<false>;
    case BlockFormat::q8_1: return q8<true>;
    case BlockFormat::q1_0: return q1_0;
    case BlockFormat::q2_0: return q2_0;
    case BlockFormat::tq1_0: return tq1_0;
    case BlockFormat::tq2_0: return tq2_0;
    case BlockFormat::mxfp4: return mxfp4;
    case BlockFormat::nvfp4: return nvfp4;
    default: return nullptr;
  }
}

}  // namespace powerhouse
