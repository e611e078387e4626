// What a warp does with a chunk of 256 inputs of 16 rows of a weight of blocks: it brings it into shared memory by
// itself, and multiplies it on tensor cores. The weight is the left operand, 16 outputs, x the right one, eight rows of
// it, so that as many rows cost as little as one. Codes are multiplied exactly (block_codes.cuh), the sums of a group
// of inputs by its scale in float32. What is to be read is read once, rows from neighbors' bytes on.
#pragma once

#include "kernels/cuda/block_codes.cuh"
#include "kernels/cuda/launch_shape.h"
#include "kernels/cuda/product_shape.h"

namespace powerhouse::cuda {

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

/// Up to 16 rows of a weight, one behind the other. Those behind the last one are multiplied too, but not stored.
struct FewBlockRowsTile {
  const std::uint8_t* weight;
  int rows;
};

template <BlockFormat kFormat, typename Element>
struct FewBlockRowsWarp {
  using Shape = FewBlockRowsShape<kFormat>;
  using Traits = CodeTraits<kFormat>;
  /// Groups of x that are in registers, or on their way there: fewer where a weight's numbers need the registers.
  static constexpr int kGroups = kFormat == BlockFormat::q5_k                                                     ? 1
                                 : Traits::kDecoded || Traits::template kIs<BlockFormat::q6_k, BlockFormat::q3_k> ? 2
                                                                                                                  : 4;
  /// Lanes that copy a row: 128 bytes of it come at once.
  static constexpr int kCopyLanes = 8, kCopyRows = 32 / kCopyLanes;

  int row_bytes, inputs;
  const unsigned char* table;
  float* prepared;
  int lane;

  /// How far behind the beginning of a sector a row's chunk is.
  __device__ __forceinline__ int skew_of(const FewBlockRowsTile& tile, int row, int chunk) const {
    const auto begin = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(tile.weight)) +
                       static_cast<unsigned>(row * row_bytes + chunk * Shape::kChunkBytes);
    return static_cast<int>(begin % 32);
  }
  /// kAll: the tile has all rows and the chunk all of its bytes. Of absent ones nothing is copied, zeros stand there.
  template <bool kAll>
  __device__ __forceinline__ void copy_chunk(unsigned char* stage, const FewBlockRowsTile& tile, int chunk) const {
    /// Of a row, and what all of its lanes copy of that.
    constexpr int kBytes = Shape::kPieces * 16, kWhole = kBytes / (kCopyLanes * 16) * (kCopyLanes * 16);
    const int piece = lane % kCopyLanes * 16, first = lane / kCopyLanes;
    const std::uint8_t* from = tile.weight + (first * row_bytes + chunk * Shape::kChunkBytes);
    unsigned char* to = stage + first * Shape::kRoom + piece;
    const int left = row_bytes - chunk * Shape::kChunkBytes;
    const int length = kAll || left >= Shape::kChunkBytes ? Shape::kChunkBytes : left;
#pragma unroll(kAll ? kFewOutputs / kCopyRows : 1)
    for (int row = 0; row < kFewOutputs; row += kCopyRows) {
      const int skew = skew_of(tile, first + row, chunk);
      const int end = (skew + length + 31) & ~31;  // whole sectors
      const int bytes = kAll || first + row < tile.rows ? end - piece : 0;
      const std::uint8_t* const sector = from + (piece - skew);
#pragma unroll
      for (int at = 0; at < kWhole; at += kCopyLanes * 16) copy_async<16>(to + at, sector + at, at < bytes);
      if (kWhole < kBytes && piece < kBytes - kWhole) copy_async<16>(to + kWhole, sector + kWhole, kWhole < bytes);
      from += kCopyRows * row_bytes;
      to += kCopyRows * Shape::kRoom;
    }
  }
  __device__ __forceinline__ void start_chunk(unsigned char* stage, const FewBlockRowsTile& tile, int chunk) const {
    if (tile.rows == kFewOutputs && (chunk + 1) * Shape::kChunkBytes <= row_bytes) {
      copy_chunk<true>(stage, tile, chunk);
    } else {
      copy_chunk<false>(stage, tile, chunk);
    }
  }

