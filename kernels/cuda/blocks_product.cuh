// Products of many rows with a weight of blocks, as files hold them: a warp brings a chunk of its 32 rows of the weight
// into shared memory while it multiplies the one before; decoders make elements of them in registers, eight neighbors
// at once, which are half a fragment of two products.
//
// Rows of some formats begin anywhere on two bytes, and chunks end anywhere. Global memory is read in whole sectors of
// 32 bytes, each once: the one that holds the end of a chunk is carried over from its copy to the next chunk's.
#pragma once

#include "kernels/cuda/product_tile.cuh"
#include "kernels/cuda/quantized_product.cuh"
#include "kernels/cuda/warp_decoder.cuh"

namespace powerhouse::cuda {

struct BlocksParams {
  const std::uint8_t* weight;
};

template <BlockFormat kFormat>
struct BlocksWeight {
  using Room = BlocksRoom<kFormat>;
  static constexpr int kSteps = Room::kSteps, kChunkBytes = Room::kChunkBytes, kSectors = Room::kSectors;
  static constexpr int kRoom = Room::kRoom;
  /// Sectors of a row that pairs of lanes count, four or eight, so that what eight lanes copy at once lies in one row.
  static constexpr int kCounted = kSectors <= 4 ? 4 : 8;
  static_assert(kSectors <= kCounted);
  static constexpr int kHalvesAtOnce = 1;  // decoders are long, and stand there for four rows already
  /// Codes 32 elements apart share bytes.
  static constexpr bool kFar = kFormat == BlockFormat::q2_k || kFormat == BlockFormat::q3_k ||
                               kFormat == BlockFormat::q4_k || kFormat == BlockFormat::q5_k ||
                               kFormat == BlockFormat::q6_k || kFormat == BlockFormat::tq2_0;

  const TileProduct& p;
  const std::uint8_t* strip;  // the first row of the warp's, at its first input
  unsigned char* room;
  std::int64_t row_bytes, part_bytes;  // of a row, and what is left of it from the first input on
  int lane, first_skew, rows;
  WarpDecoder<kFormat> decoder;
  int places[4];  // of the lane's rows of the chunk that is multiplied

  __device__ __forceinline__ BlocksWeight(const TileProduct& product, const BlocksParams& params, unsigned char* shared,
                                          int warp, int lane_, std::int64_t output, std::int64_t first)
      : p(product), room(shared + warp * Room::kBytes), lane(lane_), decoder(lane_) {
    row_bytes = p.inputs / kBlockElements<kFormat> * kBlockBytes<kFormat>;
    const std::int64_t before = first / kBlockElements<kFormat> * kBlockBytes<kFormat>;
    strip = params.weight + output * row_bytes + before;
    part_bytes = row_bytes - before;
    const std::int64_t left = p.outputs - output;
    rows = left < kStripOutputs ? static_cast<int>(left) : kStripOutputs;
    first_skew = static_cast<int>((output * row_bytes + before) % 32);
  }

  /// How far behind a sector's beginning a row of the strip is at byte `at`.
  __device__ __forceinline__ int skew_of_row(int row, int at) const {
    return (first_skew + row * static_cast<int>(row_bytes % 32) + at) & 31;
  }

  __device__ __forceinline__ void start_chunk(int chunk) const {
    unsigned char* const to = room + chunk % 2 * (kStripOutputs * kRoom);
    const int at = chunk * kChunkBytes;
    if (chunk > 0) {  // the sector where the chunk before ended
      const int skew = skew_of_row(lane, at), before = skew_of_row(lane, at - kChunkBytes);
      const unsigned char* const from = room + (chunk + 1) % 2 * (kStripOutputs * kRoom) + lane * kRoom;
      if (skew != 0) {
        const int end = before + kChunkBytes - skew;
        store_words(to + lane * kRoom, load_words(from + end));
        store_words(to + lane * kRoom + 16, load_words(from + end + 16));
      }
    }
    const std::int64_t left = part_bytes - at;
    const int bytes = left < kChunkBytes ? static_cast<int>(left) : kChunkBytes;
    const int part = lane / 2 % kCounted, place = part * 32 + lane % 2 * 16;
#pragma unroll 4
    for (int pass = 0; pass < 2 * kCounted; ++pass) {
      const int row = pass * (16 / kCounted) + lane / 2 / kCounted, skew = skew_of_row(row, at);
      if (part >= kSectors || (chunk > 0 && part == 0 && skew != 0)) continue;
      const bool valid = row < rows && part * 32 < skew + bytes;
      copy_async<16>(to + row * kRoom + place, strip + row * row_bytes + (at - skew + place), valid);
    }
  }

