// Products on tensor cores, all but the weight: y = x weight^T with the weight as the left operand, 32 outputs a warp,
// and x as the right one, eight rows a fragment, so that few rows waste little.
//
// The order of inputs in a product does not matter as long as both sides agree. So a lane's eight of 32 inputs are
// neighbors: fragments of x are 16 bytes of a row, and a decoder makes eight neighbors of a row of the weight. Shared
// memory: kStages stages of x, 64 inputs each, then what the weight needs, and at the end the sums of all warps.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/product_plan.h"

namespace powerhouse::cuda {

/// Stages of copies, of which all but one are on their way; inputs of a stage.
inline constexpr int kStages = 3, kStep = 64;

/// Where a product's numbers are, and how it is cut.
struct TileProduct {
  const void* x;
  const void* bias;
  void* y;
  float* sums;  // [splits, rows, outputs], or null: not split
  std::int64_t x_stride, y_stride, rows, inputs, outputs;
  std::int64_t part, splits;
};

/// Fragments of the left operand for two products of 16 inputs.
using WeightFragments = std::uint32_t[2][4];

template <int kRowTiles, int kOutputWarps, int kInputWarps>
struct ProductShape {
  static constexpr int kWarps = kOutputWarps * kInputWarps, kThreads = 32 * kWarps;
  static constexpr int kRows = 8 * kRowTiles, kOutputs = kStripOutputs * kOutputWarps;
  static constexpr int kStageBytes = kInputWarps * kRows * kStep * 2;
  /// Of a row of sums: the distance puts lanes that hold rows side by side into different banks.
  static constexpr int kSumsOfRow = kOutputs + 4;
  static constexpr int kSumBytes = kInputWarps * kRows * kSumsOfRow * 4;

  static constexpr int shared_bytes(int weight_bytes) {
    const int copies = kStages * kStageBytes + weight_bytes;
    return copies > kSumBytes ? copies : kSumBytes;
  }
};

/// Where a thread works.
template <typename Shape>
struct ProductPlace {
  int thread, lane, output_warp, input_warp;
  std::int64_t first_row, first_output, split;  // of the block

  __device__ __forceinline__ explicit ProductPlace(int splits) {
    const Place place = read_place();
    thread = place.thread;
    lane = thread % 32;
    constexpr int kOutputWarps = Shape::kOutputs / kStripOutputs;
    output_warp = thread / 32 % kOutputWarps;
    input_warp = thread / 32 / kOutputWarps;
    split = place.block_y % splits;
    first_row = static_cast<std::int64_t>(place.block_y / splits) * Shape::kRows;
    first_output = static_cast<std::int64_t>(place.block_x) * Shape::kOutputs;
  }
};

/// Which eight of a step's 64 inputs a lane has in either half of it: neighbors' eights are neighbors too, or, kFar,
/// those of two lanes stand 32 inputs behind those of the others, where a format keeps them in the same bytes.
template <bool kFar>
static __device__ __forceinline__ int eight_of(int half, int lane) {
  return kFar ? lane % 4 / 2 * 4 + half * 2 + lane % 2 : half * 4 + lane % 4;
}
/// Odd rows have what the two halves read changed in place, so that the two rows that eight lanes read from at once lie
/// in all banks.
template <bool kFar>
static __device__ __forceinline__ int eight_bits(int row) {
  return row % 2 * (kFar ? 2 : 4);
}

/// A thread's share of copying x: chunks of 16 bytes, the eight of a row by neighbors.
template <typename Shape, bool kFar>
struct RowCopy {
  static constexpr int kPasses = Shape::kStageBytes / 16 / Shape::kThreads;
  static_assert(kPasses * 16 * Shape::kThreads == Shape::kStageBytes);

  const TileProduct& p;
  int row, chunk, to;  // of the first pass: rows of all input warps count on
  std::int64_t first_row, first_part;

  __device__ __forceinline__ RowCopy(const TileProduct& product, const ProductPlace<Shape>& place)
      : p(product), first_row(place.first_row) {
    row = place.thread / 8;
    chunk = place.thread % 8;
    to = row * 128 + (chunk ^ eight_bits<kFar>(row)) * 16;
    first_part = place.split * (Shape::kStageBytes / (Shape::kRows * 128)) * p.part;
  }

