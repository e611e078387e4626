// Products of up to 16 rows, eight at a time, with a weight of blocks, on tensor cores: the weight is the left operand,
// 16 outputs, x the right one, eight rows of it, so that as many rows cost as little as one. Codes are multiplied
// exactly (block_codes.cuh), the sums of a group of inputs by its scale in float32.
//
// A block of threads takes 16 outputs, its warps take turns at chunks of 256 inputs. A warp brings its chunks into
// shared memory by itself and waits for no other until its sums are added to the others', in order. What is to be read
// is read once, rows from neighbors' bytes on, and fragments of x come from the first cache.
#pragma once

#include "kernels/cuda/block_codes.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/product_shape.h"
#include "kernels/cuda/quantized_product_params.h"

namespace powerhouse::cuda {

struct FewBlockRowsParams {
  const std::uint8_t* weight;
  const void* x;
  const void* bias;
  void* y;
  std::int64_t x_stride, y_stride;
  int row_bytes, rows, inputs, outputs;
};

/// Calls function(Constant<0>{}) to function(Constant<kCount - 1>{}).
template <int kCount, typename Function>
static __device__ __forceinline__ void for_each_constant(const Function& function) {
  if constexpr (kCount > 0) {
    for_each_constant<kCount - 1>(function);
    function(Constant<kCount - 1>{});
  }
}

/// A pair of minus what products have too much for each x.
template <typename Traits, typename Element>
static constexpr __device__ __forceinline__ std::uint32_t minus_surplus() {
  if (Traits::kSurplus == 0) return 0;
  int exponent = 0;
  while (Traits::kSurplus >> (exponent + 1) != 0) ++exponent;
  const auto rest = static_cast<std::uint32_t>(Traits::kSurplus) - (1u << exponent);
  const auto biased = static_cast<std::uint32_t>(kExponentOfOne<Element> + exponent);
  return twice(0x8000u | biased << kMantissaBits<Element> | rest << (kMantissaBits<Element> - exponent));
}

template <BlockFormat kFormat, typename Element, typename Shape>
struct FewBlockRowsWarp {
  using Traits = CodeTraits<kFormat>;
  /// Groups of x that are in registers, or on their way there.
  static constexpr int kGroups = 4;
  /// Lanes that copy a row: 128 bytes of it come at once.
  static constexpr int kCopyLanes = 8, kCopyRows = 32 / kCopyLanes;

  const FewBlockRowsParams& p;
  const unsigned char* table;
  float* prepared;
  int lane;

  /// Where an output's row of the weight is; the rows behind the last one are the first again, which is not stored.
  __device__ __forceinline__ std::int64_t begin_of(int output, int chunk) const {
    return static_cast<std::int64_t>(output < p.outputs ? output : 0) * p.row_bytes + chunk * Shape::kChunkBytes;
  }
  /// How far behind the beginning of a sector that is.
  __device__ __forceinline__ int skew_of(std::int64_t begin) const {
    return static_cast<int>(
        (static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(p.weight)) + static_cast<unsigned>(begin)) % 32);
  }

  __device__ __forceinline__ void start_chunk(unsigned char* stage, int tile, int chunk) const {
    /// Of a row, and what all of its lanes copy of that.
    constexpr int kBytes = Shape::kPieces * 16, kWhole = kBytes / (kCopyLanes * 16) * (kCopyLanes * 16);
    const int piece = lane % kCopyLanes * 16;
#pragma unroll
    for (int row = lane / kCopyLanes; row < kFewOutputs; row += kCopyRows) {
      const int output = tile * kFewOutputs + row;
      const std::int64_t begin = begin_of(output, chunk);
      const int skew = skew_of(begin), left = p.row_bytes - chunk * Shape::kChunkBytes;
      const int end = (skew + (left < Shape::kChunkBytes ? left : Shape::kChunkBytes) + 31) & ~31;  // whole sectors
      const int bytes = output < p.outputs ? end - piece : 0;
      const std::uint8_t* const from = p.weight + begin + (piece - skew);
      unsigned char* const to = stage + row * Shape::kRoom + piece;
#pragma unroll
      for (int at = 0; at < kWhole; at += kCopyLanes * 16) copy_async<16>(to + at, from + at, at < bytes);
      if (kWhole < kBytes && piece < kBytes - kWhole) copy_async<16>(to + kWhole, from + kWhole, kWhole < bytes);
    }
  }

