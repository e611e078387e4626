// Encoders of IQ2 and IQ3: each eight (or four) magnitudes become a point of a grid, signs stand apart, and 16 or 32
// elements share a scale. Trials of a scale round to the nearest levels and, where the grid lacks that point, take the
// best of those near it. Layouts: see dequantize_grids.cpp.
//
// Where only an even number of signs can be said (IQ2_XXS, IQ2_XS, IQ3_XXS), an odd one is mended at the element whose
// error costs least.
#include <cmath>
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

struct GridFormat {
  BlockFormat format;
  Grid grid;
  int group;      ///< elements with one scale
  int trials;     ///< to each side
  float step;     ///< of a trial, in levels
  float nothing;  ///< groups below this are zero
  float spread;   ///< times the mean square, added to squares in weights
  bool even_signs;
  float fudge;  ///< ggml's factor of the scale that is stored
};
constexpr GridFormat kFormats[] = {
    {BlockFormat::iq2_xxs, Grid::iq2_xxs, 32, 6, 0.1f, kNothing, 1.0f, true, 1.0f},
    {BlockFormat::iq2_xs, Grid::iq2_xs, 16, 9, 0.1f, kNothing, 1.0f, true, 1.0f},
    {BlockFormat::iq2_s, Grid::iq2_s, 16, 9, 0.1f, 1e-8f, 2.0f, false, 0.9875f},
    {BlockFormat::iq3_xxs, Grid::iq3_xxs, 32, 15, 0.2f, 1e-8f, 2.0f, true, 1.0125f},
    {BlockFormat::iq3_s, Grid::iq3_s, 32, 9, 0.2f, 0.0f, 2.0f, false, 1.033f},
};

struct Group {
  float x[32];  // magnitudes, but for a sign that was mended
  float weights[32];
  float roots[32];    // of weights
  float moments[32];  // weights times x
  u8 signs[4];        // of eight elements
  int codes[8];       // of grid points
  float scale;
};

/// Splits signs off; of an odd number one is turned where x^2 weighs least.
void split_signs(const GridFormat& format, const float* x, Group& group) {
  for (int k = 0; k < format.group; k += 8) {
    u32 signs = 0;
    for (int i = k; i < k + 8; ++i) {
      const bool negative = !(x[i] >= 0.0f);
      group.x[i] = negative ? -x[i] : x[i];
      signs |= (negative ? 1u : 0u) << (i - k);
    }
    if (format.even_signs && __builtin_popcount(signs) % 2 != 0) {
      int least = k;
      for (int i = k + 1; i < k + 8; ++i) {
        if (group.weights[i] * x[i] * x[i] < group.weights[least] * x[least] * x[least]) least = i;
      }
      group.x[least] = -group.x[least];
      signs ^= 1u << (least - k);
    }
    group.signs[k / 8] = static_cast<u8>(format.even_signs ? signs & 127 : signs);
  }
}

void weigh_group(const GridFormat& format, const float* x, const float* importance, float spread, Group& group) {
  if (importance != nullptr) {
    weigh(x, importance, spread, format.group, group.weights);
  } else if (format.format == BlockFormat::iq2_s) {
    for (int i = 0; i < format.group; ++i) group.weights[i] = 0.25f * spread + x[i] * x[i];
  } else {
    squares(x, format.group, group.weights);
  }
  for (int i = 0; i < format.group; ++i) group.roots[i] = std::sqrt(group.weights[i]);
}

constexpr float kValues[8] = {1, 3, 5, 7, 9, 11, 13, 15};

/// What the levels of a grid's points stand for, point by point.
struct PointValues {
  float values[1024 * 8];
};

struct Grids {
  const Lattice& lattice;
  const PointValues& points;
  NearestPoint nearest;
};

/// The point of a scale, whose inverse is `turn`, for each that is not `kept`. False where there is none.
bool round_points(const Grids& grids, const Group& group, int count, float scale, float turn, const bool* kept,
                  int* codes, bool* on_grid) {
  const Lattice& grid = grids.lattice;
  const int dimensions = grid.dimensions;
  const int bits = grid.bits();
  int levels[32];
  for (int i = 0; i < count; ++i) {
    levels[i] = between(nearest(0.5f * (turn * group.x[i] - 1.0f)), 0, grid.levels - 1);
  }
  for (int k = 0; k < count / dimensions; ++k) {
    if (kept != nullptr && kept[k]) continue;
    const int at = k * dimensions;
    u32 word = 0;
    for (int i = 0; i < dimensions; ++i) word |= static_cast<u32>(levels[at + i]) << bits * i;
    codes[k] = grid.codes[word];
    on_grid[k] = codes[k] >= 0;
    if (on_grid[k]) continue;
    codes[k] = grids.nearest(grid, static_cast<u16>(word), {group.x + at, group.roots + at, kValues, scale});
    if (codes[k] < 0) return false;
  }
  return true;
}