  __device__ __forceinline__ void begin(int stage) const {
    if (stage == 0) start_chunk(0);
  }
  __device__ __forceinline__ void start(int step, int) {
    if (step % kSteps != 0) return;
    const int chunk = step / kSteps;
    if ((chunk + 1) * kSteps * kStep < p.part) start_chunk(chunk + 1);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = i * 8 + lane / 4;
      places[i] = (chunk % 2 * kStripOutputs + row) * kRoom + skew_of_row(row, chunk * kChunkBytes);
    }
  }

  __device__ __forceinline__ void fragments(int step, int, int half, WeightFragments (&out)[2]) const {
    const int at = step % kSteps * kStep + eight_of<kFar>(half, lane) * 8;
    const unsigned char* const block = room + at / kBlockElements<kFormat> * kBlockBytes<kFormat>;
#pragma unroll
    for (int row = 0; row < 4; ++row) {  // of each fragment, then of its upper and lower half
      Eight weights;
      decoder.decode(block + places[row], at % kBlockElements<kFormat>, weights);
      with_type_of(
          p, [&](auto type) __attribute__((always_inline)) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              out[row / 2][i / 2][i % 2 * 2 + row % 2] = pack(weights[i * 2], weights[i * 2 + 1], type);
            }
          });
    }
  }

  template <int kRowTiles>
  __device__ __forceinline__ void multiply(const WeightFragments (&weight)[2], const unsigned char* x, int tiles,
                                           ProductSums<kRowTiles>& sums) const {
    with_type_of(
        p, [&](auto type)
               __attribute__((always_inline)) { multiply_rows<decltype(type), kRowTiles>(weight, x, tiles, sums); });
  }

  template <typename Sums>
  __device__ __forceinline__ void finish(Sums&) const {}
};

/// One kernel for bf16 and f16: decoders are the longest part of it, and the same.
template <BlockFormat kFormat>
__global__ void __launch_bounds__(BlocksShape<kFormat>::kThreads)
    blocks_product_kernel(const TileProduct p, const BlocksParams params) {
  tile_product<BlocksWeight<kFormat>, BlocksShape<kFormat>, kBlocksTile.row_tiles>(p, params);
}

/// For formats of one family (block_formats.cuh); false for another format, for float32 and above kMostTiledRows.
template <typename Family, typename Launch>
bool launch_blocks_product(Family family, const Launch& launch, const QuantizedProductParams& p) {
  if (p.type == Element::f32 || p.rows > kMostTiledRows) return false;
  return visit_family(family, p.format, [&](auto tag) {
    constexpr BlockFormat kFormat = decltype(tag)::kValue;
    const ProductPlan plan = plan_of(p);
    const TileProduct product = tile_product_of(p, plan, p.inputs, p.outputs);
    const LaunchShape shape{.grid_x = plan.output_blocks,
                            .grid_y = plan.row_blocks * plan.splits,
                            .block_x = BlocksShape<kFormat>::kThreads,
                            .shared_bytes = BlocksShape<kFormat>::kSharedBytes};
    const BlocksParams weight{static_cast<const std::uint8_t*>(p.weight)};
    launch(shape, blocks_product_kernel<kFormat>, product, weight);
    launch_add_splits(launch, product);
  });
}

/// By the number of rows.
template <typename Family, typename Launch>
bool launch_quantized_product(Family family, const Launch& launch, const QuantizedProductParams& p) {
  return is_exact(p.type, p.rows) ? launch_plain_product(family, launch, p) : launch_blocks_product(family, launch, p);
}

/// False for a format without a decoder, and for float32 with more rows than the plain product takes.
template <typename Launch>
bool launch_quantized_product(const Launch& launch, const QuantizedProductParams& p) {
  return launch_quantized_product(LegacyFormats{}, launch, p) || launch_quantized_product(KFormats{}, launch, p) ||
         launch_quantized_product(GridFormats{}, launch, p) || launch_quantized_product(LevelFormats{}, launch, p);
}

}  // namespace powerhouse::cuda
