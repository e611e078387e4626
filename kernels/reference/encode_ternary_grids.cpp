// Encoders of IQ1_S and IQ1_M: eight elements become a point of a ternary grid, moved by an eighth up or down. For a
// group's scale every way to split its sorted elements into the three levels is tried, with both shifts (IQ1_M: one for
// each eight); then points that the grid lacks give way to their best neighbours. Layouts: see dequantize_grids.cpp.
#include <cstring>

#include "kernels/reference/encode.h"
#include "kernels/reference/encode_lattice.h"
#include "kernels/reference/encode_search.h"

namespace powerhouse {
namespace {

using namespace encoding;
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;

constexpr float kUp[8] = {-0.875f, 0.125f, 1.125f};
constexpr float kDown[8] = {-1.125f, -0.125f, 0.875f};

struct Split {
  int first = -1, second = -1;  ///< sorted elements below `first` have level 0, below `second` 1, the others 2
  int shifts = -1;              ///< which shifts: a bit for each part of the group, the last lowest; set is down
  float scale = 0.0f, score = -0x1.fffffep127f;

  void offer(float products, float norms, int i1, int i2, int which) {
    if (!(norms > 0.0f && products * products > score * norms)) return;
    scale = products / norms;
    score = scale * products;
    first = i1;
    second = i2;
    shifts = which;
  }
};

/// Indices in ascending order of their elements; equal ones stay in theirs.
void sort(const float* x, int count, int* order) {
  for (int i = 0; i < count; ++i) {
    int at = i;
    for (; at > 0 && x[i] < x[order[at - 1]]; --at) order[at] = order[at - 1];
    order[at] = i;
  }
}

/// IQ1_S: one shift for 32 elements.
Split split_of_one(const float* x, const float* weights, const int* order) {
  constexpr int kCount = 32;
  float sums[kCount + 1] = {};
  float totals[kCount + 1] = {};
  for (int i = 0; i < kCount; ++i) {
    sums[i + 1] = sums[i] + weights[order[i]] * x[order[i]];
    totals[i + 1] = totals[i] + weights[order[i]];
  }
  Split best;
  for (int i1 = 0; i1 <= kCount; ++i1) {
    for (int i2 = i1; i2 <= kCount; ++i2) {
      for (int down = 0; down < 2; ++down) {
        const float* const level = down != 0 ? kDown : kUp;
        const float products =
            (sums[i1] - sums[0]) * level[0] + (sums[i2] - sums[i1]) * level[1] + (sums[kCount] - sums[i2]) * level[2];
        const float norms = (totals[i1] - totals[0]) * level[0] * level[0] +
                            (totals[i2] - totals[i1]) * level[1] * level[1] +
                            (totals[kCount] - totals[i2]) * level[2] * level[2];
        best.offer(products, norms, i1, i2, down);
      }
    }
  }
  return best;
}

/// IQ1_M: a shift for each eight of 16 elements, whose sums therefore stand apart. Levels are one apart, so that a
/// part's products are its total times the top level, less the sums below each boundary.
Split split_of_two(const float* x, const float* weights, const int* order) {
  constexpr int kCount = 16;
  float sums[2][kCount + 1] = {};
  float totals[2][kCount + 1] = {};
  for (int i = 0; i < kCount; ++i) {
    const int half = order[i] < kCount / 2 ? 0 : 1;
    sums[half][i + 1] = sums[half][i] + weights[order[i]] * x[order[i]];
    totals[half][i + 1] = totals[half][i] + weights[order[i]];
    sums[1 - half][i + 1] = sums[1 - half][i];
    totals[1 - half][i + 1] = totals[1 - half][i];
  }
  Split best;
  for (int i1 = 0; i1 <= kCount; ++i1) {
    for (int i2 = i1; i2 <= kCount; ++i2) {
      float products[2][2];  // [half][down]
      float norms[2][2];
      for (int half = 0; half < 2; ++half) {
        const float below = sums[half][i1] + sums[half][i2];
        for (int down = 0; down < 2; ++down) {
          const float* const level = down != 0 ? kDown : kUp;
          products[half][down] = sums[half][kCount] * level[2] - below;
          norms[half][down] = totals[half][kCount] * level[2] * level[2] +
                              totals[half][i1] * (level[0] * level[0] - level[1] * level[1]) +
                              totals[half][i2] * (level[1] * level[1] - level[2] * level[2]);
        }
      }
      for (int shifts = 0; shifts < 4; ++shifts) {
        best.offer(products[0][shifts / 2] + products[1][shifts % 2], norms[0][shifts / 2] + norms[1][shifts % 2], i1,
                   i2, shifts);
      }
    }
  }
  return best;
}

struct Group {
  int codes[4] = {};
  int shifts = 0;  ///< as Split::shifts
  float scale = 0.0f;
  bool empty = true;

