// Products of up to 16 rows with dense weights of bf16 or fp16, which wait for nothing but the memory of the weights. A
// block makes 16 outputs of all rows after 16 others; its warps share the inputs. Tensor cores multiply, so that eight
// rows cost what one costs. Which inputs share a product is free to choose, as long as x follows: a lane's are 16 bytes
// of memory, which it copies to a place of its own in shared memory, so far ahead that the next outputs' weights are
// under way while sums are put together, and those of the first before anything is read that an earlier launch made.
//
// A norm stands in front and a residual or a gated activation behind where they are wanted.
#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/few_rows_product_params.h"

namespace powerhouse::cuda {

inline constexpr int kFewRowsOutputs = 16;  // of a tile
inline constexpr int kFewRowsStep = 32;     // inputs that four lanes read at once
inline constexpr int kFewRowsWarps = 16;
inline constexpr int kFewRowsColumn = 20;  // floats between a row's sums: lanes meet other banks

/// What x is multiplied as: as it is, normed, or normed by gate and up.
enum class FewRowsKind : int { plain, normed, gated };

/// What a block keeps in shared memory: copies of its warps, squares of rows, sums of a tile, twice, and normed rows.
template <int kRowTiles, FewRowsKind kKind>
struct FewRowsShape {
  static constexpr bool kNormed = kKind != FewRowsKind::plain;
  static constexpr int kWeights = kKind == FewRowsKind::gated ? 2 : 1, kStages = kWeights == 2 ? 3 : 4;
  static constexpr int kWeightBytes = kWeights * 1024, kStepBytes = kWeightBytes + (kNormed ? 0 : kRowTiles * 512);
  static constexpr int kRingBytes = kStages * kStepBytes;  // of a warp
  static constexpr int kSquares = kNormed ? kFewRowsWarps * 8 * kRowTiles : 0;
  static constexpr int kSumsAt = kFewRowsWarps * kRingBytes + kSquares * 4;

  static __device__ __host__ constexpr int sums(int rows) { return kFewRowsWarps * kWeights * rows * kFewRowsColumn; }
};

/// Which inputs a lane multiplies: of every step of its warp, eight.
struct FewRowsLane {
  int warp, group, quarter;  // the lane's output and row, and which inputs of a step are its
  int first, steps;          // of the warp
  std::int64_t inputs;

  __device__ __forceinline__ int number() const { return group * 4 + quarter; }
  __device__ __forceinline__ std::int64_t at(int step) const {
    return static_cast<std::int64_t>(first + step) * kFewRowsStep + quarter * 8;
  }
  __device__ __forceinline__ bool inside(int step) const { return at(step) < inputs; }
};

template <typename T>
static __device__ __forceinline__ Words row_words(const FewRowsParams& p, const FewRowsLane& lane, int row, int step) {
  if (row >= p.rows || step >= lane.steps || !lane.inside(step)) return {};
  return load_words(static_cast<const T*>(p.x) + row * p.x_stride + lane.at(step));
}

/// x as RMSNorm leaves it, in shared memory: what a lane will multiply it puts there itself, and before that, so early
/// that nobody waits for it, the norm's weight.
template <typename T, int kRowTiles>
struct NormedRows {
  const FewRowsParams& p;
  const FewRowsLane& lane;
  unsigned char* room;

  /// Of one row of 32 inputs and of its quarter.
  __device__ __forceinline__ unsigned char* place(int row, int step) const {
    return room + ((static_cast<std::int64_t>(lane.first + step) * p.rows + row) * 4 + lane.quarter) * 16;
  }
  __device__ __forceinline__ void start_weight() const {
    for (int step = 0; step < lane.steps && lane.group < p.rows; ++step) {
      const bool valid = p.norm_weight != nullptr && lane.inside(step);
      copy_async<16>(place(lane.group, step),
                     static_cast<const T*>(valid ? p.norm_weight : p.x) + (valid ? lane.at(step) : 0), valid);
    }
    copy_async_commit();
  }
  __device__ __forceinline__ void put_squares(int n, float* squares_of_warps) const {
    float squares = 0.0f;
#pragma unroll 8
    for (int step = 0; step < lane.steps; ++step) {
      const Words x = row_words<T>(p, lane, n * 8 + lane.group, step);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float low = widen_low(x.word[i], T{}), high = widen_high(x.word[i], T{});
        squares += low * low + high * high;
      }
    }
    squares += shuffle_xor(squares, 1);
    squares += shuffle_xor(squares, 2);
    if (lane.quarter == 0) squares_of_warps[lane.warp * 8 * kRowTiles + n * 8 + lane.group] = squares;
  }
  /// Eight elements of a row.
  __device__ __forceinline__ void norm(float inverse, const Words& weight, Words& x) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float pair[2] = {widen_low(x.word[i], T{}), widen_high(x.word[i], T{})};
      const float factors[2] = {widen_low(weight.word[i], T{}), widen_high(weight.word[i], T{})};
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        pair[e] *= inverse;
        if (p.norm_weight == nullptr) continue;
        if (!p.round_once && !p.unit_offset) pair[e] = round_to<T>(pair[e]);
        pair[e] *= p.unit_offset ? 1.0f + factors[e] : factors[e];
      }
      x.word[i] = pack(pair[0], pair[1], T{});
    }
  }
  /// The whole block comes here.
  __device__ __forceinline__ void make(float* squares_of_warps) const {
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) put_squares(n, squares_of_warps);
    sync_block();
#pragma unroll
    for (int n = kRowTiles - 1; n >= 0; --n) {  // the first rows' places hold the weight
      const int row = n * 8 + lane.group;
      if (row >= p.rows) continue;
      float sum = 0.0f;
#pragma unroll
      for (int warp = 0; warp < kFewRowsWarps; ++warp) sum += squares_of_warps[warp * 8 * kRowTiles + row];
      const float inverse = inverse_root(sum * reciprocal_approximate(static_cast<float>(p.inputs)) + p.epsilon);
#pragma unroll 4
      for (int step = 0; step < lane.steps; ++step) {
        Words x = row_words<T>(p, lane, row, step);
        norm(inverse, load_words(place(lane.group, step)), x);
        store_words(place(row, step), x);
      }
    }
  }
};

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
  float *sums = reinterpret_cast<float*>(shared + Shape::kSumsAt), *other_sums = sums + Shape::sums(rows);
  const NormedRows<T, kRowTiles> normed{p, lane, reinterpret_cast<unsigned char*>(other_sums + Shape::sums(rows))};
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
  const auto tiles_of = [&](int part) {
    const bool made = part < (Shape::kWeights == 2 ? 1 : p.count);
    return made ? static_cast<int>(divide_up(p.parts[part].outputs, kFewRowsOutputs)) : 0;
  };
  FewRowsTiles tiles;
  tiles.first = tiles_of(0);
  tiles.second = tiles.first + tiles_of(1);
  tiles.all = tiles.second + tiles_of(2);
  const std::int64_t steps = divide_up(divide_up(p.inputs, kFewRowsStep), kFewRowsWarps) * kFewRowsWarps;
  const std::int64_t bytes =
      Shape::kSumsAt + 2 * 4 * Shape::sums(static_cast<int>(p.rows)) + (Shape::kNormed ? steps * p.rows * 64 : 0);
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
