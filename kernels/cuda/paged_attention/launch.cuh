// What the launches of paged attention are made of.
#pragma once

#include "kernels/cuda/paged_attention/combine.cuh"
#include "kernels/cuda/paged_attention/decode.cuh"
#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::cuda {

/// T: the type of queries and output.
template <typename T, int kHeadDim, typename Launch>
void launch_parts(const Launch& launch, const PagedAttentionParams& p, const PagedPlan& plan, bool converted) {
  using Tile = PagedTile<T, kHeadDim>;
  const int before_queries = converted ? Tile::template kQueriesAt<true> : Tile::template kQueriesAt<false>;
  const LaunchShape shape{.grid_x = plan.blocks,
                          .grid_y = static_cast<std::int64_t>(p.cache.kv_heads) * plan.vector_blocks,
                          .grid_z = p.cache.sequences,
                          .block_x = static_cast<unsigned>(Tile::kStrips * plan.vector_tiles * 32),
                          .shared_bytes = before_queries + plan.vector_tiles * Tile::kVectors * Tile::kBytesOfRow};
  launch(shape, converted ? paged_attention_kernel<T, kHeadDim, true> : paged_attention_kernel<T, kHeadDim, false>, p,
         plan);
}

template <typename T, typename Launch>
void launch_combine(const Launch& launch, const PagedAttentionParams& p, const PagedPlan& plan) {
  launch(LaunchShape{.grid_x = divide_up(p.heads, kCombineWarps),
                     .grid_y = p.cache.rows,
                     .grid_z = p.cache.sequences,
                     .block_x = 32,
                     .block_y = kCombineWarps},
         paged_combine_kernel<T>, p, plan);
}

/// One behind the other on the stream: that is the order between parts and what puts them together.
template <typename T, int kHeadDim, typename Launch>
void launch_paged_tile(const Launch& launch, const PagedAttentionParams& p, BlockFormat own) {
  const PagedPlan plan = plan_paged_attention(p, PagedTile<T, kHeadDim>::kMostVectorTiles);
  launch_parts<T, kHeadDim>(launch, p, plan, p.cache.type != own);
  if (plan.parts > 1) launch_combine<T>(launch, p, plan);
}

/// The smallest tile that holds the head.
template <typename T, typename Launch>
void launch_paged_attention_of(const Launch& launch, const PagedAttentionParams& p, BlockFormat own) {
  if (p.cache.head_dim <= 64) return launch_paged_tile<T, 64>(launch, p, own);
  if (p.cache.head_dim <= 128) return launch_paged_tile<T, 128>(launch, p, own);
  return launch_paged_tile<T, 256>(launch, p, own);
}

/// Of any type, for launches that compile all of them in one file.
template <typename Launch>
bool launch_paged_attention(const Launch& launch, const PagedAttentionParams& p) {
  if (!paged_attention_fits(p)) return false;
  switch (p.type) {
    case Element::bf16: launch_paged_attention_of<bfloat16>(launch, p, BlockFormat::bf16); break;
    case Element::f16: launch_paged_attention_of<float16>(launch, p, BlockFormat::f16); break;
    case Element::f32: launch_paged_attention_of<float>(launch, p, BlockFormat::f32); break;
  }
  return true;
}

}  // namespace powerhouse::cuda
