// The copies that a product of few rows has under way: weights and, where no norm makes it, x, in stages of a lane's
// own.
#pragma once

#include "kernels/cuda/few_rows_norm.cuh"
#include "kernels/cuda/few_rows_tiles.cuh"

namespace powerhouse::cuda {

/// The copies of a lane: its 16 bytes of the weights of two outputs, of gate and up alike, and of x where no norm makes
/// it.
template <typename T, int kRowTiles, FewRowsKind kKind>
struct FewRowsRing {
  using Shape = FewRowsShape<kRowTiles, kKind>;

  const FewRowsParams& p;
  const FewRowsLane& lane;
  unsigned char* room;  // this lane's of the first stage
  const FewRowsTiles& tiles;
  int tile, step = 0, stage = 0;
  const T* rows[Shape::kWeights][2];

  __device__ __forceinline__ FewRowsRing(const FewRowsParams& params, const FewRowsLane& of, unsigned char* shared,
                                         const FewRowsTiles& all)
      : p(params),
        lane(of),
        room(shared + of.warp * Shape::kRingBytes + of.number() * 16),
        tiles(all),
        tile(static_cast<int>(blockIdx.x)) {
    enter_tile();
  }
  __device__ __forceinline__ void enter_tile() {
    if (tile >= tiles.all) return;
    const FewRowsTile at = tile_at(tiles, tile);
    const std::int64_t last = p.parts[at.part].outputs - 1;
#pragma unroll
    for (int w = 0; w < Shape::kWeights; ++w) {
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const std::int64_t output = at.output + lane.group + upper * 8;
        rows[w][upper] = static_cast<const T*>(p.parts[Shape::kWeights == 2 ? w : at.part].weight) +
                         (output < last ? output : last) * p.inputs;
      }
    }
  }
  /// The weights of the step that comes next, if any, into its stage.
  __device__ __forceinline__ void start_weights() const {
    const bool valid = tile < tiles.all && lane.inside(step);
#pragma unroll
    for (int w = 0; w < Shape::kWeights; ++w) {
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const T* const from = valid ? rows[w][upper] + lane.at(step) : static_cast<const T*>(p.x);
        copy_async<16>(room + stage * Shape::kStepBytes + (w * 2 + upper) * 512, from, valid);
      }
    }
  }
  __device__ __forceinline__ void start_x() const {
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
      const int row = n * 8 + lane.group;
      const bool valid = tile < tiles.all && row < p.rows && lane.inside(step);
      copy_async<16>(x_place(stage, n), static_cast<const T*>(p.x) + (valid ? row * p.x_stride + lane.at(step) : 0),
                     valid);
    }
  }
  __device__ __forceinline__ unsigned char* x_place(int of_stage, int n) const {
    return room + of_stage * Shape::kStepBytes + Shape::kWeightBytes + n * 512;
  }
  __device__ __forceinline__ void advance() {
    copy_async_commit();
    stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
    if (++step < lane.steps) return;
    step = 0;
    tile += static_cast<int>(gridDim.x);
    enter_tile();
  }
  /// What of x belongs to the stages whose weights are under way: not before the launch that made it is over.
  __device__ __forceinline__ void put_first_x() const {
    Words x[Shape::kStages - 1][kRowTiles];
#pragma unroll
    for (int s = 0; s < Shape::kStages - 1; ++s) {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) x[s][n] = row_words<T>(p, lane, n * 8 + lane.group, s % lane.steps);
    }
#pragma unroll
    for (int s = 0; s < Shape::kStages - 1; ++s) {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) store_words(x_place(s, n), x[s][n]);
    }
  }
};

}  // namespace powerhouse::cuda