  /// x of the lane's row from the chunk on. Rows that are not there are the last one again.
  __device__ __forceinline__ const std::uint16_t* x_of(int chunk) const {
    const int row = lane / 4 < p.rows ? lane / 4 : p.rows - 1;
    return static_cast<const std::uint16_t*>(p.x) + row * p.x_stride + chunk * kFewChunk +
           lane % 4 * (Traits::kLaneInputs == LaneInputs::eight ? 8 : 4);
  }
  /// The lane's eight of a group of 32, in the order of its codes.
  static __device__ __forceinline__ Words load_group(const std::uint16_t* x, int group) {
    if constexpr (Traits::kLaneInputs == LaneInputs::eight) {
      return load_words(x + group * 32);
    } else {
      const auto first = load_as<std::uint64_t>(x + group * 32), second = load_as<std::uint64_t>(x + group * 32 + 16);
      return {{static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(first >> 32),
               static_cast<std::uint32_t>(second), static_cast<std::uint32_t>(second >> 32)}};
    }
  }
  static __device__ __forceinline__ void load_first_groups(const std::uint16_t* x, int left, Words (&groups)[kGroups]) {
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      if (kBlockElements<kFormat> == kFewChunk || i * 32 < left) groups[i] = load_group(x, i);
    }
  }
  static __device__ __forceinline__ Words fragments_of_x(const Words& x) {
    if constexpr (Traits::kLaneInputs == LaneInputs::pairs) {
      return {{choose_bytes(x.word[0], x.word[2], 0x5410u), choose_bytes(x.word[0], x.word[2], 0x7632u),
               choose_bytes(x.word[1], x.word[3], 0x5410u), choose_bytes(x.word[1], x.word[3], 0x7632u)}};
    } else {
      return x;
    }
  }

  template <int kPart, int kProduct, int kPlane>
  __device__ __forceinline__ void fragment(const UnitCodes<kFormat> (&codes)[2], std::uint32_t (&a)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const UnitCodes<kFormat>& of_row = codes[i % 2];
      if constexpr (Traits::kTable) {
        a[i] = of_row.template pair_by_table<kProduct>(table + kPlane * kLevelTableBytes, lane, i / 2);
      } else if constexpr (Traits::kDecoded) {
        a[i] = of_row.template pair_of_numbers<Element, kProduct, kPlane>(i / 2);
      } else {
        a[i] = of_row.template pair<Element, kPart, kProduct>(i / 2);
      }
    }
  }

  __device__ __forceinline__ GroupLevel level(const unsigned char* block, int row, int group) const {
    if constexpr (!Traits::kPrepared) {
      return level_of<kFormat>(block);
    } else if constexpr (Traits::kMins) {
      const auto both = load_as<std::uint64_t>(prepared + row * kPreparedFloats<kFormat> + group * 2);
      return {as_float(static_cast<std::uint32_t>(both)), as_float(static_cast<std::uint32_t>(both >> 32))};
    } else {
      return {prepared[row * kPreparedFloats<kFormat> + group], 0};
    }
  }

  static __device__ __forceinline__ void add_group(const float (&products)[4], const float (&surplus)[4],
                                                   const GroupLevel (&levels)[2], float (&sums)[4]) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if constexpr (Traits::kDecoded) {
        sums[e] += products[e];
      } else {
        sums[e] += products[e] * levels[e / 2].scale;
      }
      if constexpr (Traits::kMins) sums[e] += surplus[e] * levels[e / 2].surplus;
    }
  }

  /// Adds the products of 32 inputs, which are the kPart-th of a unit and stand at `at` in the chunk.
  template <int kPart>
  __device__ __forceinline__ void multiply_part(const UnitCodes<kFormat> (&codes)[2],
                                                const unsigned char* const (&blocks)[2], int at, const Words& b,
                                                float (&sums)[4]) const {
    constexpr std::uint32_t kMinus = minus_surplus<Traits, Element>();
    const std::uint32_t minus[4] = {kMinus, kMinus, kMinus, kMinus};
    const float zeros[4] = {};
    float surplus[4], products[4];
    for_each_constant<2>([&](auto product) __attribute__((always_inline)) {
      constexpr int kProduct = decltype(product)::kValue;
      constexpr bool kAlone = Traits::kGroup == 16;
      const std::uint32_t b0 = b.word[kProduct * 2], b1 = b.word[kProduct * 2 + 1];
      if constexpr (Traits::kSurplus != 0 && (kProduct == 0 || kAlone)) {
        multiply_16816(surplus, zeros, minus, b0, b1, Element{});
        if constexpr (!kAlone) multiply_16816(surplus, surplus, minus, b.word[2], b.word[3], Element{});
      }
      for_each_constant<Traits::kPlanes>([&](auto plane) __attribute__((always_inline)) {
        constexpr int kPlane = decltype(plane)::kValue;
        constexpr bool kFirst = kPlane == 0 && (kProduct == 0 || kAlone);
        std::uint32_t a[4];
        fragment<kPart, kProduct, kPlane>(codes, a);
        if constexpr (!kFirst) {
          multiply_16816(products, products, a, b0, b1, Element{});
        } else if constexpr (Traits::kSurplus != 0) {
          multiply_16816(products, surplus, a, b0, b1, Element{});
        } else {
          multiply_16816(products, zeros, a, b0, b1, Element{});
        }
      });
      if constexpr (kProduct == 1 || kAlone) {
        const int group = kAlone ? at / 16 + kProduct : at / 32, row = lane / 4;
        const GroupLevel levels[2] = {level(blocks[0], row, group), level(blocks[1], row + 8, group)};
        add_group(products, surplus, levels, sums);
      }
    });
  }

  /// Adds the products of a chunk. `first`, `second`: its rows lane / 4 and 8 more.
  template <bool kWhole>
  __device__ __forceinline__ void multiply_chunk(const unsigned char* first, const unsigned char* second, int left,
                                                 const std::uint16_t* x, Words (&groups)[kGroups],
                                                 float (&sums)[4]) const {
    for_each_constant<kFewChunk / Traits::kUnit>([&](auto unit) __attribute__((always_inline)) {
      constexpr int kAt = decltype(unit)::kValue * Traits::kUnit;
      constexpr int kBefore = kAt / kBlockElements<kFormat> * kBlockBytes<kFormat>;
      if (!kWhole && kAt >= left) return;
      UnitCodes<kFormat> codes[2];
      const unsigned char* const blocks[2] = {first + kBefore, second + kBefore};
#pragma unroll
      for (int i = 0; i < 2; ++i) codes[i].load(blocks[i], kAt % kBlockElements<kFormat>, lane % 4);
      for_each_constant<Traits::kUnit / 32>([&](auto part) __attribute__((always_inline)) {
        constexpr int kPart = decltype(part)::kValue, kGroup = kAt / 32 + kPart, kLater = kGroup + kGroups;
        multiply_part<kPart>(codes, blocks, kGroup * 32, fragments_of_x(groups[kGroup % kGroups]), sums);
        if constexpr (kLater < kFewChunk / 32) {
          if (kWhole || kLater * 32 < left) groups[kGroup % kGroups] = load_group(x, kLater);
        }
      });
    });
  }

  __device__ __forceinline__ void add_chunk(const unsigned char* stage, int tile, int chunk, const std::uint16_t* x,
                                            Words (&groups)[kGroups], float (&sums)[4]) const {
    const auto row_at = [&](int row) {
      return stage + row * Shape::kRoom + skew_of(begin_of(tile * kFewOutputs + row, chunk));
    };
    if constexpr (Traits::kPrepared) {
      prepare_levels<kFormat>(row_at(lane / 2), lane % 2, prepared + lane / 2 * kPreparedFloats<kFormat>);
      sync_warp();
    }
    const int left = p.inputs - chunk * kFewChunk;
    if (kBlockElements<kFormat> == kFewChunk || left >= kFewChunk) {
      multiply_chunk<true>(row_at(lane / 4), row_at(lane / 4 + 8), left, x, groups, sums);
    } else {
      multiply_chunk<false>(row_at(lane / 4), row_at(lane / 4 + 8), left, x, groups, sums);
    }
  }
};

