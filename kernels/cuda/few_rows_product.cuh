// Products of up to 16 rows with dense weights of bf16 or fp16, which wait for nothing but the memory of the weights. A
// block makes 16 outputs of all rows after 16 others; its warps share the inputs. Tensor cores multiply, so that eight
// rows cost what one costs. Which inputs share a product is free to choose, as long as x follows: a lane's are 16 bytes
// of memory, which it copies to a place of its own in shared memory, so far ahead that the next outputs' weights are
// under way while sums are put together, and those of the first before anything is read that an earlier launch made.
//
// A norm stands in front and a residual or a gated activation behind where they are wanted.
#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/few_rows_ring.cuh"

namespace powerhouse::cuda {

/// The sums of a block's tile, row by row, with all that comes behind them.
template <typename T, int kWeights>
static __device__ __forceinline__ void finish_tile(const FewRowsParams& p, const FewRowsTile& tile, const float* sums) {
  const int rows = static_cast<int>(p.rows);
  const FewRowsPart& part = p.parts[tile.part];
  for (int item = static_cast<int>(threadIdx.x); item < rows * kFewRowsOutputs; item += kFewRowsWarps * 32) {
    const int row = item / kFewRowsOutputs, m = item % kFewRowsOutputs;
    const std::int64_t output = tile.output + m, at = row * part.y_stride + output;
    if (output >= part.outputs) continue;
    float value[kWeights] = {};
#pragma unroll
    for (int w = 0; w < kWeights; ++w) {
#pragma unroll
      for (int warp = 0; warp < kFewRowsWarps; ++warp) {
        value[w] += sums[((warp * kWeights + w) * rows + row) * kFewRowsColumn + m];
      }
      const void* const bias = p.parts[kWeights == 2 ? w : tile.part].bias;
      if (bias != nullptr) value[w] += widen(static_cast<const T*>(bias)[output]);
    }
    if (p.to_float) {
      static_cast<float*>(part.y)[at] = value[0];
      continue;
    }
    if constexpr (kWeights == 2) value[0] = activate(p.kind, round_to<T>(value[0])) * round_to<T>(value[1]);
    if (p.residual != nullptr) {
      value[0] = round_to<T>(value[0]) + widen(static_cast<const T*>(p.residual)[row * p.residual_stride + output]);
    }
    static_cast<T*>(part.y)[at] = narrow<T>(value[0]);
  }
}

/// Grid: as many blocks as there are multiprocessors, each with every so manieth tile of 16 outputs of all parts.
template <typename T, int kRowTiles, FewRowsKind kKind>
__global__ void __launch_bounds__(kFewRowsWarps * 32, 1)
    few_rows_kernel(const FewRowsParams p, const FewRowsTiles tiles) {
  using Shape = FewRowsShape<kRowTiles, kKind>;
  begin_next_launch();
  const int thread = static_cast<int>(threadIdx.x), rows = static_cast<int>(p.rows);
  const int all_steps = static_cast<int>((p.inputs + kFewRowsStep - 1) / kFewRowsStep);
  const int steps = (all_steps + kFewRowsWarps - 1) / kFewRowsWarps;
  const FewRowsLane lane{thread / 32, thread % 32 / 4, thread % 4, thread / 32 * steps, steps, p.inputs};
  unsigned char* const shared = shared_memory();
  const int sum_count = Shape::kSumsOfRow * rows;
  float *sums = reinterpret_cast<float*>(shared + Shape::kSumsAt), *other_sums = sums + sum_count;
  const NormedRows<T, kRowTiles> normed{p, lane, reinterpret_cast<unsigned char*>(other_sums + sum_count)};
  if constexpr (Shape::kNormed) normed.start_weight();
  FewRowsRing<T, kRowTiles, kKind> ring(p, lane, shared, tiles);
#pragma unroll
  for (int stage = 0; stage < Shape::kStages - 1; ++stage) {
    ring.start_weights();
    ring.advance();
  }
  if (p.early) wait_for_launch_before();
  if constexpr (Shape::kNormed) {
    copy_async_wait<Shape::kStages - 1>();
    normed.make(reinterpret_cast<float*>(shared + kFewRowsWarps * Shape::kRingBytes));
  } else {
    ring.put_first_x();
  }

  int stage = 0;
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles.all; tile += static_cast<int>(gridDim.x)) {
    float d[Shape::kWeights][kRowTiles][4] = {};
    for (int step = 0; step < steps; ++step) {
      copy_async_wait<Shape::kStages - 2>();
      const unsigned char* const here = ring.room + stage * Shape::kStepBytes;
      Words x[kRowTiles];
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
        const int row = n * 8 + lane.group;
        if constexpr (Shape::kNormed) {
          x[n] = row < rows ? load_words(normed.place(row, step)) : Words{};
        } else {
          x[n] = load_words(ring.x_place(stage, n));
        }
      }
#pragma unroll
      for (int w = 0; w < Shape::kWeights; ++w) {
        const Words low = load_words(here + w * 1024), high = load_words(here + w * 1024 + 512);
#pragma unroll
        for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
          for (int half = 0; half < 4; half += 2) {
            const std::uint32_t fragment[4] = {low.word[half], high.word[half], low.word[half + 1],
                                               high.word[half + 1]};
            multiply_16816(d[w][n], fragment, x[n].word[half], x[n].word[half + 1], T{});
          }
        }
      }
      stage = stage + 1 == Shape::kStages ? 0 : stage + 1;
      ring.start_weights();
      if constexpr (!Shape::kNormed) ring.start_x();
      ring.advance();
    }
