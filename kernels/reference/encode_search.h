// The searches for a group's scale (and minimum) that ggml's quantizers share. All minimize a weighted squared error
// over a few trial scales; order of operations is part of the definition (kernels/reference/encode.h).
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"

namespace powerhouse::encoding {

/// Groups whose largest magnitude is below this are all zero.
static constexpr float kNothing = 1e-15f;

/// The nearest integer, ties to even, read off the mantissa of x + 1.5 * 2^23. Infinities give -2^22 and NaN 0, which
/// is what becomes of scales that overflow.
static inline int nearest(float x) { return static_cast<int>(float_bits(x + 12582912.0f) & 0x007FFFFFu) - 0x00400000; }

static inline int between(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

static inline float magnitude(float x) { return bits_float(float_bits(x) & 0x7FFFFFFFu); }

/// The element of largest magnitude, the first of several; 0 where all are.
static inline float largest(const float* x, int count) {
  float most = 0.0f;
  float value = 0.0f;
  for (int i = 0; i < count; ++i) {
    if (magnitude(x[i]) > most) {
      most = magnitude(x[i]);
      value = x[i];
    }
  }
  return value;
}

static inline float sum_of_squares(const float* x, std::int64_t count) {
  float sum = 0.0f;
  for (std::int64_t i = 0; i < count; ++i) sum += x[i] * x[i];
  return sum;
}

/// weights[i] = importance[i] * sqrt(spread + x[i]^2): what a column's error costs, more so where the weight is large.
void weigh(const float* x, const float* importance, float spread, int count, float* weights);

static inline void squares(const float* x, int count, float* out) {
  for (int i = 0; i < count; ++i) out[i] = x[i] * x[i];
}

/// x ~ scale * code - minimum with codes 0 .. most and a minimum that is not negative.
struct Affine {
  float scale = 0.0f;
  float minimum = 0.0f;
};
struct AffineSearch {
  int most;     ///< the largest code
  float first;  ///< trial i spreads the range over most + first + i * step codes
  float step;
  int last;       ///< number of the last trial
  bool absolute;  ///< weighs |error| instead of error^2
};
Affine search_affine(const AffineSearch& search, int count, const float* x, const float* weights, std::uint8_t* codes);

/// x ~ scale * (code - half), codes 0 .. 2 half - 1.
float search_signed(int half, int count, const float* x, const float* weights, std::int8_t* codes);

/// Likewise with weights x^2, from one scale by changing single codes as long as that helps, five rounds at most.
float search_by_descent(int half, int count, const float* x, std::int8_t* codes);

/// x ~ scale * code for x that are not negative, codes 0 .. most: nine trials, then single codes.
float search_positive(int most, int count, const float* x, const float* weights, std::uint8_t* codes);

static inline void put_half(std::uint8_t* at, float value) {
  const float16 half = rounded<float16>(value);
  at[0] = static_cast<std::uint8_t>(half.bits & 0xFF);
  at[1] = static_cast<std::uint8_t>(half.bits >> 8);
}

/// A value as an f16 holds it.
static inline float as_half(float value) { return to_float(rounded<float16>(value)); }

}  // namespace powerhouse::encoding
