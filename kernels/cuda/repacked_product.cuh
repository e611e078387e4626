// Products of any number of rows with a repacked weight of GPTQ or AWQ. A lane's codes come into shared memory and from
// there into its own registers, 16 bytes at once; a pair of them becomes elements by one mask and one addition.
//
// Codes minus zeros are whole numbers that bf16 and fp16 hold exactly, so the weight is never rounded: a group's sums
// are made of them, and the scale, a float32 then, multiplies the sums where the group ends.
#pragma once

#include "kernels/cuda/product_tile.cuh"
#include "kernels/cuda/repack.cuh"

namespace powerhouse::cuda {

/// Pairs of elements: what a code is added to, bit by bit, and ones. 128 + code is 0x4300 | code in bf16 while codes
/// have four bits, 1024 + code is 0x6400 | code in fp16.
template <typename Element>
struct CodePairs;
template <>
struct CodePairs<bfloat16> {
  static constexpr std::uint32_t kBase = 0x43004300u, kOnes = 0x3F803F80u;
};
template <>
struct CodePairs<float16> {
  static constexpr std::uint32_t kBase = 0x64006400u, kOnes = 0x3C003C00u;
};

/// A pair above the base less a zero.
template <typename Element>
static __device__ __forceinline__ std::uint32_t less_zero(std::uint32_t pair, std::uint32_t zero) {
  const std::uint32_t minus = (CodePairs<Element>::kBase | 0x80008000u) + zero * 0x00010001u;
  return multiply_add_pair(pair, CodePairs<Element>::kOnes, minus, Element{});
}

/// A word of codes as the fragment of 16 outputs and 16 inputs; `zeros`: of outputs lane / 4 and 8 more.
template <typename Element>
static __device__ __forceinline__ void fragment_of_four_bits(std::uint32_t codes, const std::uint32_t (&zeros)[2],
                                                             std::uint32_t (&out)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t pair = masked_or(codes >> 4 * i, 0x000F000Fu, CodePairs<Element>::kBase);
    out[i] = less_zero<Element>(pair, zeros[i % 2]);
  }
}

/// Two words of codes. In bf16 base and code would need nine bits, so they meet in float32 (0x4B000000: 2^23), whose
/// upper half the difference fits in.
static __device__ __forceinline__ void fragment_of_bytes(const std::uint32_t* codes, const std::uint32_t (&zeros)[2],
                                                         std::uint32_t (&out)[4], bfloat16) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float base = as_float(0x4B000000u | zeros[i % 2]);
    const unsigned place = i % 2 * 2;
    const float first = as_float(choose_bytes(codes[i / 2], 0x4B000000u, 0x7440u | place));
    const float second = as_float(choose_bytes(codes[i / 2], 0x4B000000u, 0x7441u | place));
    out[i] = choose_bytes(as_bits(subtract(first, base)), as_bits(subtract(second, base)), 0x7632u);
  }
}
static __device__ __forceinline__ void fragment_of_bytes(const std::uint32_t* codes, const std::uint32_t (&zeros)[2],
                                                         std::uint32_t (&out)[4], float16) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t selector = i % 2 == 0 ? 0x5150u : 0x5352u;
    out[i] = less_zero<float16>(choose_bytes(codes[i / 2], CodePairs<float16>::kBase, selector), zeros[i % 2]);
  }
}

struct StripParams {
  RepackedWeight weight;
  StripSizes sizes;
};

template <int kBits, int kRowTiles, typename Element>
struct StripWeight {
  static constexpr int kStepBytes = kStripStepBytes<kBits>, kStages = strip_stages(kBits, kRowTiles);
  static constexpr bool kFar = false;
  static constexpr int kHalvesAtOnce = 2;  // a lane's words are registers

  const TileProduct& p;
  const unsigned char* codes;    // this lane's of the part's first step
  const std::uint32_t* levels;   // this lane's of the group
  unsigned char* room;           // this lane's
  int lane, left, group, steps;  // inputs left of the group
  std::int64_t groups;           // of the part, after this one
  std::uint32_t level, next;
  std::uint32_t zeros[2][2];
  float scales[2][2];
  ProductSums<kRowTiles> of_group;

  __device__ __forceinline__ StripWeight(const TileProduct& product, const StripParams& params, unsigned char* shared,
                                         int warp, int lane_, std::int64_t output, std::int64_t first)
      : p(product), room(shared + warp * kStages * kStepBytes + lane_ * 16), lane(lane_), of_group{} {
    const RepackedWeight& weight = params.weight;
    const std::int64_t strip = output / kStripOutputs, padded = std::int64_t{kStep} * params.sizes.tiles,
                       all = params.sizes.groups;
    const bool any = output < p.outputs && first < p.inputs;
    codes = static_cast<const unsigned char*>(weight.codes) + lane * 16;
    if (any) codes += (strip * padded + first) * (kStripOutputs * kBits) / 8;
    const std::int64_t rest = any ? (padded - first) / kStep : 0;
    steps = static_cast<int>(rest < p.part / kStep ? rest : p.part / kStep);
    group = static_cast<int>(weight.group);
    const std::int64_t before = any ? first / group : 0;
    left = group - static_cast<int>(any ? first % group : 0);
    const std::int64_t end = first + p.part < p.inputs ? first + p.part : p.inputs;
    groups = any ? (end - 1) / group - before : 0;
    levels = weight.levels + (any ? strip * all + before : 0) * kStripOutputs + lane;
    level = levels[0];
    enter_group();
  }

