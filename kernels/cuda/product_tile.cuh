// Products on tensor cores, all but the weight: y = x weight^T with the weight as the left operand, 32 outputs a warp,
// and x as the right one, eight rows a fragment, so that few rows waste little.
//
// The order of inputs in a product does not matter as long as both sides agree. So a lane's eight of 32 inputs are
// neighbors: fragments of x are 16 bytes of a row, and a decoder makes eight neighbors of a row of the weight.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/product_shape.h"

namespace powerhouse::cuda {

/// Where a product's numbers are, and how it is cut.
struct TileProduct {
  const void* x;
  const void* bias;
  void* y;
  float* sums;  // [splits, rows, outputs], or null: not split
  std::int64_t x_stride, y_stride, rows, inputs, outputs;
  std::int64_t part, splits;
  bool is_bf16;  // of x, bias and y; f16 else
};

/// Calls function(Element{}) with the type of x: a branch that all threads take alike.
template <typename Function>
static __device__ __forceinline__ void with_type_of(const TileProduct& p, const Function& function) {
  if (p.is_bf16) {
    function(bfloat16{});
  } else {
    function(float16{});
  }
}
/// A sum with its output's bias becomes an element of y.
static __device__ __forceinline__ void store_sum(const TileProduct& p, std::int64_t row, std::int64_t output,
                                                 float sum) {
  with_type_of(p, [&](auto type) {
    using Element = decltype(type);
    if (p.bias != nullptr) sum += widen(static_cast<const Element*>(p.bias)[output]);
    static_cast<Element*>(p.y)[row * p.y_stride + output] = narrow<Element>(sum);
  });
}

/// Fragments of the left operand for two products of 16 inputs.
using WeightFragments = std::uint32_t[2][4];

/// Where a thread works.
template <typename Shape>
struct ProductPlace {
  int thread, lane, output_warp, input_warp;
  std::int64_t first_row, first_output, split;  // of the block