/// Adds the warps' sums in order and stores them. `sums`: [warps, rows, outputs].
template <typename Shape, typename Element>
static __device__ __forceinline__ void store_few_block_rows(const FewBlockRowsParams& p, const float* sums, int tile,
                                                            int thread) {
#pragma unroll 1
  for (int at = thread; at < p.rows * kFewOutputs; at += Shape::kThreads) {
    const int row = at / kFewOutputs, output = tile * kFewOutputs + at % kFewOutputs;
    if (output >= p.outputs) continue;
    const float* const own = sums + row * Shape::kSumsOfRow + at % kFewOutputs;
    float sum = own[0];
#pragma unroll
    for (int warp = 1; warp < Shape::kWarps; ++warp) sum += own[warp * Shape::kSumFloats];
    if (p.bias != nullptr) sum += widen(static_cast<const Element*>(p.bias)[output]);
    static_cast<Element*>(p.y)[row * p.y_stride + output] = narrow<Element>(sum);
  }
}

/// Grid: a block of threads for each 16 outputs, or, where they have a table to fill before, as many as are resident.
template <BlockFormat kFormat, typename Element, typename Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kResident) few_block_rows_kernel(const FewBlockRowsParams p) {
  constexpr int kWarps = Shape::kWarps;
  constexpr bool kTakesMore = Shape::kTableBytes != 0;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  unsigned char* const table = shared_memory();
  unsigned char* const stages = table + Shape::kTableBytes + warp * Shape::kWarpBytes;
  auto* const all_sums = reinterpret_cast<float*>(table + Shape::kTableBytes + kWarps * Shape::kWarpBytes);
  const FewBlockRowsWarp<kFormat, Element, Shape> of_warp{
      .p = p,
      .table = table,
      .prepared = reinterpret_cast<float*>(stages + 2 * Shape::kStageBytes),
      .lane = thread % 32};
  const int tiles = (p.outputs + kFewOutputs - 1) / kFewOutputs, chunks = (p.inputs + kFewChunk - 1) / kFewChunk;
  const auto start = [&](int tile, int chunk, int stage) {
    if (tile < tiles && chunk < chunks) of_warp.start_chunk(stages + stage * Shape::kStageBytes, tile, chunk);
    copy_async_commit();
  };

  int tile = static_cast<int>(blockIdx.x), stage = 0, turn = 0;
  start(tile, warp, stage);
  if constexpr (kTakesMore) {
    fill_level_table<kFormat, Element>(table, thread, Shape::kThreads);
    sync_block();
  }
  do {
    const int next_tile = kTakesMore ? tile + static_cast<int>(gridDim.x) : tiles;
    float sums[4] = {};
    for (int chunk = warp; chunk < chunks; chunk += kWarps) {
      const std::uint16_t* const x = of_warp.x_of(chunk);
      Words groups[of_warp.kGroups];
      of_warp.load_first_groups(x, p.inputs - chunk * kFewChunk, groups);
      copy_async_wait<0>();
      sync_warp();  // all lanes' copies have come, and all have read the chunk before
      const bool last = chunk + kWarps >= chunks;
      start(last ? next_tile : tile, last ? warp : chunk + kWarps, 1 - stage);
      of_warp.add_chunk(stages + stage * Shape::kStageBytes, tile, chunk, x, groups, sums);
      stage = 1 - stage;
    }
    float* const of_turn = all_sums + turn * (kWarps * Shape::kSumFloats);
    turn = 1 - turn;  // the next sums are stored while others still add these
    const int lane = thread % 32;
    float* const own = of_turn + warp * Shape::kSumFloats + lane % 4 * 2 * Shape::kSumsOfRow + lane / 4;
#pragma unroll
    for (int e = 0; e < 4; ++e) own[e % 2 * Shape::kSumsOfRow + e / 2 * 8] = sums[e];
    sync_block();
    store_few_block_rows<Shape, Element>(p, of_turn, tile, thread);
    tile = next_tile;
  } while (kTakesMore && tile < tiles);
  copy_async_wait<0>();
}

