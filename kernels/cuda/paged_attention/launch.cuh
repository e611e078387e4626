// What the launches of paged attention are made of.
#pragma once

#include "kernels/cuda/paged_attention/combine.cuh"
#include "kernels/cuda/paged_attention/decode.cuh"
#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::cuda {

template <typename T, int kHeadDim, typename Cells, int kColumns, typename Launch>
void launch_parts(const Launch& launch, const PagedAttentionParams& p, const PagedPlan& plan) {
  using Tile = PagedTile<T, kHeadDim, Cells, kColumns>;
  const LaunchShape shape{.grid_x = static_cast<std::int64_t>(p.cache.kv_heads) * plan.vector_blocks,
                          .grid_y = plan.blocks,
                          .grid_z = p.cache.sequences,
                          .block_x = static_cast<unsigned>(Tile::kStrips * plan.vector_tiles * 32),
                          .shared_bytes = Tile::kQueriesAt + plan.vectors() * Tile::kQueryBytes};
  launch(shape, paged_attention_kernel<T, kHeadDim, Cells, kColumns>, p, plan);
}

template <int kHeadDim, typename Launch>
void launch_combine(const Launch& launch, const PagedAttentionParams& p, const PagedPlan& plan) {
  launch(LaunchShape{.grid_x = p.heads,
                     .grid_y = p.cache.rows,
                     .grid_z = p.cache.sequences,
                     .block_x = kCombineThreads,
                     .shared_bytes = kCombineThreads * 4 * 4},
         paged_combine_kernel<kHeadDim>, p, plan);
}

/// One behind the other on the stream: that is the order between parts and what puts them together.
template <typename T, int kHeadDim, typename Cells, typename Launch>
void launch_paged_cells(const Launch& launch, const PagedAttentionParams& p) {
  const PagedPlan plan = plan_paged_attention(p, PagedTile<T, kHeadDim, Cells, 2>::kMostVectorTiles);
  if (plan.columns == 1) launch_parts<T, kHeadDim, Cells, 1>(launch, p, plan);
  if (plan.columns == 2) launch_parts<T, kHeadDim, Cells, 2>(launch, p, plan);
  if (plan.parts > 1) launch_combine<kHeadDim>(launch, p, plan);
}

template <typename T, int kHeadDim, typename Launch>
void launch_paged_tile(const Launch& launch, const PagedAttentionParams& p) {
  if constexpr (sizeof(T) == 4) {
    launch_paged_cells<T, kHeadDim, AnyCells>(launch, p);
  } else {
    if (p.cache.type == BlockFormat::q8_0) return launch_paged_cells<T, kHeadDim, Q8Cells>(launch, p);
    if (p.cache.type == BlockFormat::q4_0) return launch_paged_cells<T, kHeadDim, Q4Cells>(launch, p);
    launch_paged_cells<T, kHeadDim, OwnCells>(launch, p);
  }
}

/// The smallest tile that holds the head.
template <typename T, typename Launch>
void launch_paged_attention_of(const Launch& launch, const PagedAttentionParams& p) {
  if (p.cache.head_dim <= 64) return launch_paged_tile<T, 64>(launch, p);
  if (p.cache.head_dim <= 128) return launch_paged_tile<T, 128>(launch, p);
  return launch_paged_tile<T, 256>(launch, p);
}

/// Of any type, for launches that compile all of them in one file.
template <typename Launch>
bool launch_paged_attention(const Launch& launch, const PagedAttentionParams& p) {
  if (!paged_attention_fits(p)) return false;
  if (p.type == Element::f32) {
    launch_paged_attention_of<float>(launch, p);
  } else {
    launch_paged_attention_of<TwoBytes>(launch, p);
  }
  return true;
}

}  // namespace powerhouse::cuda