  __device__ __forceinline__ explicit ProductPlace(int splits) {
    const Place place = read_place();
    thread = place.thread;
    lane = thread % 32;
    constexpr int kOutputWarps = Shape::kWarps / Shape::kInputs;
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

/// A thread's share of copying x: chunks of 16 bytes, the eight of a row by neighbors. Rows of all warps along inputs
/// count on, each in its part of the inputs.
template <typename Shape, bool kFar>
struct RowCopy {
  static constexpr int kRowsOfPass = Shape::kThreads / 8, kPasses = Shape::kStageBytes / 128 / kRowsOfPass;
  static_assert(kPasses * kRowsOfPass * 128 == Shape::kStageBytes);
  static_assert(kRowsOfPass % Shape::kRows == 0 || Shape::kRows % kRowsOfPass == 0);

  const std::uint16_t* from;  // the first pass's, of the step that comes next
  std::int64_t x_stride;
  int to, part;
  int rows, inputs;  // left from the first pass's on

  __device__ __forceinline__ RowCopy(const TileProduct& p, const ProductPlace<Shape>& place)
      : x_stride(p.x_stride), part(static_cast<int>(p.part)) {
    const int row = place.thread / 8, chunk = place.thread % 8;
    to = row * 128 + (chunk ^ eight_bits<kFar>(row)) * 16;
    const std::int64_t first_row = place.first_row + row % Shape::kRows;
    const std::int64_t first = (place.split * Shape::kInputs + row / Shape::kRows) * p.part + chunk * 8;
    rows = static_cast<int>(p.rows - first_row);
    inputs = static_cast<int>(p.inputs - first);
    from = static_cast<const std::uint16_t*>(p.x) + first_row * x_stride + first;
  }

  /// Into a stage; steps come in order.
  __device__ __forceinline__ void start(unsigned char* stage, int step) {
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      constexpr int kRows = Shape::kRows;
      const int row = pass * kRowsOfPass % kRows, ahead = pass * kRowsOfPass / kRows * part;
      const bool valid = row < rows && step * kStep + ahead < inputs && step * kStep < part;
      copy_async<16>(stage + to + pass * kRowsOfPass * 128, from + (row * x_stride + ahead), valid);
    }
    from += kStep;
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
template <typename Shape, int kRowTiles>
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
  for (int at = place.thread; at < Shape::kRows * Shape::kOutputs; at += Shape::kThreads) {
    const int row = at / Shape::kOutputs, output = at % Shape::kOutputs;
    const std::int64_t to_row = place.first_row + row, to = place.first_output + output;
    if (to_row >= p.rows) break;
    if (to >= p.outputs) continue;
    float sum = all[row * Shape::kSumsOfRow + output];
#pragma unroll
    for (int warp = 1; warp < Shape::kInputs; ++warp) {
      sum += all[(warp * Shape::kRows + row) * Shape::kSumsOfRow + output];
    }
    if (p.sums != nullptr) {
      p.sums[(place.split * p.rows + to_row) * p.outputs + to] = sum;
      continue;
    }
    store_sum(p, to_row, to, sum);
  }
}

/// Weight: what holds the weight's part of a warp. Grid: blocks of outputs; of rows times splits.
///
/// Weight::kFar says which inputs its lanes have, kHalvesAtOnce how often the code stands that makes elements of half a
/// step; begin(stage) and start(step, stage) ask for what stage and step +
/// Shape::kStages - 1 need; fragments(step, stage, half) are what `multiply` multiplies; `finish` ends the sums.
template <typename Weight, typename Shape, int kRowTiles, typename WeightParams>
static __device__ __forceinline__ void tile_product(const TileProduct& p, const WeightParams& weight_params) {
  constexpr int kStages = Shape::kStages;
  unsigned char* const stages = shared_memory();
  const ProductPlace<Shape> place(static_cast<int>(p.splits));
  RowCopy<Shape, Weight::kFar> rows(p, place);
  const std::int64_t first = (place.split * Shape::kInputs + place.input_warp) * p.part;
  Weight weight(p, weight_params, stages + kStages * Shape::kStageBytes, place.thread / 32, place.lane,
                place.first_output + place.output_warp * kStripOutputs, first);
  const int lane_row = place.lane / 4, x_bits = eight_bits<Weight::kFar>(lane_row);
  const unsigned char* const x = stages + (place.input_warp * Shape::kRows + lane_row) * 128;
  const std::int64_t tiles_left = (p.rows - place.first_row + 7) / 8;
  const int tiles = tiles_left < kRowTiles ? static_cast<int>(tiles_left) : kRowTiles;

  ProductSums<kRowTiles> sums = {};
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    rows.start(stages + stage * Shape::kStageBytes, stage);
    weight.begin(stage);
    copy_async_commit();
  }
  const int steps = static_cast<int>(p.part / kStep);
  const int inputs = static_cast<int>(p.inputs - first);  // of this warp, if its part does not end before
  int stage = 0, stage_before = kStages - 1;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<kStages - 2>();
    sync_block();  // all threads' copies of this step are there, and all have read the stage that comes next
    rows.start(stages + stage_before * Shape::kStageBytes, step + kStages - 1);
    weight.start(step, stage_before);
    copy_async_commit();
#pragma unroll(Weight::kHalvesAtOnce)
    for (int half = 0; half < 2; ++half) {
      if (step * kStep + half * 32 >= inputs) break;
      WeightFragments fragments[2];
      weight.fragments(step, stage, half, fragments);
      const unsigned char* const eight =
          x + stage * Shape::kStageBytes + (eight_of<Weight::kFar>(half, place.lane) ^ x_bits) * 16;
      weight.multiply(fragments, eight, tiles, sums);
    }
    stage_before = stage;
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  copy_async_wait<0>();
  weight.finish(sums);
  sync_block();  // the sums come where the copies were
  store_sums<Shape, kRowTiles>(p, sums, shared_memory());
}

/// Adds the splits of each number in order. Grid: blocks of 256 outputs; rows.
static __global__ void __launch_bounds__(256) add_splits_kernel(const TileProduct p) {
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x, row = blockIdx.y;
  if (output >= p.outputs) return;
  float sum = p.sums[row * p.outputs + output];
  for (std::int64_t split = 1; split < p.splits; ++split) sum += p.sums[(split * p.rows + row) * p.outputs + output];
  store_sum(p, row, output, sum);
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
          .splits = plan.splits,
          .is_bf16 = p.type == Element::bf16};
}

template <typename Launch>
void launch_add_splits(const Launch& launch, const TileProduct& p) {
  if (p.sums == nullptr) return;
  launch(LaunchShape{.grid_x = divide_up(p.outputs, 256), .grid_y = p.rows, .block_x = 256}, add_splits_kernel, p);
}

}  // namespace powerhouse::cuda
