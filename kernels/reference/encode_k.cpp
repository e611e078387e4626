// Encoders of formats with 256 elements whose scales are quantized themselves, and of IQ4_NL: plain loops, group by
// group. Layouts: see dequantize.cpp.
#include <cstring>

#include "kernels/common/iq4_levels.h"
#include "kernels/reference/encode.h"
#include "kernels/reference/encode_super.h"

namespace powerhouse {
namespace {

using namespace encoding;
using u8 = std::uint8_t;
using i8 = std::int8_t;

void search_group(const KFormat& format, const float* x, const float* weights, bool weighted, int group,
                  SuperBlock& super) {
  u8* const codes = super.codes + group * format.group;
  if (format.affine) {
    const Affine found = search_affine(weighted ? format.weighted : format.plain, format.group, x, weights, codes);
    super.scales[group] = found.scale;
    super.minima[group] = found.minimum;
    return;
  }
  const int half = (format.most + 1) / 2;
  auto* const signed_codes = reinterpret_cast<i8*>(codes);
  super.scales[group] = format.format == BlockFormat::q3_k && !weighted
                            ? search_by_descent(half, format.group, x, signed_codes)
                            : search_signed(half, format.group, x, weights, signed_codes);
}

/// Codes anew, by what scales and minima became; groups whose scale is zero keep the search's.
void round_to_steps(const KFormat& format, const float* x, SuperBlock& super) {
  const int half = format.affine ? 0 : (format.most + 1) / 2;
  for (int i = 0; i < 256; ++i) {
    const int group = i / format.group;
    if (super.steps[group] == 0.0f) continue;
    const float scaled = format.affine ? (x[i] + super.lows[group]) / super.steps[group] : x[i] / super.steps[group];
    super.codes[i] = static_cast<u8>(between(nearest(scaled), -half, format.most - half) + half);
  }
}

template <BlockFormat kFormat>
bool k_quants(const float* x, const float* importance, std::int64_t columns, u8* out) {
  const KFormat& format = *k_format(kFormat);
  const bool weighted = importance != nullptr;
  for (std::int64_t k = 0; k < columns; k += 256, out += block_info(kFormat).block_bytes) {
    SuperBlock super;
    const float spread = weighted ? spread_of(kFormat, x + k) : 0.0f;
    for (int group = 0; group < 256 / format.group; ++group) {
      const std::int64_t at = k + group * format.group;
      float weights[32];
      group_weights(format, x + at, weighted ? importance + at : nullptr, spread, weights);
      super.weights[group] = 0.0f;
      for (int i = 0; i < format.group; ++i) super.weights[group] += weights[i];
      search_group(format, x + at, weights, weighted, group, super);
    }
    put_scales(format, weighted, super, out);
    round_to_steps(format, x + k, super);
    put_codes(format, super.codes, out);
  }
  return true;
}

bool q8_k(const float* x, const float* /*importance*/, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 256, out += 292) {
    const float most = largest(x + k, 256);
    std::memset(out, 0, 292);
    if (most == 0.0f) continue;
    const float turn = -127.0f / most;
    const float scale = 1.0f / turn;
    std::memcpy(out, &scale, sizeof scale);
    for (int group = 0; group < 16; ++group) {
      int sum = 0;
      for (int i = 16 * group; i < 16 * group + 16; ++i) {
        const int code = nearest(turn * x[k + i]);
        out[4 + i] = static_cast<u8>(code < 127 ? code : 127);
        sum += static_cast<i8>(out[4 + i]);
      }
      const auto word = static_cast<std::int16_t>(sum);
      std::memcpy(out + 260 + 2 * group, &word, sizeof word);
    }
  }
  return true;
}

// --- IQ4: sixteen levels that are not evenly spaced ---

/// The nearest level, of two the upper one; NaN goes to the top.
int nearest_level(float x) {
  if (x <= static_cast<float>(kIq4Levels[0])) return 0;
  int above = 1;
  while (above < 15 && !(x < static_cast<float>(kIq4Levels[above]))) ++above;
  if (x >= static_cast<float>(kIq4Levels[15])) return 15;
  return x - static_cast<float>(kIq4Levels[above - 1]) < static_cast<float>(kIq4Levels[above]) - x ? above - 1 : above;
}

/// The scale of 32 elements: of sixteen trials whose largest element becomes a level of -127 and 7 to each side of it.
float search_levels(const float* x, const float* weights) {
  const float most = largest(x, 32);
  if (magnitude(most) < kNothing) return 0.0f;
  float scale = 0.0f;
  float best = 0.0f;
  for (int trial = -8; trial <= 7; ++trial) {  // the first by the inverse of a scale, as dequantization has it
    const float turn = trial == -8 ? 1.0f / (-most / static_cast<float>(kIq4Levels[0]))
                                   : static_cast<float>(trial + kIq4Levels[0]) / most;
    float products = 0.0f;
    float norms = 0.0f;
    for (int i = 0; i < 32; ++i) {
      const auto level = static_cast<float>(kIq4Levels[nearest_level(turn * x[i])]);
      products += weights[i] * level * x[i];
      norms += weights[i] * level * level;
    }
    if (trial == -8) {
      scale = norms > 0.0f ? products / norms : 0.0f;
    } else if (norms > 0.0f && products * products > best * norms) {
      scale = products / norms;
    } else {
      continue;
    }
    best = scale * products;
  }
  return scale;
}

void level_weights(const float* x, const float* importance, float spread, float* weights) {
  if (importance == nullptr) return squares(x, 32, weights);
  weigh(x, importance, spread, 32, weights);
}

void put_levels(const float* x, float scale, u8* out) {
  const float turn = scale != 0.0f ? 1.0f / scale : 0.0f;
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<u8>(nearest_level(turn * x[i]) | nearest_level(turn * x[i + 16]) << 4);
  }
}