  __device__ __forceinline__ void start(unsigned char* stages, int step) const {
    unsigned char* const stage = stages + step % kStages * Shape::kStageBytes + to;
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int at = row + pass * (Shape::kThreads / 8);
      const std::int64_t of_x = first_row + at % Shape::kRows;
      const std::int64_t input = first_part + at / Shape::kRows * p.part + step * kStep + chunk * 8;
      const bool valid = of_x < p.rows && input < p.inputs && step * kStep < p.part;
      const auto* const from = static_cast<const std::uint16_t*>(p.x) + (valid ? of_x * p.x_stride + input : 0);
      copy_async<16>(stage + pass * (Shape::kThreads / 8) * 128, from, valid);
    }
  }
};

template <int kRowTiles>
using ProductSums = float[2][kRowTiles][4];

/// sums += weight x^T over 32 inputs. `x`: the lane's row and chunk of the first eight rows. Rows come in groups of two
/// and four tiles, and a group without rows is left out.
template <int kFirst, int kLast, typename Element, int kRowTiles>
static __device__ __forceinline__ void multiply_tiles(const WeightFragments (&weight)[2], const unsigned char* x,
                                                      ProductSums<kRowTiles>& sums) {
#pragma unroll
  for (int n = kFirst; n < kLast; ++n) {
    const Words b = load_words(x + n * 8 * 128);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        multiply_16816(sums[m][n], weight[m][half], b.word[half * 2], b.word[half * 2 + 1], Element{});
      }
    }
  }
}

template <typename Element, int kRowTiles>
static __device__ __forceinline__ void multiply_rows(const WeightFragments (&weight)[2], const unsigned char* x,
                                                     int tiles, ProductSums<kRowTiles>& sums) {
  constexpr int kLeast = kRowTiles < 2 ? kRowTiles : 2;
  multiply_tiles<0, kLeast, Element, kRowTiles>(weight, x, sums);
  if constexpr (kRowTiles > 2) {
    if (tiles > 2) multiply_tiles<2, 4, Element, kRowTiles>(weight, x, sums);
  }
  if constexpr (kRowTiles > 4) {
    if (tiles > 4) multiply_tiles<4, 8, Element, kRowTiles>(weight, x, sums);
  }
}

/// Adds the sums of the warps along inputs, in order, and stores them: as elements with the bias, or for a second
/// launch.
template <typename Shape, typename Element, int kRowTiles>
static __device__ __forceinline__ void store_sums(const TileProduct& p, const ProductSums<kRowTiles>& sums,
                                                  unsigned char* shared) {
  const ProductPlace<Shape> place(static_cast<int>(p.splits));
  auto* const all = reinterpret_cast<float*>(shared);  // [input warps, rows, outputs]
  float* const own = all + (place.input_warp * Shape::kRows + place.lane % 4 * 2) * Shape::kSumsOfRow +
                     place.output_warp * kStripOutputs + place.lane / 4;
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) own[(n * 8 + e % 2) * Shape::kSumsOfRow + m * 16 + e / 2 * 8] = sums[m][n][e];
    }
  }
  sync_block();
  constexpr int kInputWarps = Shape::kWarps * kStripOutputs / Shape::kOutputs;
  for (int at = place.thread; at < Shape::kRows * Shape::kOutputs; at += Shape::kThreads) {
    const int row = at / Shape::kOutputs, output = at % Shape::kOutputs;
    const std::int64_t to_row = place.first_row + row, to = place.first_output + output;
    if (to_row >= p.rows) break;
    if (to >= p.outputs) continue;
    float sum = all[row * Shape::kSumsOfRow + output];
#pragma unroll
    for (int warp = 1; warp < kInputWarps; ++warp) {
      sum += all[(warp * Shape::kRows + row) * Shape::kSumsOfRow + output];
    }
    if (p.sums != nullptr) {
      p.sums[(place.split * p.rows + to_row) * p.outputs + to] = sum;
      continue;
    }
    if (p.bias != nullptr) sum += widen(static_cast<const Element*>(p.bias)[to]);
    static_cast<Element*>(p.y)[to_row * p.y_stride + to] = narrow<Element>(sum);
  }
}

