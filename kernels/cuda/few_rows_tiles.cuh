// Tiles of 16 outputs that a launch of few rows counts through, of up to three parts.
#pragma once

#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda/few_rows_shape.h"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

/// Which part a tile belongs to, and its first output there.
struct FewRowsTile {
  int part;
  std::int64_t output;
};
/// Of the first part, of the first two, and of all.
struct FewRowsTiles {
  int first = 0, second = 0, all = 0;
};
static __device__ __forceinline__ FewRowsTile tile_at(const FewRowsTiles& tiles, int tile) {
  const int part = tile < tiles.first ? 0 : tile < tiles.second ? 1 : 2;
  const int before = part == 0 ? 0 : part == 1 ? tiles.first : tiles.second;
  return {part, static_cast<std::int64_t>(tile - before) * kFewRowsOutputs};
}

/// Gate and up are of one tile.
inline FewRowsTiles few_rows_tiles(const FewRowsParams& p) {
  const auto tiles_of = [&](int part) {
    const bool made = part < (p.gated ? 1 : p.count);
    return made ? static_cast<int>(divide_up(p.parts[part].outputs, kFewRowsOutputs)) : 0;
  };
  FewRowsTiles tiles;
  tiles.first = tiles_of(0);
  tiles.second = tiles.first + tiles_of(1);
  tiles.all = tiles.second + tiles_of(2);
  return tiles;
}

}  // namespace powerhouse::cuda
