// The tile instructions of AMX that gemm uses, or, with POWERHOUSE_AMX_EMULATED, plain C++ of the same names and
// meaning, so that the code over them is tested on processors without them.
//
// A tile is up to 16 rows of up to 64 bytes; the configuration says how many of each. It belongs to the thread, so that
// whoever multiplies loads it first, and releases it, because a tile that is in use costs every switch of threads.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/common/float16.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes[16] = {};  // of a row of each tile
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

#ifdef POWERHOUSE_AMX_EMULATED
struct EmulatedTiles {
  TileConfig config;
  std::uint8_t data[8][16][64];

  void zero(int tile) { std::memset(data[tile], 0, sizeof data[tile]); }
  void load(int tile, const void* base, std::int64_t stride) {
    zero(tile);
    for (int row = 0; row < config.rows[tile]; ++row) {
      std::memcpy(data[tile][row], static_cast<const char*>(base) + row * stride, config.bytes[tile]);
    }
  }
  void store(int tile, void* base, std::int64_t stride) const {
    for (int row = 0; row < config.rows[tile]; ++row) {
      std::memcpy(static_cast<char*>(base) + row * stride, data[tile][row], config.bytes[tile]);
    }
  }
  // c[m, n] += a[m, 2k] b[k, 2n] + a[m, 2k + 1] b[k, 2n + 1]
  void multiply(int c, int a, int b) {
    for (int m = 0; m < config.rows[c]; ++m) {
      for (int n = 0; n < config.bytes[c] / 4; ++n) {
        float sum;
        std::memcpy(&sum, data[c][m] + 4 * n, 4);
        for (int k = 0; k < config.bytes[a] / 4; ++k) {
          bfloat16 left[2];
          bfloat16 right[2];
          std::memcpy(left, data[a][m] + 4 * k, 4);
          std::memcpy(right, data[b][k] + 4 * n, 4);
          for (int i = 0; i < 2; ++i) sum += to_float(left[i]) * to_float(right[i]);
        }
        std::memcpy(data[c][m] + 4 * n, &sum, 4);
      }
    }
  }
};
static thread_local EmulatedTiles emulated_tiles;

inline void load_tile_config(const TileConfig& config) { emulated_tiles.config = config; }
inline void release_tiles() { emulated_tiles.config = {}; }
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_zero(tile) emulated_tiles.zero(tile)
#define _tile_loadd(tile, base, stride) emulated_tiles.load(tile, base, stride)
#define _tile_stored(tile, base, stride) emulated_tiles.store(tile, base, stride)
#define _tile_dpbf16ps(c, a, b) emulated_tiles.multiply(c, a, b)
#else
inline void load_tile_config(const TileConfig& config) { _tile_loadconfig(&config); }
inline void release_tiles() { _tile_release(); }
#endif

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