/// Weight: what holds the weight's part of a warp. Grid: blocks of outputs; of rows times splits.
///
/// Weight::kFar says which inputs its lanes have; begin(stage) and start(step) ask for what stage and step + kStages -
/// 1 need; `multiply` adds a step of 64 inputs; `finish` ends the sums.
template <typename Weight, typename Shape, typename Element, int kRowTiles, typename WeightParams>
static __device__ __forceinline__ void tile_product(const TileProduct& p, const WeightParams& weight_params) {
  unsigned char* const stages = shared_memory();
  const ProductPlace<Shape> place(static_cast<int>(p.splits));
  const RowCopy<Shape, Weight::kFar> rows(p, place);
  constexpr int kInputWarps = Shape::kWarps * kStripOutputs / Shape::kOutputs;
  const std::int64_t first = (place.split * kInputWarps + place.input_warp) * p.part;
  Weight weight(p, weight_params, stages + kStages * Shape::kStageBytes, place.thread / 32, place.lane,
                place.first_output + place.output_warp * kStripOutputs, first);
  const int lane_row = place.lane / 4;
  const unsigned char* const x = stages + (place.input_warp * Shape::kRows + lane_row) * 128;
  const int x_bits = eight_bits<Weight::kFar>(lane_row);
  const std::int64_t left = (p.rows - place.first_row + 7) / 8;
  const int tiles = left < kRowTiles ? static_cast<int>(left) : kRowTiles;

  ProductSums<kRowTiles> sums = {};
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    rows.start(stages, stage);
    weight.begin(stage);
    copy_async_commit();
  }
  const int steps = static_cast<int>(p.part / kStep);
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<kStages - 2>();
    sync_block();  // all threads' copies of this step are there, and all have read the stage that comes next
    rows.start(stages, step + kStages - 1);
    weight.start(step);
    copy_async_commit();
    const unsigned char* const stage = x + step % kStages * Shape::kStageBytes;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (first + step * kStep + half * 32 >= p.inputs) break;
      WeightFragments fragments[2];
      weight.template fragments<Element>(step, half, fragments);
      weight.template multiply<Element, kRowTiles>(
          fragments, stage + (eight_of<Weight::kFar>(half, place.lane) ^ x_bits) * 16, tiles, sums);
    }
  }
  copy_async_wait<0>();
  weight.finish(sums);
  sync_block();  // the sums come where the copies were
  store_sums<Shape, Element, kRowTiles>(p, sums, shared_memory());
}

/// Adds the splits of each number in order. Grid: blocks of 256 outputs; rows.
template <typename Element>
__global__ void __launch_bounds__(256) add_splits_kernel(const TileProduct p) {
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x, row = blockIdx.y;
  if (output >= p.outputs) return;
  float sum = p.sums[row * p.outputs + output];
  for (std::int64_t split = 1; split < p.splits; ++split) sum += p.sums[(split * p.rows + row) * p.outputs + output];
  if (p.bias != nullptr) sum += widen(static_cast<const Element*>(p.bias)[output]);
  static_cast<Element*>(p.y)[row * p.y_stride + output] = narrow<Element>(sum);
}

template <typename Params>
TileProduct tile_product_of(const Params& p, const ProductPlan& plan, std::int64_t inputs, std::int64_t outputs) {
  return {.x = p.x,
          .bias = p.bias,
          .y = p.y,
          .sums = plan.splits > 1 ? p.workspace : nullptr,
          .x_stride = p.x_stride,
          .y_stride = p.y_stride,
          .rows = p.rows,
          .inputs = inputs,
          .outputs = outputs,
          .part = plan.part,
          .splits = plan.splits};
}

template <typename Element, typename Launch>
void launch_add_splits(const Launch& launch, const TileProduct& p) {
  if (p.sums == nullptr) return;
  launch(LaunchShape{.grid_x = divide_up(p.outputs, 256), .grid_y = p.rows, .block_x = 256}, add_splits_kernel<Element>,
         p);
}

}  // namespace powerhouse::cuda
