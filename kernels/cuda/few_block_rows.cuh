// Products of up to 16 rows, eight at a time, with weights of blocks of one format: up to three that read the same
// rows, or gate and up with their activation, a norm in front and a residual behind where they are wanted.
//
// A block of threads takes 16 outputs after 16 others, its warps take turns at chunks of 256 inputs
// (few_block_warp.cuh). A warp waits for no other until its sums are added to the others', in order; its first chunks
// are under way before anything is read that an earlier launch made.
#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/few_block_warp.cuh"
#include "kernels/cuda/few_block_x.cuh"
#include "kernels/cuda/quantized_product_params.h"

namespace powerhouse::cuda {

/// The tiles of a block of threads, one after the other: of gate and up in turns.
struct FewBlockTiles {
  const FewRowsParams& p;
  const FewBlockPlan& plan;

  __device__ __forceinline__ int number(int turn) const {
    return static_cast<int>(blockIdx.x) + (p.gated ? turn / 2 : turn) * static_cast<int>(gridDim.x);
  }
  __device__ __forceinline__ bool has(int turn) const { return number(turn) < plan.tiles.all; }
  __device__ __forceinline__ FewRowsTile at(int turn) const {
    FewRowsTile tile = tile_at(plan.tiles, number(turn));
    if (p.gated) tile.part = turn % 2;
    return tile;
  }
  __device__ __forceinline__ FewBlockRowsTile weight(const FewRowsTile& tile) const {
    const FewRowsPart& part = p.parts[tile.part];
    const std::int64_t left = part.outputs - tile.output;
    return {static_cast<const std::uint8_t*>(part.weight) + tile.output * plan.row_bytes,
            static_cast<int>(left < kFewOutputs ? left : kFewOutputs)};
  }
};

/// The chunks that a warp copies, ahead of those that it multiplies.
struct FewBlockCopies {
  int warp, turn, chunk;

  __device__ __forceinline__ void advance(const FewBlockPlan& plan) {
    chunk += plan.warps;
    if (chunk < plan.chunks) return;
    chunk = warp;
    ++turn;
  }
};

static __device__ __forceinline__ void wait_for_first_of(int stages) {
  if (stages == 2) copy_async_wait<1>();
  if (stages == 3) copy_async_wait<2>();
  if (stages >= 4) copy_async_wait<3>();
}

/// What a thread stores of a tile: one output of one row.
template <typename T>
struct FewBlockOutput {
  const FewRowsParams& p;
  FewRowsTile tile;
  int row, column;

