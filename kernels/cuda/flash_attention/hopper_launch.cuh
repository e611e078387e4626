// What a launch of Hopper's forward kernel is made of.
#pragma once

#include "kernels/cuda/flash_attention/hopper_forward.cuh"

namespace powerhouse::cuda {

/// False: the driver encodes no tensor map.
template <int kHeadDim, typename Launch>
bool launch_hopper_forward(const Launch& launch, const FlashForwardParams& p, const HopperDevice& device) {
  using Tile = HopperForwardTile<kHeadDim>;
  HopperForwardParams params = hopper_params<Tile>(p, device);
  const bool packed_q = p.cu_seqlens_q != nullptr, packed_k = p.cu_seqlens_k != nullptr;
  const TensorTiles q = hopper_tiles(p, p.q, p.q_strides, p.heads, p.queries, packed_q, Tile::kBlockM);
  const TensorTiles k = hopper_tiles(p, p.k, p.k_strides, p.kv_heads, p.keys, packed_k, Tile::kBlockN);
  const TensorTiles v = hopper_tiles(p, p.v, p.v_strides, p.kv_heads, p.keys, packed_k, Tile::kBlockN);
  if (!encode_tensor_map(q, params.q) || !encode_tensor_map(k, params.k) || !encode_tensor_map(v, params.v)) {
    return false;
  }
  const LaunchShape shape{
      .grid_x = hopper_blocks(params, device), .block_x = Tile::kThreads, .shared_bytes = Tile::kSharedBytes};
  launch(shape,
         p.type == Element::bf16 ? hopper_forward_kernel<kHeadDim, bfloat16> : hopper_forward_kernel<kHeadDim, float16>,
         params);
  return true;
}

}  // namespace powerhouse::cuda