  const float* levels(int part, bool two) const { return (two ? shifts >> (1 - part) & 1 : shifts) != 0 ? kDown : kUp; }
};

/// Points for the levels of a split; elsewhere than on the grid, those that cost least.
bool find_points(const Lattice& grid, const float* x, const float* weights, const u8* levels, int count, bool two,
                 NearestPoint nearest, Group& group) {
  bool all_on_grid = true;
  for (int k = 0; k < count / 8; ++k) {
    u32 word = 0;
    for (int i = 0; i < 8; ++i) word |= static_cast<u32>(levels[8 * k + i]) << 2 * i;
    all_on_grid = all_on_grid && grid.codes[word] >= 0;
    group.codes[k] =
        nearest(grid, static_cast<u16>(word), {x + 8 * k, weights + 8 * k, group.levels(k, two), group.scale});
    if (group.codes[k] < 0) return false;
  }
  if (all_on_grid) return true;
  float products = 0.0f;
  float norms = 0.0f;
  for (int i = 0; i < count; ++i) {
    const float value = group.levels(i / 8, two)[grid.level(grid.words[group.codes[i / 8]], i % 8)];
    products += weights[i] * value * x[i];
    norms += weights[i] * value * value;
  }
  if (products > 0.0f && norms > 0.0f) group.scale = products / norms;
  return true;
}

bool encode_group(const Lattice& grid, NearestPoint nearest, const float* x, const float* weights, int count,
                  Group& group) {
  const bool two = count == 16;
  const float most = magnitude(largest(x, count));
  if (most < (two ? 1e-7f : 1e-12f)) return true;
  int order[32];
  sort(x, count, order);
  const Split split = two ? split_of_two(x, weights, order) : split_of_one(x, weights, order);
  if (split.first < 0) return true;
  group.empty = false;
  group.scale = split.scale;
  group.shifts = split.shifts;
  u8 levels[32];
  for (int i = 0; i < count; ++i) {
    levels[order[i]] = static_cast<u8>(i < split.first ? 0 : i < split.second ? 1 : 2);
  }
  if (group.scale < 0.0f) {
    for (int i = 0; i < count; ++i) levels[i] = static_cast<u8>(2 - levels[i]);
    group.scale = -group.scale;
    group.shifts = (two ? 3 : 1) - group.shifts;
  }
  return find_points(grid, x, weights, levels, count, two, nearest, group) && group.scale >= 0.0f;
}

int scale_code(float turn, float scale) { return between(nearest(0.5f * (turn * scale - 1.0f)), 0, 7); }

bool iq1_s_block(const Lattice& grid, NearestPoint nearest, const float* x, const float* importance, u8* block) {
  std::memset(block, 0, 50);
  const float spread = 2.0f * sum_of_squares(x, 256) / 256.0f;
  Group groups[8];
  float most = 0.0f;
  for (int i = 0; i < 8; ++i) {
    float weights[32];
    weigh(x + 32 * i, importance + 32 * i, spread, 32, weights);
    if (!encode_group(grid, nearest, x + 32 * i, weights, 32, groups[i])) return false;
    most = most > groups[i].scale ? most : groups[i].scale;
  }
  const float unit = most / 15.0f;
  if (most != 0.0f) put_half(block, unit * 1.125f);
  for (int i = 0; i < 8; ++i) {
    int high = 0;
    for (int k = 0; k < 4; ++k) {
      block[2 + 4 * i + k] = static_cast<u8>(groups[i].codes[k]);
      high |= groups[i].codes[k] >> 8 << 3 * k;
    }
    if (most != 0.0f) high |= scale_code(1.0f / unit, groups[i].scale) << 12 | (groups[i].shifts != 0 ? 0x8000 : 0);
    block[34 + 2 * i] = static_cast<u8>(high);
    block[35 + 2 * i] = static_cast<u8>(high >> 8);
  }
  return true;
}

void iq1_m_weights(const float* x, const float* importance, float spread, float* weights) {
  if (importance == nullptr) return squares(x, 16, weights);
  weigh(x, importance, spread, 16, weights);
}

bool iq1_m_block(const Lattice& grid, NearestPoint nearest, const float* x, const float* importance, u8* block) {
  std::memset(block, 0, 56);
  const float spread = 2.0f * sum_of_squares(x, 256) / 256.0f;
  Group groups[16];
  float weights[256];
  float most = 0.0f;
  for (int i = 0; i < 16; ++i) {
    const int at = 16 * i;
    iq1_m_weights(x + at, importance != nullptr ? importance + at : nullptr, spread, weights + at);
    if (!encode_group(grid, nearest, x + at, weights + at, 16, groups[i])) return false;
    most = most > groups[i].scale ? most : groups[i].scale;
    block[2 * i] = static_cast<u8>(groups[i].codes[0]);
    block[2 * i + 1] = static_cast<u8>(groups[i].codes[1]);
    block[32 + i] = static_cast<u8>(groups[i].codes[0] >> 8 | groups[i].codes[1] >> 8 << 4);
  }
  if (most == 0.0f) return true;
  float unit = most / 15.0f;
  const float turn = 1.0f / unit;
  u16 words[4] = {};
  float products = 0.0f;
  float norms = 0.0f;
  for (int i = 0; i < 16; ++i) {
    const Group& group = groups[i];
    const int code = scale_code(turn, group.scale);
    words[i / 4] = static_cast<u16>(words[i / 4] | code << 3 * (i % 4));
    block[32 + i] = static_cast<u8>(block[32 + i] | (group.shifts & 2) << 2 | (group.shifts & 1) << 7);
    for (int k = 16 * i; k < 16 * i + 16; ++k) {
      const int part = k / 8 % 2;
      const float value =
          group.levels(part, true)[grid.level(grid.words[group.codes[part]], k % 8)] * static_cast<float>(2 * code + 1);
      products += weights[k] * value * x[k];
      norms += weights[k] * value * value;
    }
  }
  if (norms > 0.0f) unit = products / norms;  // the best for the codes, instead of the largest scale's
  const u16 half = rounded<float16>(unit * 1.1125f).bits;
  for (int i = 0; i < 4; ++i) {
    words[i] = static_cast<u16>(words[i] | (half >> 4 * i & 15) << 12);
    std::memcpy(block + 48 + 2 * i, &words[i], 2);
  }
  return true;
}

bool iq1_s(const float* x, const float* importance, std::int64_t columns, u8* out, NearestPoint nearest) {
  const Lattice& grid = lattice(Grid::iq1);
  for (std::int64_t k = 0; k < columns; k += 256, out += 50) {
    if (!iq1_s_block(grid, nearest, x + k, importance + k, out)) return false;
  }
  return true;
}

bool iq1_m(const float* x, const float* importance, std::int64_t columns, u8* out, NearestPoint nearest) {
  const Lattice& grid = lattice(Grid::iq1);
  for (std::int64_t k = 0; k < columns; k += 256, out += 56) {
    if (!iq1_m_block(grid, nearest, x + k, importance != nullptr ? importance + k : nullptr, out)) return false;
  }
  return true;
}

}  // namespace

GridEncodeFunction ternary_grid_encoder(BlockFormat format) noexcept {
  switch (format) {
    case BlockFormat::iq1_s: return iq1_s;
    case BlockFormat::iq1_m: return iq1_m;
    default: return nullptr;
  }
}

}  // namespace powerhouse