/// A launch for each eight rows. For formats of one family (block_formats.cuh); false for another format and for
/// float32.
template <typename Family, typename Launch>
bool launch_few_block_rows(Family family, const Launch& launch, const QuantizedProductParams& p) {
  if (p.type == Element::f32) return false;
  return visit_family(family, p.format, [&](auto tag) {
    constexpr BlockFormat kFormat = decltype(tag)::kValue;
    using Shape = FewBlockRowsShape<kFormat>;
    const std::int64_t tiles = divide_up(p.outputs, kFewOutputs);
    const std::int64_t resident = static_cast<std::int64_t>(p.multiprocessors) * Shape::kResident;
    const LaunchShape shape{.grid_x = Shape::kTableBytes != 0 && resident < tiles ? resident : tiles,
                            .block_x = Shape::kThreads,
                            .shared_bytes = Shape::kSharedBytes};
    const auto* const x = static_cast<const std::uint16_t*>(p.x);
    auto* const y = static_cast<std::uint16_t*>(p.y);
    for (std::int64_t row = 0; row < p.rows; row += kMostPlainRows) {
      const std::int64_t left = p.rows - row;
      const FewBlockRowsParams params{
          .weight = static_cast<const std::uint8_t*>(p.weight),
          .x = x + row * p.x_stride,
          .bias = p.bias,
          .y = y + row * p.y_stride,
          .x_stride = p.x_stride,
          .y_stride = p.y_stride,
          .row_bytes = static_cast<int>(p.inputs / kBlockElements<kFormat> * kBlockBytes<kFormat>),
          .rows = static_cast<int>(left < kMostPlainRows ? left : kMostPlainRows),
          .inputs = static_cast<int>(p.inputs),
          .outputs = static_cast<int>(p.outputs)};
      if (p.type == Element::bf16) {
        launch(shape, few_block_rows_kernel<kFormat, bfloat16, Shape>, params);
      } else {
        launch(shape, few_block_rows_kernel<kFormat, float16, Shape>, params);
      }
    }
  });
}

}  // namespace powerhouse::cuda
