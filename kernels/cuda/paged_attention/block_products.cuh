// The same products where keys and values are blocks of q8_0 or q4_0: codes become operands of tensor cores in
// registers, exactly. A key's scale multiplies the sum of its block, a value's the weight before it is rounded, to f16
// whatever the type of queries: with the scale in it a weight has no exact one any more.
//
// Blocks of 34 or 18 bytes are read by words of 4: of two blocks side by side the first word holds the first scale and
// two bytes of codes, the middle one two more and the second scale. So a lane that takes the last word of the first
// block's codes puts it together of both; the order of elements, which sums of products do not mind, is turned by two.
#pragma once

#include <type_traits>

#include "kernels/cuda/block_bytes.cuh"
#include "kernels/cuda/paged_attention/products.cuh"

namespace powerhouse::cuda {

/// Two codes, of the lowest byte of each half of a register, as numbers: a power of two that has them as its lowest
/// bits, less what it has beside them. Bytes of bf16 have their sign taken out, since it keeps seven bits.
template <BlockFormat kFormat>
static __device__ __forceinline__ std::uint32_t code_pair(std::uint32_t bytes, bfloat16 type) {
  constexpr std::uint32_t kOne = 0x3F803F80u;
  if constexpr (kFormat == BlockFormat::q8_0) {
    return multiply_add_pair(masked_or(bytes, 0x007F007Fu, 0x43004300u), kOne,
                             masked_or(bytes, 0x00800080u, 0xC300C300u), type);
  } else {
    return multiply_add_pair(masked_or(bytes, 0x000F000Fu, 0x43004300u), kOne, 0xC308C308u, type);
  }
}
template <BlockFormat kFormat>
static __device__ __forceinline__ std::uint32_t code_pair(std::uint32_t bytes, float16 type) {
  constexpr std::uint32_t kOne = 0x3C003C00u;
  if constexpr (kFormat == BlockFormat::q8_0) {
    return multiply_add_pair(masked_xor(bytes, 0x00FF00FFu, 0x64806480u), kOne, 0xE480E480u, type);
  } else {
    return multiply_add_pair(masked_or(bytes, 0x000F000Fu, 0x64006400u), kOne, 0xE408E408u, type);
  }
}

/// Words of two blocks side by side.
template <BlockFormat kFormat>
struct TwoBlocks {
  static constexpr int kCodeWords = kFormat == BlockFormat::q8_0 ? 8 : 4;  // of a block
  static constexpr int kBytes = 2 * kBlockBytes<kFormat>;

  const unsigned char* at;

  __device__ __forceinline__ std::uint32_t word(int i) const { return load_as<std::uint32_t>(at + i * 4); }
  /// Four bytes of codes of block `second`; of the first they begin with its third byte.
  __device__ __forceinline__ std::uint32_t codes(int second, int i, std::uint32_t first) const {
    const std::uint32_t bytes = word((second == 1 ? kCodeWords + 1 : 1) + i);
    return second == 1 ? bytes : choose_bytes(bytes, first, i == kCodeWords - 1 ? 0x7610u : 0x3210u);
  }
  __device__ __forceinline__ float16 scale(int second) const {
    return {load_as<std::uint16_t>(at + second * kBlockBytes<kFormat>)};
  }
};

template <typename T, int kHeadDim, typename Cells, int kColumns>
struct BlockProducts {
  using Tile = PagedTile<T, kHeadDim, Cells, kColumns>;
  using Scores = float[kColumns][4];
  using Out = float[Tile::kOutTiles][kColumns][4];
  static constexpr BlockFormat kFormat = Cells::kFormat;
  using Two = TwoBlocks<kFormat>;
  static constexpr bool kBytes = kFormat == BlockFormat::q8_0;

  /// Weights times scales are f16 of whatever queries are: this many times what they are, so that a far smaller weight
  /// than one is not lost, where scales are below two.
  static constexpr float kWeightUnit = 16384.0f, kLargeUnit = 0.5f;
  static constexpr float kOutUnit = 1.0f / kWeightUnit;
  static constexpr bool kPairs = true;

