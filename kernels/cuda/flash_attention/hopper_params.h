// What Hopper's forward kernel is told beside the problem: how tiles are copied, and who takes which.
#pragma once

#include <algorithm>

#include "kernels/cuda/flash_attention/hopper_device.h"
#include "kernels/cuda/flash_attention/params.h"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/tensor_map.h"

namespace powerhouse::cuda {

struct HopperForwardParams {
  TensorMap q, k, v;
  FlashForwardParams flash;
  int row_tiles = 0;   ///< of query rows of a head, in the longest document
  bool pairs = false;  ///< the first tile of a document goes with the last, the second with the last but one
};

/// The tensor as copies see it: [outer, heads, rows, head_dim]. Dense, outer counts documents. Packed, it counts rows
/// at which a document ends, and a row is counted to the longest document's end: so a copy of a document's rows finds
/// the tensor's end where the document has its own, and brings zeros instead of its neighbor.
inline TensorTiles hopper_tiles(const FlashForwardParams& p, const void* data, const VectorStrides& strides, int heads,
                                int rows, bool packed, int tile_rows) {
  const auto row = static_cast<std::uint64_t>(strides.row);
  const auto head = heads > 1 ? static_cast<std::uint64_t>(strides.head) : row;
  TensorTiles tiles{.data = data,
                    .sizes = {static_cast<std::uint64_t>(p.head_dim), static_cast<std::uint64_t>(rows),
                              static_cast<std::uint64_t>(heads), static_cast<std::uint64_t>(p.batch)},
                    .strides = {row, head, p.batch > 1 ? static_cast<std::uint64_t>(strides.batch) : row},
                    .tile = {64, static_cast<std::uint32_t>(tile_rows)},
                    .bfloat = p.type == Element::bf16};
  if (packed) {
    tiles.data = static_cast<const unsigned char*>(data) - rows * strides.row * 2;
    tiles.sizes[3] = 1u << 31;
    tiles.strides[2] = row;
  }
  return tiles;
}

/// Causal rows see more keys the later they stand, and blocks stay: each takes every so-manieth item, and copies what
/// comes next meanwhile. Where the keys and values of all heads are cached together, items are tiles, the last ones of
/// all heads first, and blocks go through them forth and back: the work is cut as finely as it can be. Otherwise a head
/// is read by few blocks at a time: an item is a pair of tiles from both ends of a document, as much work as any other
/// of it, and single ones in the middle come at the end. Packed documents come one after another.
template <typename Tile>
HopperForwardParams hopper_params(const FlashForwardParams& p, const HopperDevice& device) {
  const std::int64_t heads = std::int64_t{p.heads} * p.batch;
  const std::int64_t bytes = std::int64_t{4} * p.batch * p.kv_heads * p.head_dim * p.keys;
  const bool documents = p.cu_seqlens_q != nullptr && p.batch > 1;
  HopperForwardParams params{};
  params.flash = p;
  params.row_tiles = static_cast<int>(divide_up(p.queries, Tile::kBlockM));
  params.pairs = params.row_tiles > 1 && params.row_tiles * heads >= 2 * device.multiprocessors &&
                 (documents || bytes > device.cached_bytes);
  return params;
}
inline std::int64_t hopper_blocks(const HopperForwardParams& params, const HopperDevice& device) {
  const std::int64_t heads = std::int64_t{params.flash.heads} * params.flash.batch;
  const std::int64_t items = heads * (params.pairs ? divide_up(params.row_tiles, 2) : params.row_tiles);
  return std::min<std::int64_t>(items, device.multiprocessors);
}

}  // namespace powerhouse::cuda
