// IQ4_NL and IQ4_XS: the search of kernels/reference/encode_k.cpp, a group of 32 elements a lane.
#pragma once

#include <cstring>

#include "kernels/common/iq4_levels.h"
#include "kernels/cpu/generic/encode_k.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Of values[i] the one whose level is nearest to x; of two, the upper one. Halfway between two levels the reference's
/// differences are exact, so that comparing with that point is the same.
inline Vec pick_by_level(Vec x, const float* values) {
  Vec picked = broadcast(values[0]);
  for (int i = 1; i < 16; ++i) {
    const float halfway = 0.5f * static_cast<float>(kIq4Levels[i - 1] + kIq4Levels[i]);
    picked = select_less(x, broadcast(halfway), picked, broadcast(values[i]));
  }
  return picked;
}

struct LevelValues {
  float levels[16], codes[16];
};
inline LevelValues level_values() {
  LevelValues values;
  for (int i = 0; i < 16; ++i) {
    values.levels[i] = static_cast<float>(kIq4Levels[i]);
    values.codes[i] = static_cast<float>(i);
  }
  return values;
}

inline Vec search_levels(const LevelValues& values, const Groups& groups) {
  const Vec most = largest(groups, 32);
  Vec scale = zero();
  Vec best = zero();
  for (int trial = -8; trial <= 7; ++trial) {
    const Vec turn = trial == -8 ? div(broadcast(1.0f), div(sub(zero(), most), broadcast(-127.0f)))
                                 : div(broadcast(static_cast<float>(trial - 127)), most);
    Vec products = zero();
    Vec norms = zero();
    for (int i = 0; i < 32; ++i) {
      const Vec level = pick_by_level(mul(turn, at(groups.x, i)), values.levels);
      const Vec weighted = mul(at(groups.weights, i), level);
      products = add(products, mul(weighted, at(groups.x, i)));
      norms = add(norms, mul(weighted, level));
    }
    const Vec fit = div(products, norms);
    if (trial == -8) {
      scale = if_positive(norms, fit, zero());
      best = mul(scale, products);
      continue;
    }
    const Vec score = if_positive(norms, mul(products, products), least_number());
    const Vec bar = mul(best, norms);
    scale = select_less(bar, score, fit, scale);
    best = select_less(bar, score, mul(fit, products), best);
  }
  return select_less(absolute(most), broadcast(encoding::kNothing), zero(), scale);
}

/// Codes of 32 elements: element i and i + 16 share a byte.
inline void put_levels(const LevelValues& values, const float* x, float scale, std::uint8_t* out) {
  const Vec turn = broadcast(scale != 0.0f ? 1.0f / scale : 0.0f);
  alignas(64) float codes[32];
  for (int i = 0; i < 32; i += kWidth) store(codes + i, pick_by_level(mul(turn, load(x + i)), values.codes));
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<std::uint8_t>(static_cast<int>(codes[i]) | static_cast<int>(codes[i + 16]) << 4);
  }
}

/// The scales of kWidth groups from `first` on. The mean square of `around` elements, those of the group or of its
/// super-block, stands in the weights.
inline Vec search_level_groups(const LevelValues& values, const GroupRun& run, std::int64_t first, Vec spread,
                               Groups& groups) {
  run.gather(first, groups);
  if (run.importance == nullptr) {
    for (int i = 0; i < 32 * kWidth; i += kWidth)
      store(groups.weights + i, mul(load(groups.x + i), load(groups.x + i)));
  } else {
    if (nan_mask(spread) != 0) {  // of the group itself
      spread = zero();
      for (int i = 0; i < 32; ++i) spread = add(spread, mul(at(groups.x, i), at(groups.x, i)));
      spread = mul(spread, broadcast(2.0f / 32.0f));
    }
    run.gather_importance(first, groups);
    weigh(32, spread, groups);
  }
  return search_levels(values, groups);
}

inline void encode_iq4_nl(const GroupRun& run, std::uint8_t* blocks) {
  const LevelValues values = level_values();
  Groups groups;
  for (std::int64_t first = 0; first < run.groups; first += kWidth) {
    alignas(64) float scales[kWidth];
    store(scales, search_level_groups(values, run, first, broadcast(__builtin_nanf("")), groups));
    for (int lane = 0; lane < kWidth && first + lane < run.groups; ++lane) {
      std::uint8_t* const block = blocks + (first + lane) * 18;
      encoding::put_half(block, scales[lane]);
      put_levels(values, run.x + (first + lane) * 32, scales[lane], block + 2);
    }
  }
}

inline void encode_iq4_xs(const GroupRun& run, std::uint8_t* blocks) {
  const LevelValues values = level_values();
  constexpr int kTogether = kWidth / 8;
  Groups groups;
  for (std::int64_t super = 0; super < run.groups / 8; super += kTogether) {
    alignas(64) float scales[kWidth];
    alignas(64) float spreads[kWidth] = {};
    for (int lane = 0; lane < kWidth && run.importance != nullptr; ++lane) {
      const std::int64_t of = run.index(super * 8, lane) / 8 * 256;
      spreads[lane] = lane % 8 == 0 ? encoding::sum_of_squares(run.x + of, 256) * (2.0f / 256.0f) : spreads[lane - 1];
    }
    store(scales, search_level_groups(values, run, super * 8, load(spreads), groups));
    for (int part = 0; part < kTogether && super + part < run.groups / 8; ++part) {
      std::uint8_t* const block = blocks + (super + part) * 136;
      encoding::put_level_scales(scales + 8 * part, block);
      for (int i = 0; i < 8; ++i) {
        put_levels(values, run.x + (super + part) * 256 + 32 * i, scales[8 * part + i], block + 8 + 16 * i);
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
