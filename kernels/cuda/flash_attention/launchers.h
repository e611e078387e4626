// Flash attention's launchers: queued on the stream, they return at once. Inputs are trusted: callers check sizes,
// strides and alignment (params.h).
#pragma once

#include "kernels/cuda/flash_attention/backward_params.h"
#include "kernels/cuda/flash_attention/hopper_device.h"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/stream.h"

namespace powerhouse::cuda {

/// visitor(Constant<size>{}) with the head size of the smallest tile that holds `head_dim`. False: none does. Tiles of
/// sizes that few models have, 32 and 192, would cost as much to compile as others.
template <typename Visitor>
bool visit_flash_tile(int head_dim, const Visitor& visitor) {
  if (head_dim < 1 || head_dim > 256 || head_dim % 8 != 0) return false;
  if (head_dim <= 64) return visitor(Constant<64>{}), true;
  if (head_dim <= 96) return visitor(Constant<96>{}), true;
  if (head_dim <= 128) return visitor(Constant<128>{}), true;
  return visitor(Constant<256>{}), true;
}

/// The same for the backward kernels, which take longest to compile.
template <typename Visitor>
bool visit_flash_backward_tile(int head_dim, const Visitor& visitor) {
  if (head_dim < 1 || head_dim > 256 || head_dim % 8 != 0) return false;
  if (head_dim <= 64) return visitor(Constant<64>{}), true;
  if (head_dim <= 128) return visitor(Constant<128>{}), true;
  return visitor(Constant<256>{}), true;
}
/// The same for Hopper's kernels, which heads of at most 32 are not worth.
template <typename Visitor>
bool visit_hopper_tile(int head_dim, const Visitor& visitor) {
  return head_dim > 32 && visit_flash_backward_tile(head_dim, visitor);
}

/// Whether there is a kernel for the type and a grid for the sizes.
inline bool flash_fits(const FlashForwardParams& params) {
  constexpr int kMostBlocks = 65535;  // of a grid's second and third dimension
  return params.type != Element::f32 && params.heads <= kMostBlocks && params.batch <= kMostBlocks;
}

/// Whether Hopper's kernel takes the arguments: no dropout, and strides that its copies know, which 0 is not.
inline bool hopper_fits(const FlashForwardParams& params) {
  const auto strides = [&](const VectorStrides& of, int heads, bool packed) {
    return of.row > 0 && (heads == 1 || of.head > 0) && (params.batch == 1 || packed || of.batch > 0);
  };
  const bool packed_q = params.cu_seqlens_q != nullptr, packed_k = params.cu_seqlens_k != nullptr;
  constexpr std::int64_t kMostTiles = 1 << 30;
  return params.dropout.threshold == 0 && params.queries > 0 && params.keys > 0 &&
         strides(params.q_strides, params.heads, packed_q) && strides(params.k_strides, params.kv_heads, packed_k) &&
         strides(params.v_strides, params.kv_heads, packed_k) &&
         std::int64_t{params.batch} * params.heads * divide_up(params.queries, 64) <= kMostTiles;
}

/// False for what has no kernel: other types than bf16 and f16, head sizes above 256 or not a multiple of 8, more than
/// 65,535 documents.
bool flash_forward(const FlashForwardParams& params, Stream stream);

/// All its launches: prepares the workspace, and gives dq, dk, dv and dsinks. False as above.
bool flash_backward(const FlashBackwardParams& params, Stream stream);

/// By tile: each is a file of its own.
void flash_forward(Constant<64>, const FlashForwardParams& params, Stream stream);
void flash_forward(Constant<96>, const FlashForwardParams& params, Stream stream);
void flash_forward(Constant<128>, const FlashForwardParams& params, Stream stream);
void flash_forward(Constant<256>, const FlashForwardParams& params, Stream stream);

/// Of hopper_forward.cuh, each a file of its own too. False: this build has
/// no kernels for Hopper, or its driver can't describe these tensors to the hardware.
bool hopper_forward(Constant<64>, const FlashForwardParams& params, const HopperDevice& device, Stream stream);
bool hopper_forward(Constant<128>, const FlashForwardParams& params, const HopperDevice& device, Stream stream);
bool hopper_forward(Constant<256>, const FlashForwardParams& params, const HopperDevice& device, Stream stream);

void flash_backward(Constant<64>, const FlashBackwardParams& params, Stream stream);
void flash_backward(Constant<128>, const FlashBackwardParams& params, Stream stream);
void flash_backward(Constant<256>, const FlashBackwardParams& params, Stream stream);

/// Whether Hopper's kernel, kernels/cuda/flash_attention/hopper_backward.cuh, takes it: head sizes from 40 on, and
/// scores without softcap, ALiBi and dropout.
inline bool hopper_backward_fits(const FlashBackwardParams& params) {
  const FlashForwardParams& f = params.forward;
  const bool modified = f.softcap != 0.0f || f.alibi_slopes != nullptr || f.dropout.threshold != 0;
  return f.head_dim > 32 && !modified;
}
/// Hopper's. False: this build has no kernels for it.
bool hopper_backward(Constant<64>, const FlashBackwardParams& params, const HopperDevice& device, Stream stream);
bool hopper_backward(Constant<128>, const FlashBackwardParams& params, const HopperDevice& device, Stream stream);
bool hopper_backward(Constant<256>, const FlashBackwardParams& params, const HopperDevice& device, Stream stream);

}  // namespace powerhouse::cuda