  __device__ __forceinline__ void enter_group() {
    next = groups > 0 ? levels[kStripOutputs] : 0;
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const std::uint32_t of_output = shuffle(level, m * 16 + upper * 8 + lane / 4);
        zeros[m][upper] = of_output >> 16;
        scales[m][upper] = widen_low(of_output, float16{});
      }
    }
  }

  template <typename Sums>
  __device__ __forceinline__ void finish(Sums& sums) {
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int n = 0; n < kRowTiles; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          sums[m][n][e] += of_group[m][n][e] * scales[m][e / 2];
          of_group[m][n][e] = 0.0f;
        }
      }
    }
  }

  __device__ __forceinline__ void start_step(int step, int stage) const {
#pragma unroll
    for (int at = 0; at < kStepBytes; at += 512) {
      const bool valid = step < steps;
      copy_async<16>(room + stage * kStepBytes + at, codes + (valid ? step * std::int64_t{kStepBytes} : 0) + at, valid);
    }
  }
  __device__ __forceinline__ void begin(int stage) const { start_step(stage, stage); }
  __device__ __forceinline__ void start(int step, int stage) const { start_step(step + kStages - 1, stage); }

  __device__ __forceinline__ void fragments(int, int stage, int half, WeightFragments (&out)[2]) const {
    const unsigned char* const own = room + stage * kStepBytes;
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      if constexpr (kBits == 4) {
        const Words words = load_words(own + m * 512);
        fragment_of_four_bits<Element>(words.word[half * 2], zeros[m], out[m][0]);
        fragment_of_four_bits<Element>(words.word[half * 2 + 1], zeros[m], out[m][1]);
      } else {
        const Words words = load_words(own + (half * 2 + m) * 512);
        fragment_of_bytes(words.word, zeros[m], out[m][0], Element{});
        fragment_of_bytes(words.word + 2, zeros[m], out[m][1], Element{});
      }
    }
  }

  template <int kTiles>
  __device__ __forceinline__ void multiply(const WeightFragments (&weight)[2], const unsigned char* x, int,
                                           ProductSums<kTiles>& sums) {
    multiply_tiles<0, kTiles, Element, kTiles>(weight, x, of_group);
    left -= 32;
    if (left > 0) return;
    finish(sums);
    left = group;
    levels += kStripOutputs;
    level = next;
    --groups;
    enter_group();
  }
};

template <int kBits, int kRowTiles, typename Element>
__global__ void __launch_bounds__(StripShape<kBits, kRowTiles>::kThreads, 1)
    repacked_product_kernel(const TileProduct p, const StripParams weight) {
  tile_product<StripWeight<kBits, kRowTiles, Element>, StripShape<kBits, kRowTiles>, kRowTiles>(p, weight);
}

template <int kBits, int kRowTiles, typename Element, typename Launch>
void launch_strips(const Launch& launch, const RepackedProductParams& params, const TileProduct& product,
                   const ProductPlan& plan) {
  using Shape = StripShape<kBits, kRowTiles>;
  const LaunchShape shape{.grid_x = plan.output_blocks,
                          .grid_y = plan.row_blocks * plan.splits,
                          .block_x = Shape::kThreads,
                          .shared_bytes = Shape::kSharedBytes};
  launch(shape, repacked_product_kernel<kBits, kRowTiles, Element>, product,
         StripParams{params.weight, strip_sizes(params.weight)});
  launch_add_splits(launch, product);
}

/// False for float32, for bits that no repacked weight has, and above kMostTiledRows.
template <typename Launch>
bool launch_repacked_product(const Launch& launch, const RepackedProductParams& params) {
  const bool known = params.weight.bits == 4 || params.weight.bits == 8;
  if (!known || params.type == Element::f32 || params.rows > kMostTiledRows) return false;
  const ProductPlan plan = plan_of(params);
  TileProduct product = tile_product_of(params, plan, params.weight.inputs, params.weight.outputs);
  if (params.weight.order != nullptr) {
    auto* const ordered = reinterpret_cast<std::uint16_t*>(params.workspace);
    launch_order_columns(launch, params, ordered);
    product.x = ordered;
    product.x_stride = params.weight.inputs;
    if (product.sums != nullptr) product.sums += params.rows * params.weight.inputs / 2;
  }
  const auto with = [&](auto bits, auto element) {
    constexpr int kBits = decltype(bits)::kValue;
    using Element = decltype(element);
    switch (plan.tile.row_tiles) {
      case 1: return launch_strips<kBits, 1, Element>(launch, params, product, plan);
      case 2: return launch_strips<kBits, 2, Element>(launch, params, product, plan);
      case 4: return launch_strips<kBits, 4, Element>(launch, params, product, plan);
      default: return launch_strips<kBits, 8, Element>(launch, params, product, plan);
    }
  };
  const auto with_bits = [&](auto element) {
    params.weight.bits == 4 ? with(Constant<4>{}, element) : with(Constant<8>{}, element);
  };
  params.type == Element::bf16 ? with_bits(bfloat16{}) : with_bits(float16{});
  return true;
}

}  // namespace powerhouse::cuda