  int lane;
  const unsigned char* queries;
  bool is_bf16;

  /// Of byte `at` of a block's codes, its upper half or not: the element.
  static __device__ __forceinline__ int element(int block, int at, int upper) {
    const int turned = at + (block % 2 == 0 ? 2 : 0);
    return kBytes ? turned % 32 : turned % 16 + upper * 16;
  }
  static __device__ __forceinline__ int query_element(int block, int t, int word, int half) {
    const int byte = word % 2 + half * 2;
    return kBytes ? element(block, (t + word / 2 * 4) * 4 + byte, 0) : element(block, t * 4 + byte, word / 2);
  }
  /// Rows of a fragment of output are the elements of a word, in the order in which they lie there.
  static __device__ __forceinline__ int out_slot(int tile, int g, int half) {
    return tile / 2 * 32 + g * 4 + tile % 2 * 2 + half;
  }
  static __device__ __forceinline__ int slot_of(int d) {
    const int block = d / 32, back = block % 2 == 0 ? 2 : 0;
    return block * 32 + (kBytes ? (d % 32 - back) & 31 : (d & 16) | ((d - back) & 15));
  }

  /// The first operand of two products with the codes of keys g and g + 8.
  template <typename Element>
  static __device__ __forceinline__ void key_operands(const Two (&rows)[2], int second, int t,
                                                      const std::uint32_t (&first)[2], std::uint32_t (&a)[2][4],
                                                      Element type) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      // The first of two words is never the last of a block's.
      const std::uint32_t codes =
          kBytes ? rows[row].word((second == 1 ? Two::kCodeWords + 1 : 1) + t) : rows[row].codes(second, t, first[row]);
      const std::uint32_t bytes[2] = {codes, kBytes ? rows[row].codes(second, t + 4, first[row]) : codes >> 4};
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        a[step][row] = code_pair<kFormat>(bytes[step], type);
        a[step][row + 2] = code_pair<kFormat>(bytes[step] >> 8, type);
      }
    }
  }

  __device__ __forceinline__ void score(const unsigned char* keys, Scores& scores) const {
    with_type(
        is_bf16, [&](auto type) __attribute__((always_inline)) { score_as(keys, scores, type); });
  }
  template <typename Element>
  __device__ __forceinline__ void score_as(const unsigned char* keys, Scores& scores, Element type) const {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int block = 0; block < kHeadDim / 32; ++block) {
      const int second = block % 2;
      const unsigned char* const at = keys + g * Tile::kPitch + block / 2 * Two::kBytes;
      const Two rows[2] = {{at}, {at + 8 * Tile::kPitch}};
      std::uint32_t first[2] = {};
      if (second == 0) first[0] = rows[0].word(0), first[1] = rows[1].word(0);
      std::uint32_t a[2][4];
      key_operands(rows, second, t, first, a, type);
      const float scale[2] = {widen(second == 0 ? float16{static_cast<std::uint16_t>(first[0])} : rows[0].scale(1)),
                              widen(second == 0 ? float16{static_cast<std::uint16_t>(first[1])} : rows[1].scale(1))};
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        const Words q = query_words(queries, block, kColumns, n, lane);
        float sums[4] = {};
        multiply_16816(sums, a[0], q.word[0], q.word[1], type);
        multiply_16816(sums, a[1], q.word[2], q.word[3], type);
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[n][i] += scale[i / 2] * sums[i];
      }
    }
  }

  __device__ __forceinline__ void weigh(const unsigned char* values, const Scores& weights, Out& out) const {
    std::uint32_t scales[kHeadDim / 32];  // of the keys g and g + 8
    std::uint32_t bits = 0;
#pragma unroll
    for (int block = 0; block < kHeadDim / 32; ++block) {
      const Two two{values + lane / 4 * Tile::kPitch + block / 2 * Two::kBytes};
      const Two other{two.at + 8 * Tile::kPitch};
      scales[block] = two.scale(block % 2).bits | static_cast<std::uint32_t>(other.scale(block % 2).bits) << 16;
      bits |= scales[block];
    }
    const bool large = any_lane((bits & kTwoOrMore) != 0);
    unsigned vectors = 0;  // those with the other unit
    if (large) {
      vectors = with_large_scales(weights, bits);
      rescale(out, vectors, kLargeUnit / kWeightUnit);
    }
    weigh_in(vectors, values, weights, scales, out);
    if (large) rescale(out, vectors, kWeightUnit / kLargeUnit);
  }

 private:
  static constexpr std::uint32_t kTwoOrMore = 0x40004000u;  // the bits of two f16 that say so

  /// Vectors of the lane, a bit each, that see a value with a large scale; `scales` are all bits of the lane's.
  static __device__ __forceinline__ unsigned with_large_scales(const Scores& weights, std::uint32_t scales) {
    unsigned vectors = 0;
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const bool large = (weights[n][e] > 0.0f && (scales & kTwoOrMore & 0xFFFFu) != 0) ||
                           (weights[n][e + 2] > 0.0f && (scales & kTwoOrMore & 0xFFFF0000u) != 0);
        if ((ballot(large) & 0x11111111u << threadIdx.x % 4) != 0) vectors |= 1u << (n * 2 + e);
      }
    }
    return vectors;
  }
  /// Exact, for powers of two.
  static __device__ __forceinline__ void rescale(Out& out, unsigned vectors, float factor) {
#pragma unroll
    for (int m = 0; m < Tile::kOutTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) out[m][n][i] *= (vectors >> (n * 2 + i % 2) & 1u) != 0 ? factor : 1.0f;
      }
    }
  }

  __device__ __forceinline__ void weigh_in(unsigned vectors, const unsigned char* values, const Scores& weights,
                                           const std::uint32_t (&scales)[kHeadDim / 32], Out& out) const {
    const int g = lane / 4, t = lane % 4;
    constexpr float16 kType{};
    float weighed[kColumns][4];
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool large = (vectors >> (n * 2 + i % 2) & 1u) != 0;
        weighed[n][i] = weights[n][i] * (large ? kLargeUnit : kWeightUnit);
      }
    }