struct Fit {
  float products = 0.0f, norms = 0.0f;
};
Fit fit_of(const Grids& grids, const Group& group, int count, const int* codes) {
  const int dimensions = grids.lattice.dimensions;
  Fit fit;
  for (int k = 0; k < count / dimensions; ++k) {
    const float* const values = grids.points.values + codes[k] * dimensions;
    for (int i = 0; i < dimensions; ++i) {
      fit.products += group.moments[k * dimensions + i] * values[i];
      fit.norms += group.weights[k * dimensions + i] * values[i] * values[i];
    }
  }
  return fit;
}

/// The best scale of some trials around `range` / (2 levels - 1), then once more with the grid's points for it.
bool search_grid(const GridFormat& format, const Grids& grids, float range, float first, Group& group) {
  const Lattice& grid = grids.lattice;
  const auto most = static_cast<float>(2 * grid.levels - 1);
  bool on_grid[8];
  for (bool& on : on_grid) on = format.format != BlockFormat::iq3_s && format.format != BlockFormat::iq2_xxs;
  float best = 0.0f;
  group.scale = first;
  for (int trial = -format.trials; trial <= format.trials; ++trial) {
    const float turn = (most + static_cast<float>(trial) * format.step) / range;
    int codes[8];
    bool on[8];
    if (!round_points(grids, group, format.group, 1.0f / turn, turn, nullptr, codes, on)) return false;
    const Fit fit = fit_of(grids, group, format.group, codes);
    if (!(fit.norms > 0.0f && fit.products * fit.products > best * fit.norms)) continue;
    group.scale = fit.products / fit.norms;
    best = group.scale * fit.products;
    std::memcpy(group.codes, codes, sizeof codes);
    if (format.format != BlockFormat::iq2_xxs) std::memcpy(on_grid, on, sizeof on);
  }
  bool all_on_grid = true;
  for (int k = 0; k < format.group / grid.dimensions; ++k) all_on_grid = all_on_grid && on_grid[k];
  if (all_on_grid || !(group.scale > 0.0f)) return true;
  const bool* const kept = format.format == BlockFormat::iq3_s ? nullptr : on_grid;
  bool on[8];
  if (!round_points(grids, group, format.group, group.scale, 1.0f / group.scale, kept, group.codes, on)) return false;
  const Fit fit = fit_of(grids, group, format.group, group.codes);
  if (fit.norms > 0.0f) group.scale = fit.products / fit.norms;
  return true;
}

/// Fills codes, signs and scale. A group that is all zero has scale 0 and `*empty`. False where no point is found.
bool encode_group(const GridFormat& format, const Grids& grids, const float* x, const float* importance, float spread,
                  Group& group, bool* empty) {
  const Lattice& grid = grids.lattice;
  weigh_group(format, x, importance, spread, group);
  split_signs(format, x, group);
  float most = group.x[0];
  for (int i = 1; i < format.group; ++i) most = most > group.x[i] ? most : group.x[i];
  for (int i = 0; i < format.group; ++i) group.moments[i] = group.weights[i] * group.x[i];
  for (int& code : group.codes) code = grid.codes[0];
  group.scale = 0.0f;
  *empty = format.nothing > 0.0f ? most < format.nothing : most == 0.0f;
  if (*empty) return true;
  float range = most;
  float first = most / static_cast<float>(2 * grid.levels - 1);
  if (format.format == BlockFormat::iq2_xxs) {
    u8 codes[32];
    first = search_positive(4, 32, group.x, group.weights, codes);
    range = first * 3.0f;
    *empty = range <= 0.0f;
    if (*empty) return true;
  }
  // With levels 0 .. 2 the largest stands for 5.
  if (!search_grid(format, grids, range, first, group)) return false;
  if (group.scale < 0.0f) {
    group.scale = -group.scale;
    for (u8& signs : group.signs) signs = static_cast<u8>(~signs & (format.even_signs ? 127 : 255));
  }
  return group.scale >= 0.0f;
}

void or_word(u8* at, u32 bits) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<u8>(at[i] | bits >> 8 * i);
}