  /// Where the lane's inputs of a row begin.
  __device__ __forceinline__ int first_input() const {
    return lane % 4 * (Traits::kLaneInputs == LaneInputs::eight ? 8 : 4);
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

  /// Adds the products of the kUnit inputs that stand at `at` in the chunk.
  template <typename GroupOf>
  __device__ __forceinline__ void multiply_unit(const unsigned char* const (&rows)[2], int at, const GroupOf& group_of,
                                                float (&sums)[4]) const {
    const int before = at / kBlockElements<kFormat> * kBlockBytes<kFormat>;
    const unsigned char* const blocks[2] = {rows[0] + before, rows[1] + before};
    UnitCodes<kFormat> codes[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) codes[i].load(blocks[i], at % kBlockElements<kFormat>, lane % 4);
    for_each_constant<Traits::kUnit / 32>([&](auto part) __attribute__((always_inline)) {
      constexpr int kPart = decltype(part)::kValue;
      multiply_part<kPart>(codes, blocks, at + kPart * 32, group_of(part), sums);
    });
  }

  /// Adds the products of a whole chunk. `rows`: of it lane / 4 and 8 more. What stands in the code only once for all
  /// of its turns is compiled sooner.
  __device__ __forceinline__ void multiply_chunk(const unsigned char* const (&rows)[2], const std::uint16_t* x,
                                                 Words (&groups)[kGroups], float (&sums)[4]) const {
    constexpr int kTurn = !Traits::kInTurns ? kFewChunk : Traits::kUnit > kGroups * 32 ? Traits::kUnit : kGroups * 32;
#pragma unroll 1
    for (int turn = 0; turn < kFewChunk; turn += kTurn) {
      for_each_constant<kTurn / Traits::kUnit>([&](auto unit) __attribute__((always_inline)) {
        constexpr int kAt = decltype(unit)::kValue * Traits::kUnit;
        multiply_unit(
            rows, turn + kAt,
            [&](auto part) __attribute__((always_inline)) {
              constexpr int kGroup = kAt / 32 + decltype(part)::kValue, kLater = kGroup + kGroups;
              const Words group = fragments_of_x(groups[kGroup % kGroups]);
              if (turn + kLater * 32 < kFewChunk) groups[kGroup % kGroups] = load_group(x, turn / 32 + kLater);
              return group;
            },
            sums);
      });
    }
  }
  /// The same of the `left` inputs of a row's last chunk.
  __device__ __forceinline__ void multiply_rest(const unsigned char* const (&rows)[2], int left, const std::uint16_t* x,
                                                float (&sums)[4]) const {
    static_assert(Traits::kUnit == 32);
#pragma unroll 1
    for (int at = 0; at < left; at += 32) {
      multiply_unit(
          rows, at, [&](auto) { return fragments_of_x(load_group(x, at / 32)); }, sums);
    }
  }

  /// `x`: the lane's inputs of its row from the chunk on.
  __device__ __forceinline__ void add_chunk(const unsigned char* stage, const FewBlockRowsTile& tile, int chunk,
                                            const std::uint16_t* x, Words (&groups)[kGroups], float (&sums)[4]) const {
    const auto row_at = [&](int row) { return stage + row * Shape::kRoom + skew_of(tile, row, chunk); };
    if constexpr (Traits::kPrepared) {
      prepare_levels<kFormat>(row_at(lane / 2), lane % 2, prepared + lane / 2 * kPreparedFloats<kFormat>);
      sync_warp();
    }
    const unsigned char* const rows[2] = {row_at(lane / 4), row_at(lane / 4 + 8)};
    if constexpr (kBlockElements<kFormat> == kFewChunk) {
      multiply_chunk(rows, x, groups, sums);
    } else {
      const int left = inputs - chunk * kFewChunk;
      if (left >= kFewChunk) {
        multiply_chunk(rows, x, groups, sums);
      } else {
        multiply_rest(rows, left, x, sums);
      }
    }
  }
};

}  // namespace powerhouse::cuda
