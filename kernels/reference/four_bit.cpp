#include "kernels/reference/four_bit.h"

namespace powerhouse {
namespace {

float absolute(float x) { return x < 0 ? -x : x; }

/// The largest magnitude; NaN where there is one.
float largest(const float* values, std::int64_t count) {
  float best = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float size = absolute(values[i]);
    if (size > best || size != size) best = size;
    if (best != best) break;
  }
  return best;
}

float clamped(float x) { return x < -1.0f ? -1.0f : x > 1.0f ? 1.0f : x; }

/// Levels in rising order, as codes, and the bounds between them: a value takes the first level whose upper bound it
/// does not exceed. FP4 has two zeros; small positive numbers get the second.
struct Ladder {
  std::uint8_t order[16];
  float bounds[15];

  explicit Ladder(FourBit kind) {
    constexpr std::uint8_t kRising[2][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                             {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3}};
    const float* const levels = four_bit_levels(kind);
    for (int i = 0; i < 16; ++i) order[i] = kRising[kind == FourBit::nf4 ? 0 : 1][i];
    for (int i = 0; i < 15; ++i) bounds[i] = (levels[order[i]] + levels[order[i + 1]]) / 2;
  }
  std::uint8_t code(float x) const {
    int place = 0;
    for (const float bound : bounds) place += x <= bound ? 0 : 1;
    return order[place];
  }
};

/// Point i of `count` from 0.1 to 1 as torch.linspace has them: counted from whichever end is nearer, rounded once.
float tenths(int i, int count) {
  const double step = static_cast<double>((1.0f - 0.1f) / static_cast<float>(count - 1));
  return static_cast<float>(i < count / 2 ? static_cast<double>(0.1f) + step * i : 1.0 - step * (count - 1 - i));
}

constexpr int kGrid = 65536;

/// The code of each of 65,536 even steps from -1 to 1: bitsandbytes looks up, it does not search.
struct DynamicCodes {
  std::uint8_t code[kGrid];

  DynamicCodes() {
    float values[256];
    dynamic_map(values, true);
    int place = 0;
    for (int i = 0; i < kGrid; ++i) {
      const float x = -1.0f + 2.0f * static_cast<float>(i) / static_cast<float>(kGrid - 1);
      while (place < 255 && x > (values[place] + values[place + 1]) / 2) ++place;
      code[i] = static_cast<std::uint8_t>(place);
    }
  }
};

}  // namespace

void quantize_four_bit(FourBit kind, const float* values, std::int64_t count, std::int64_t block_size,
                       std::uint8_t* codes, float* absmax) noexcept {
  constexpr float kSmallest = 1e-38f;
  const Ladder ladder(kind);
  for (std::int64_t begin = 0; begin < count; begin += block_size) {
    const bool whole = count - begin >= block_size;
    const std::int64_t end = whole ? begin + block_size : count;
    const float found = largest(values + begin, end - begin);
    const float scale = found < kSmallest ? kSmallest : found;
    const float inverse = 1.0f / scale;
    // A part of a block at the end is divided, and keeps the scale that divides.
    absmax[begin / block_size] = whole ? found : scale;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint8_t code = ladder.code(clamped(whole ? values[i] * inverse : values[i] / scale));
      if (i % 2 == 0) {
        codes[i / 2] = static_cast<std::uint8_t>(code << 4);
      } else {
        codes[i / 2] = static_cast<std::uint8_t>(codes[i / 2] | code);
      }
    }
  }
  if (count % 2 != 0) codes[count / 2] = static_cast<std::uint8_t>(codes[count / 2] | ladder.code(0.0f));
}

void dynamic_map(float* values, bool with_sign) noexcept {
  constexpr float kDecades[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  const int zero = with_sign ? 127 : 0;
  values[zero] = 0.0f;
  values[255] = 1.0f;
  int above = zero + 1;
  for (int decade = 0; decade < 7; ++decade) {
    const int parts = (with_sign ? 1 : 2) << decade;
    for (int i = 0; i < parts; ++i, ++above) {
      const float middle = (tenths(i, parts + 1) + tenths(i + 1, parts + 1)) / 2.0f;
      values[above] = kDecades[decade] * middle;
      if (with_sign) values[254 - above] = -values[above];
    }
  }
}

void quantize_dynamic(const float* values, std::int64_t count, std::int64_t block_size, std::uint8_t* codes,
                      float* absmax) noexcept {
  static const DynamicCodes grid;
  for (std::int64_t begin = 0; begin < count; begin += block_size) {
    const std::int64_t end = count - begin >= block_size ? begin + block_size : count;
    const float scale = largest(values + begin, end - begin);
    const float inverse = 1.0f / scale;
    absmax[begin / block_size] = scale;
    for (std::int64_t i = begin; i < end; ++i) {
      const float step = (clamped(values[i] * inverse) + 1.0f) * 32767.5f + 0.5f;
      codes[i] = step == step && scale > 0 ? grid.code[static_cast<int>(step)] : 0;
    }
  }
}

}  // namespace powerhouse