void put_group(BlockFormat format, const Group& group, int index, u8* block) {
  const u8* const signs = group.signs;
  const int* const codes = group.codes;
  const u32 packed_signs = static_cast<u32>(signs[0] | signs[1] << 7 | signs[2] << 14) | static_cast<u32>(signs[3])
                                                                                             << 21;
  switch (format) {
    case BlockFormat::iq2_xxs:
      for (int k = 0; k < 4; ++k) block[2 + 8 * index + k] = static_cast<u8>(codes[k]);
      return or_word(block + 6 + 8 * index, packed_signs);
    case BlockFormat::iq2_xs:
      for (int k = 0; k < 2; ++k) {
        const int word = codes[k] | signs[k] << 9;
        block[2 + 4 * index + 2 * k] = static_cast<u8>(word);
        block[3 + 4 * index + 2 * k] = static_cast<u8>(word >> 8);
      }
      return;
    case BlockFormat::iq2_s:
      for (int k = 0; k < 2; ++k) {
        const int at = 2 * index + k;
        block[2 + at] = static_cast<u8>(codes[k]);
        block[34 + at] = signs[k];
        block[66 + at / 4] = static_cast<u8>(block[66 + at / 4] | codes[k] >> 8 << at % 4 * 2);
      }
      return;
    case BlockFormat::iq3_xxs:
      for (int k = 0; k < 8; ++k) block[2 + 8 * index + k] = static_cast<u8>(codes[k]);
      return or_word(block + 66 + 4 * index, packed_signs);
    default:
      for (int k = 0; k < 8; ++k) {
        block[2 + 8 * index + k] = static_cast<u8>(codes[k]);
        block[66 + index] = static_cast<u8>(block[66 + index] | codes[k] >> 8 << k);
      }
      std::memcpy(block + 74 + 4 * index, signs, 4);
  }
}

void put_scale(BlockFormat format, int index, u32 code, u8* block) {
  u8* nibbles = nullptr;
  switch (format) {
    case BlockFormat::iq2_xxs: return or_word(block + 6 + 8 * index, code << 28);
    case BlockFormat::iq3_xxs: return or_word(block + 66 + 4 * index, code << 28);
    case BlockFormat::iq2_xs: nibbles = block + 66; break;
    case BlockFormat::iq2_s: nibbles = block + 74; break;
    default: nibbles = block + 106; break;
  }
  nibbles[index / 2] = static_cast<u8>(nibbles[index / 2] | code << index % 2 * 4);
}

bool encode_block(const GridFormat& format, const Grids& grids, const float* x, const float* importance, u8* block) {
  std::memset(block, 0, static_cast<std::size_t>(block_info(format.format).block_bytes));
  const float spread = format.spread * sum_of_squares(x, 256) / 256.0f;
  float scales[16];
  float most = 0.0f;
  const int groups = 256 / format.group;
  for (int i = 0; i < groups; ++i) {
    const int at = i * format.group;
    Group group;
    bool empty = false;
    if (!encode_group(format, grids, x + at, importance != nullptr ? importance + at : nullptr, spread, group,
                      &empty)) {
      return false;
    }
    if (!empty) put_group(format.format, group, i, block);
    scales[i] = group.scale;
    most = most > group.scale ? most : group.scale;
  }
  if (most == 0.0f) {
    if (format.even_signs) std::memset(block, 0, static_cast<std::size_t>(block_info(format.format).block_bytes));
    return true;
  }
  const float unit = most / 31.0f;
  put_half(block, unit * format.fudge);
  const float turn = 1.0f / unit;
  for (int i = 0; i < groups; ++i) {
    const int code = between(nearest(0.5f * (turn * scales[i] - 1.0f)), 0, 15);
    put_scale(format.format, i, static_cast<u32>(code), block);
  }
  return true;
}

PointValues values_of(const Lattice& grid) {
  PointValues points;
  for (int code = 0; code < grid.points; ++code) {
    for (int i = 0; i < grid.dimensions; ++i) {
      points.values[code * grid.dimensions + i] = kValues[grid.level(grid.words[code], i)];
    }
  }
  return points;
}

template <int kIndex>
bool encode(const float* x, const float* importance, std::int64_t columns, u8* out, NearestPoint nearest) {
  const GridFormat& format = kFormats[kIndex];
  static const PointValues points = values_of(lattice(format.grid));
  const Grids grids{lattice(format.grid), points, nearest};
  for (std::int64_t k = 0; k < columns; k += 256, out += block_info(format.format).block_bytes) {
    if (!encode_block(format, grids, x + k, importance != nullptr ? importance + k : nullptr, out)) return false;
  }
  return true;
}

}  // namespace

GridEncodeFunction grid_encoder(BlockFormat format) noexcept {
  switch (format) {
    case BlockFormat::iq2_xxs: return encode<0>;
    case BlockFormat::iq2_xs: return encode<1>;
    case BlockFormat::iq2_s: return encode<2>;
    case BlockFormat::iq3_xxs: return encode<3>;
    case BlockFormat::iq3_s: return encode<4>;
    default: return nullptr;
  }
}

}  // namespace powerhouse