  __device__ __forceinline__ FewBlockOutput(const FewRowsParams& params, const FewRowsTile& of, int thread)
      : p(params), tile(of), row(thread / kFewOutputs), column(thread % kFewOutputs) {}
  __device__ __forceinline__ std::int64_t output() const { return tile.output + column; }
  __device__ __forceinline__ bool exists() const { return row < p.rows && output() < p.parts[tile.part].outputs; }
  /// What is added to the sums: of the bias, and of the residual. They are read while the tile is multiplied.
  __device__ __forceinline__ float bias() const {
    const void* const biases = p.parts[tile.part].bias;
    return exists() && biases != nullptr ? widen(static_cast<const T*>(biases)[output()]) : 0.0f;
  }
  __device__ __forceinline__ float residual() const {
    if (!exists() || p.residual == nullptr) return 0.0f;
    return widen(static_cast<const T*>(p.residual)[row * p.residual_stride + output()]);
  }
  /// Of all warps, in order. `sums`: [warps, rows, outputs].
  template <typename Shape>
  __device__ __forceinline__ float sum(const float* sums, int warps) const {
    const float* const own = sums + row * Shape::kSumsOfRow + column;
    float sum = own[0];
    for (int warp = 1; warp < warps; ++warp) sum += own[warp * Shape::kSumFloats];
    return sum;
  }
  __device__ __forceinline__ void store(int part, float value, float residual) const {
    const std::int64_t at = row * p.parts[part].y_stride + output();
    if (p.to_float) {
      static_cast<float*>(p.parts[part].y)[at] = value;
      return;
    }
    if (p.residual != nullptr) value = round_to<T>(value) + residual;
    static_cast<T*>(p.parts[part].y)[at] = narrow<T>(value);
  }
};

/// Grid: as many blocks as are resident, or a block for each tile where these are fewer.
template <BlockFormat kFormat, typename Element>
__global__ void __launch_bounds__(FewBlockRowsShape<kFormat>::kThreads, 1)
    few_block_rows_kernel(const FewRowsParams p, const FewBlockPlan plan) {
  using Shape = FewBlockRowsShape<kFormat>;
  begin_next_launch();
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  unsigned char* const shared = shared_memory();
  unsigned char* const stages = shared + Shape::kTableBytes + warp * plan.stages * Shape::kStageBytes;
  auto* const all_sums = reinterpret_cast<float*>(shared + plan.sums_at);
  const FewBlockRowsWarp<kFormat, Element> of_warp{
      .row_bytes = plan.row_bytes,
      .inputs = static_cast<int>(p.inputs),
      .table = shared,
      .prepared = reinterpret_cast<float*>(shared + plan.prepared_at + warp * Shape::kPreparedBytes),
      .lane = lane};
  const FewBlockTiles tiles{p, plan};
  FewBlockCopies copies{warp, 0, warp};
  const auto start = [&](int stage) {
    if (warp < plan.chunks && tiles.has(copies.turn)) {
      of_warp.start_chunk(stages + stage * Shape::kStageBytes, tiles.weight(tiles.at(copies.turn)), copies.chunk);
    }
    copy_async_commit();
    copies.advance(plan);
  };

  const FewBlockX<Element> rows{p, plan, shared, thread};
  rows.start_norm_weight();
  for (int stage = 0; stage < plan.stages; ++stage) start(stage);
  if constexpr (Shape::kTableBytes != 0) fill_level_table<kFormat, Element>(shared, thread, plan.warps * 32);
  if (p.early) wait_for_launch_before();
  wait_for_first_of(plan.stages);
  rows.make();

  const int row = lane / 4 < p.rows ? lane / 4 : static_cast<int>(p.rows) - 1;  // absent rows are the last one again
  const std::uint16_t* const x = rows.begin_of_row(row) + of_warp.first_input();
  int stage = 0;
  float gate = 0;
  for (int turn = 0; tiles.has(turn); ++turn) {
    const FewRowsTile tile = tiles.at(turn);
    const FewBlockRowsTile weight = tiles.weight(tile);
    const FewBlockOutput<Element> of_thread(p, tile, thread);
    const float bias = of_thread.bias(), residual = of_thread.residual();
    float sums[4] = {};
    for (int chunk = warp; chunk < plan.chunks; chunk += plan.warps) {
      const std::uint16_t* const x_of_chunk = x + chunk * kFewChunk;
      Words groups[of_warp.kGroups];
      of_warp.load_first_groups(x_of_chunk, of_warp.inputs - chunk * kFewChunk, groups);
      wait_for_first_of(plan.stages);
      sync_warp();  // all lanes' copies have come
      of_warp.add_chunk(stages + stage * Shape::kStageBytes, weight, chunk, x_of_chunk, groups, sums);
      sync_warp();  // all have read before the next copy goes there
      start(stage);
      stage = stage + 1 == plan.stages ? 0 : stage + 1;
    }
    float* const of_turn = all_sums + turn % 2 * (plan.warps * Shape::kSumFloats);  // others still add those before
    float* const own = of_turn + warp * Shape::kSumFloats + lane % 4 * 2 * Shape::kSumsOfRow + lane / 4;
#pragma unroll
    for (int e = 0; e < 4; ++e) own[e % 2 * Shape::kSumsOfRow + e / 2 * 8] = sums[e];
    sync_block();
    const FewBlockOutput<Element> output(p, tiles.at(turn), read_place().thread);
    if (!output.exists()) continue;
    const float sum = output.template sum<Shape>(of_turn, plan.warps) + bias;
    if (!p.gated) {
      output.store(output.tile.part, sum, residual);
    } else if (output.tile.part == 0) {
      gate = activate(p.kind, round_to<Element>(sum));
    } else {
      output.store(0, gate * round_to<Element>(sum), 0.0f);
    }
  }
  copy_async_wait<0>();
}

/// A launch for each eight rows. For formats of one family (block_formats.cuh); false for another format, for float32,
/// and where shared memory has no room for normed rows.
template <typename Family, typename Launch>
bool launch_few_block_rows(Family family, const Launch& launch, const FewRowsParams& p) {
  if (p.type == Element::f32 || p.rows > kMostFewRows) return false;
  bool fits = true;
  return visit_family(family, p.format,
                      [&](auto tag) {
                        constexpr BlockFormat kFormat = decltype(tag)::kValue;
                        const auto at = [&](const void* data, std::int64_t element, int bytes) {
                          return data == nullptr ? nullptr : static_cast<const char*>(data) + element * bytes;
                        };
                        for (std::int64_t row = 0; row < p.rows && fits; row += kMostPlainRows) {
                          FewRowsParams of_rows = p;
                          of_rows.rows = p.rows - row < kMostPlainRows ? p.rows - row : kMostPlainRows;
                          of_rows.x = at(p.x, row * p.x_stride, 2);
                          of_rows.residual = at(p.residual, row * p.residual_stride, 2);
                          for (FewRowsPart& part : of_rows.parts) {
                            part.y = const_cast<char*>(at(part.y, row * part.y_stride, p.to_float ? 4 : 2));
                          }
                          FewBlockPlan plan;
                          fits = plan_few_block_rows<kFormat>(of_rows, plan);
                          if (!fits) break;
                          const std::int64_t resident = static_cast<std::int64_t>(p.multiprocessors) * plan.resident;
                          // No other block has room on a multiprocessor: those of the next launch come when these end.
                          const int least = p.early ? (p.shared_bytes + 1024) / (plan.resident + 1) : 0;
                          const LaunchShape shape{.grid_x = plan.tiles.all < resident ? plan.tiles.all : resident,
                                                  .block_x = static_cast<unsigned>(plan.warps * 32),
                                                  .shared_bytes = plan.bytes < least ? least : plan.bytes,
                                                  .early = p.early};
                          if (p.type == Element::bf16) {
                            launch(shape, few_block_rows_kernel<kFormat, bfloat16>, of_rows, plan);
                          } else {
                            launch(shape, few_block_rows_kernel<kFormat, float16>, of_rows, plan);
                          }
                        }
                      }) &&
         fits;
}

/// One product by itself.
template <typename Family, typename Launch>
bool launch_few_block_rows(Family family, const Launch& launch, const QuantizedProductParams& p) {
  FewRowsParams few{.type = p.type,
                    .blocks = true,
                    .format = p.format,
                    .x = p.x,
                    .x_stride = p.x_stride,
                    .rows = p.rows,
                    .inputs = p.inputs,
                    .multiprocessors = p.multiprocessors,
                    .shared_bytes = p.shared_bytes};
  few.parts[0] = {.weight = p.weight, .bias = p.bias, .y = p.y, .outputs = p.outputs, .y_stride = p.y_stride};
  return launch_few_block_rows(family, launch, few);
}

}  // namespace powerhouse::cuda