#pragma unroll
    for (int w = 0; w < Shape::kWeights; ++w) {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int row = n * 8 + lane.quarter * 2 + e % 2, output = lane.group + e / 2 * 8;
          if (row >= rows) continue;
          sums[((lane.warp * Shape::kWeights + w) * rows + row) * kFewRowsColumn + output] = d[w][n][e];
        }
      }
    }
    sync_block();
    finish_tile<T, Shape::kWeights>(p, tile_at(tiles, tile), sums);
    float* const swap = sums;  // the next tile's are written while these are read
    sums = other_sums;
    other_sums = swap;
  }
  copy_async_wait<0>();
}

/// A multiprocessor has one block, and room for no other: the next launch's would come beside it, and where two of that
/// met, take twice as long (on an H100 all products of a step of 1.1 billion parameters took 970 us instead of 860).
inline constexpr std::int64_t kLeastSharedBytes = 116 << 10;

/// False where the device has less shared memory, as for many rows behind a norm.
template <typename T, int kRowTiles, FewRowsKind kKind, typename Launch>
bool launch_few_rows_of(const Launch& launch, const FewRowsParams& p) {
  using Shape = FewRowsShape<kRowTiles, kKind>;
  const FewRowsTiles tiles = few_rows_tiles(p);
  const std::int64_t steps = divide_up(divide_up(p.inputs, kFewRowsStep), kFewRowsWarps) * kFewRowsWarps;
  const std::int64_t bytes =
      Shape::kSumsAt + 2 * 4 * Shape::kSumsOfRow * p.rows + (Shape::kNormed ? steps * p.rows * 64 : 0);
  const std::int64_t least = kLeastSharedBytes < p.shared_bytes ? kLeastSharedBytes : p.shared_bytes;
  if (bytes > p.shared_bytes) return false;
  const LaunchShape shape{.grid_x = tiles.all < p.multiprocessors ? tiles.all : p.multiprocessors,
                          .block_x = 32 * kFewRowsWarps,
                          .shared_bytes = bytes < least ? least : bytes,
                          .early = p.early};
  launch(shape, few_rows_kernel<T, kRowTiles, kKind>, p, tiles);
  return true;
}

/// False for float32, above kMostFewRows, for a gate without a norm, and for more than shared memory holds.
template <typename Launch>
bool launch_few_rows_product(const Launch& launch, const FewRowsParams& p) {
  if (p.type == Element::f32 || p.rows > kMostFewRows || (p.gated && !p.normed)) return false;
  if (p.rows == 0) return true;
  const auto with = [&](auto tag, auto row_tiles) {
    using T = decltype(tag);
    constexpr int kRowTiles = decltype(row_tiles)::kValue;
    return p.gated    ? launch_few_rows_of<T, kRowTiles, FewRowsKind::gated>(launch, p)
           : p.normed ? launch_few_rows_of<T, kRowTiles, FewRowsKind::normed>(launch, p)
                      : launch_few_rows_of<T, kRowTiles, FewRowsKind::plain>(launch, p);
  };
  const auto of_type = [&](auto tag) { return p.rows <= 8 ? with(tag, Constant<1>{}) : with(tag, Constant<2>{}); };
  return p.type == Element::bf16 ? of_type(bfloat16{}) : of_type(float16{});
}

}  // namespace powerhouse::cuda