#pragma unroll
    for (int block = 0; block < kHeadDim / 32; ++block) {
      const int second = block % 2, at = block / 2 * Two::kBytes;
      std::uint32_t w[kColumns][2];
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float scale = half == 0 ? widen_low(scales[block], kType) : widen_high(scales[block], kType);
          w[n][half] = transpose_matrix(pack(weighed[n][half * 2] * scale, weighed[n][half * 2 + 1] * scale, kType));
        }
      }
      std::uint32_t codes[4];  // four of the keys 2 t, 2 t + 1, 2 t + 8, 2 t + 9 each
#pragma unroll
      for (int key = 0; key < 4; ++key) {
        const Two row{values + (t * 2 + key % 2 + key / 2 * 8) * Tile::kPitch + at};
        const std::uint32_t first = second == 0 ? row.word(0) : 0;
        codes[key] = kBytes ? row.codes(second, g, first) : row.codes(second, g % 4, first) >> g / 4 * 4;
      }
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        std::uint32_t a[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int byte = tile * 2 + i % 2;
          const std::uint32_t both =
              choose_bytes(codes[i / 2 * 2], codes[i / 2 * 2 + 1], 0x4400u + static_cast<unsigned>(byte) * 0x1111u);
          a[i] = code_pair<kFormat>(both, kType);
        }
#pragma unroll
        for (int n = 0; n < kColumns; ++n) multiply_16816(out[block * 2 + tile][n], a, w[n][0], w[n][1], kType);
      }
    }
  }
};

}  // namespace powerhouse::cuda
