// What goes before and after flash attention's backward kernel, by rows of queries: the numbers it needs of each row,
// the sinks' gradients, and the rounding of dq.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/flash_attention/backward_workspace.cuh"
#include "kernels/cuda/flash_attention/document.cuh"
#include "kernels/cuda/flash_attention/mask.cuh"
#include "kernels/cuda/flash_attention/swizzle.cuh"
#include "kernels/cuda/row_sums.cuh"

namespace powerhouse::cuda {

/// Grid: tiles of query rows, heads, documents. lse and delta = rowsum(dout * out) of the tile's rows, eight lanes a
/// row, and zeros into its sums of dq.
template <int kHeadDim, typename Element>
__global__ void __launch_bounds__(FlashBackwardTile<kHeadDim>::kThreads)
    flash_backward_prepare_kernel(const FlashBackwardPlan plan) {
  using Tile = FlashBackwardTile<kHeadDim>;
  using Space = FlashWorkspace<kHeadDim>;
  constexpr float kLog2E = 1.4426950408889634f;
  constexpr int kLanes = 8, kRows = Tile::kThreads / kLanes;
  const FlashBackwardParams& p = plan.params;
  const FlashForwardParams& f = p.forward;
  const Place place = read_place();
  const int head = place.block_y, lane = place.thread % kLanes;
  const FlashRows rows(f, place.block_z);
  if (place.block_x * Tile::kBlockM >= rows.queries) return;
  const Space space(plan, head, place.block_z);
  const auto* out = static_cast<const Element*>(f.out) + rows.of_queries(f.out_strides, head);
  const auto* dout = static_cast<const Element*>(p.dout) + rows.of_queries(p.dout_strides, head);
  float* const numbers = space.numbers + place.block_x * Space::kNumbers;
#pragma unroll
  for (int pass = 0; pass < Tile::kBlockM / kRows; ++pass) {
    const int in_tile = pass * kRows + place.thread / kLanes, row = place.block_x * Tile::kBlockM + in_tile;
    float sum = 0.0f;
    if (row < rows.queries) {
      for (int chunk = lane; chunk * 8 < f.head_dim; chunk += kLanes) {
        float a[8], b[8];
        load_elements<8>(out + row * f.out_strides.row + chunk * 8, a);
        load_elements<8>(dout + row * p.dout_strides.row + chunk * 8, b);
#pragma unroll
        for (int i = 0; i < 8; ++i) sum += a[i] * b[i];
      }
    }
#pragma unroll
    for (int lanes = 1; lanes < kLanes; lanes *= 2) sum += shuffle_xor(sum, lanes);
    if (lane == 0) {
      numbers[in_tile] = row < rows.queries ? f.lse[rows.of_lse(f, head) + row] * kLog2E : 0.0f;
      numbers[Tile::kBlockM + in_tile] = sum;
    }
  }
  if (plan.turns != nullptr && place.thread == 0) space.turns[place.block_x] = 0;
  const int slices = p.slices > 0 ? p.slices : 1;
  for (int slice = 0; slice < slices; ++slice) {
    float* const sums = space.sums + slice * space.slice_stride + place.block_x * std::int64_t{Space::kSums};
    for (int i = place.thread * 4; i < Space::kSums; i += Tile::kThreads * 4) store_words(sums + i, Words{});
  }
}

/// Grid: tiles of query rows, heads, documents. dq = scale times the sums, in order of the slices, rounded once.
template <int kHeadDim, typename Element>
__global__ void __launch_bounds__(FlashBackwardTile<kHeadDim>::kThreads)
    flash_backward_finish_kernel(const FlashBackwardPlan plan) {
  using Tile = FlashBackwardTile<kHeadDim>;
  using Space = FlashWorkspace<kHeadDim>;
  using Lay = Swizzle<kHeadDim>;
  const FlashBackwardParams& p = plan.params;
  const FlashForwardParams& f = p.forward;
  const Place place = read_place();
  const int head = place.block_y, lane = place.thread % 32, first = place.block_x * Tile::kBlockM;
  const FlashRows rows(f, place.block_z);
  if (first >= rows.queries) return;
  const Space space(plan, head, place.block_z);
  const QueryPart<kHeadDim> part(place.thread / 32);
  const float* const sums = space.sums + place.block_x * std::int64_t{Space::kSums} + place.thread;
  const int slices = p.slices > 0 ? p.slices : 1;
  unsigned char* const staging = shared_memory();  // [kBlockM, kHeadDim]
#pragma unroll
  for (int pair = 0; pair < Tile::kQueryBlocks * Tile::kQueryColumns * 2; ++pair) {
    float low = 0.0f, high = 0.0f;
    for (int slice = 0; slice < slices; ++slice) {
      const float* const from = sums + slice * space.slice_stride + pair * 2 * Tile::kThreads;
      low += from[0];
      high += from[Tile::kThreads];
    }
    const int fragment = pair / 2;
    const int row = part.row + fragment / Tile::kQueryColumns * 16 + pair % 2 * 8 + lane / 4;
    const int chunk = part.chunk + fragment % Tile::kQueryColumns;
    store_as(staging + row * Tile::kBytesOfRow + Lay::chunk(chunk, Lay::of_row(row)) + lane % 4 * 4,
             pack(low * f.scale, high * f.scale, Element{}));
  }
  sync_block();
  auto* const dq = static_cast<Element*>(p.dq) + rows.of_queries(p.dq_strides, head);
  constexpr int kChunks = kHeadDim / 8;
  for (int at = place.thread; at < Tile::kBlockM * kChunks; at += Tile::kThreads) {
    const int row = at / kChunks, chunk = at % kChunks;
    if (first + row >= rows.queries || chunk * 8 >= f.head_dim) continue;
    store_words(dq + (first + row) * p.dq_strides.row + chunk * 8,
                load_words(staging + row * Tile::kBytesOfRow + Lay::chunk(chunk, Lay::of_row(row))));
  }
}

/// Grid: heads. A sink's weight in a row is exp(sink - lse), its gradient there minus that times delta: it has no
/// value.
template <int kHeadDim>
__global__ void __launch_bounds__(FlashBackwardTile<kHeadDim>::kThreads)
    flash_backward_sinks_kernel(const FlashBackwardPlan plan) {
  using Tile = FlashBackwardTile<kHeadDim>;
  using Space = FlashWorkspace<kHeadDim>;
  constexpr float kLog2E = 1.4426950408889634f;
  const FlashBackwardParams& p = plan.params;
  const Place place = read_place();
  const int head = place.block_x;
  const float sink = p.forward.sinks[head] * kLog2E;
  float sum = 0.0f;
  for (int document = 0; document < p.forward.batch; ++document) {
    const FlashRows rows(p.forward, document);
    const Space space(plan, head, document);
    for (int row = place.thread; row < rows.queries; row += Tile::kThreads) {
      const float* const numbers = space.numbers + row / Tile::kBlockM * Space::kNumbers + row % Tile::kBlockM;
      sum -= exp2_approximate(sink - numbers[0]) * numbers[Tile::kBlockM];
    }
  }
  sum = row_sum(sum, reinterpret_cast<float*>(shared_memory()));
  if (place.thread == 0) p.dsinks[head] = sum;
}

}  // namespace powerhouse::cuda