bool iq4_nl(const float* x, const float* importance, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 32, out += 18) {
    float weights[32];
    level_weights(x + k, importance != nullptr ? importance + k : nullptr, sum_of_squares(x + k, 32) * (2.0f / 32.0f),
                  weights);
    const float scale = search_levels(x + k, weights);
    put_half(out, scale);
    put_levels(x + k, scale, out + 2);
  }
  return true;
}

bool iq4_xs(const float* x, const float* importance, std::int64_t columns, u8* out) {
  for (std::int64_t k = 0; k < columns; k += 256, out += 136) {
    const float spread = sum_of_squares(x + k, 256) * (2.0f / 256.0f);
    float scales[8];
    for (int group = 0; group < 8; ++group) {
      const std::int64_t at = k + 32 * group;
      float weights[32];
      level_weights(x + at, importance != nullptr ? importance + at : nullptr, spread, weights);
      scales[group] = search_levels(x + at, weights);
    }
    put_level_scales(scales, out);
    for (int group = 0; group < 8; ++group) put_levels(x + k + 32 * group, scales[group], out + 8 + 16 * group);
  }
  return true;
}

}  // namespace

namespace encoding {

void put_level_scales(float* scales, u8* block) noexcept {
  std::memset(block, 0, 8);
  const float unit = -largest(scales, 8) / 32.0f;
  put_half(block, unit);
  const float turn = unit != 0.0f ? 1.0f / unit : 0.0f;
  for (int group = 0; group < 8; ++group) {
    const int code = between(nearest(turn * scales[group]), -32, 31);
    scales[group] = unit * static_cast<float>(code);
    block[4 + group / 2] = static_cast<u8>(block[4 + group / 2] | ((code + 32) & 15) << group % 2 * 4);
    block[2 + group / 4] = static_cast<u8>(block[2 + group / 4] | (code + 32) >> 4 << group % 4 * 2);
  }
}

}  // namespace encoding

EncodeFunction k_encoder(BlockFormat format) noexcept {
  switch (format) {
    case BlockFormat::q2_k: return k_quants<BlockFormat::q2_k>;
    case BlockFormat::q3_k: return k_quants<BlockFormat::q3_k>;
    case BlockFormat::q4_k: return k_quants<BlockFormat::q4_k>;
    case BlockFormat::q5_k: return k_quants<BlockFormat::q5_k>;
    case BlockFormat::q6_k: return k_quants<BlockFormat::q6_k>;
    case BlockFormat::q8_k: return q8_k;
    case BlockFormat::iq4_nl: return iq4_nl;
    case BlockFormat::iq4_xs: return iq4_xs;
    default: return nullptr;
  }
}

}  // namespace powerhouse
