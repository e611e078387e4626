// Weights of GPTQ and AWQ in our own layout (gptq_product_params.h): made of a file's once, and read as numbers.
//
// A strip's tile has 32 outputs and 64 inputs, in parts of 512 bytes, 16 of each lane: with 4 bits a part is 16 outputs
// and 64 inputs, with 8 bits 16 outputs and 32 inputs, the outputs first. Lane l has outputs l / 4 and l / 4 + 8, and
// of each 32 inputs the eight from l % 4 * 8 on. A product takes four of the eight, i = 0 to 3, as a word or two: 4
// bits: nibble i / 2 * 2 + upper + i % 2 * 4, upper: of output l / 4 + 8; 8 bits: word i / 2, byte upper * 2 + i % 2.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/gptq_product_params.h"
#include "kernels/cuda/launch_shape.h"

namespace powerhouse::cuda {

inline constexpr int kRepackThreads = 256;

/// Of a weight, for its kernels.
struct StripSizes {
  int tiles;  // of 64 inputs, in a strip
  int groups;
  int parts, levels;  // in all; parts have 512 bytes
};
inline constexpr StripSizes strip_sizes(std::int64_t outputs, std::int64_t inputs, std::int64_t group, int bits) {
  return {static_cast<int>(divide_up(inputs, 64)), static_cast<int>(repacked_groups(inputs, group)),
          static_cast<int>(repacked_code_bytes(outputs, inputs, bits) / 512),
          static_cast<int>(repacked_level_bytes(outputs, inputs, group) / 4)};
}
inline constexpr StripSizes strip_sizes(const RepackedWeight& weight) {
  return strip_sizes(weight.outputs, weight.inputs, weight.group, weight.bits);
}

/// The code with number `at` of a row of words, the lowest bits first. Codes of 3 bits cross words.
static __device__ __forceinline__ std::uint32_t code_along(const std::int32_t* words, std::int64_t stride,
                                                           std::int64_t at, int bits) {
  const std::int64_t bit = at * bits, word = bit / 32;
  const int shift = static_cast<int>(bit % 32);
  std::uint32_t code = static_cast<std::uint32_t>(words[word * stride]) >> shift;
  if (shift + bits > 32) code |= static_cast<std::uint32_t>(words[(word + 1) * stride]) << (32 - shift);
  return code & ((1u << bits) - 1);
}

/// AWQ's nibbles stand for outputs 0 2 4 6 1 3 5 7.
static __device__ __forceinline__ std::uint32_t awq_code(const std::int32_t* row, std::int64_t output) {
  const int of_eight = static_cast<int>(output % 8);
  const int nibble = of_eight / 2 + of_eight % 2 * 4;
  return static_cast<std::uint32_t>(row[output / 8]) >> 4 * nibble & 15u;
}

static __device__ __forceinline__ std::uint32_t packed_code(const RepackParams& p, std::int64_t input,
                                                            std::int64_t output) {
  if (input >= p.inputs || output >= p.outputs) return 0;
  if (p.order != nullptr) input = p.order[input];
  if (p.layout == PackedLayout::awq) return awq_code(p.qweight + input * (p.outputs / 8), output);
  return code_along(p.qweight + output, p.outputs, input, p.bits);
}

/// A thread makes a lane's 16 bytes of one part. kWide: of 8 bits.
template <bool kWide>
__global__ void __launch_bounds__(kRepackThreads) repack_codes_kernel(const RepackParams p, const StripSizes sizes) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int part = static_cast<int>(blockIdx.x * (kRepackThreads / 32) + threadIdx.x / 32);
  if (part >= sizes.parts) return;
  constexpr int kParts = kWide ? 4 : 2, kCodes = kWide ? 2 : 4;  // of a tile; of a word for an output
  const int tile = part / kParts, of_tile = part % kParts;
  const std::int64_t output = tile / sizes.tiles * kStripOutputs + of_tile % 2 * 16 + lane / 4;
  const std::int64_t input = tile % sizes.tiles * 64 + of_tile / 2 * 32 + lane % 4 * 8;
  Words words = {};
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    const int first = kWide ? word * 2 : word / 2 * 32 + word % 2 * 4;
#pragma unroll 1
    for (int code = 0; code < 2 * kCodes; ++code) {
      const int upper = code / kCodes, i = code % kCodes;
      const int shift = kWide ? code * 8 : (i / 2 * 2 + upper + i % 2 * 4) * 4;
      words.word[word] |= packed_code(p, input + first + i, output + upper * 8) << shift;
    }
  }
  store_words(static_cast<unsigned char*>(p.codes) + part * std::int64_t{512} + lane * 16, words);
}

/// A thread makes a group's level of one output.
static __global__ void __launch_bounds__(kRepackThreads)
    repack_levels_kernel(const RepackParams p, const StripSizes sizes) {
  const int at = static_cast<int>(blockIdx.x * kRepackThreads + threadIdx.x);
  if (at >= sizes.levels) return;
  const int group = at / kStripOutputs % sizes.groups;
  const std::int64_t output = at / kStripOutputs / sizes.groups * kStripOutputs + at % kStripOutputs;
  std::uint32_t level = 0;
  if (output < p.outputs) {
    const std::int32_t* const zeros = p.qzeros + group * (p.outputs * p.bits / 32);
    const std::uint32_t stored =
        p.layout == PackedLayout::awq ? awq_code(zeros, output) : code_along(zeros, 1, output, p.bits);
    const std::uint32_t zero = stored + static_cast<std::uint32_t>(p.zero_offset);
    level = static_cast<const float16*>(p.scales)[group * p.outputs + output].bits | zero << 16;
  }
  p.levels[at] = level;
}

/// False for bits that the layout does not have.
template <typename Launch>
bool launch_repack(const Launch& launch, const RepackParams& p) {
  const bool known = p.bits == 4 || (p.layout == PackedLayout::gptq && (p.bits == 2 || p.bits == 3 || p.bits == 8));
  if (!known) return false;
  const StripSizes sizes = strip_sizes(p.outputs, p.inputs, p.group, p.bits == 8 ? 8 : 4);
  const auto grid = [](std::int64_t threads) {
    return LaunchShape{.grid_x = divide_up(threads, kRepackThreads), .block_x = kRepackThreads};
  };
  launch(grid(std::int64_t{32} * sizes.parts), p.bits == 8 ? repack_codes_kernel<true> : repack_codes_kernel<false>, p,
         sizes);
  launch(grid(sizes.levels), repack_levels_kernel, p, sizes);
  return true;
}

/// x in the order of the weight's columns: eight elements a thread, 16 bytes stored. Grid: of a row; rows.
static __global__ void __launch_bounds__(kRepackThreads)
    order_columns_kernel(const RepackedProductParams p, std::uint16_t* to) {
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * kRepackThreads + threadIdx.x) * 8;
  if (first >= p.weight.inputs) return;
  const auto* const row = static_cast<const std::uint16_t*>(p.x) + blockIdx.y * p.x_stride;
  const Words places[2] = {load_words(p.weight.order + first), load_words(p.weight.order + first + 4)};
  Words out;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Words& two = places[i / 2];
    out.word[i] = row[two.word[i % 2 * 2]] | static_cast<std::uint32_t>(row[two.word[i % 2 * 2 + 1]]) << 16;
  }
  store_words(to + blockIdx.y * p.weight.inputs + first, out);
}

template <typename Launch>
void launch_order_columns(const Launch& launch, const RepackedProductParams& p, std::uint16_t* to) {
  launch(
      LaunchShape{
          .grid_x = divide_up(p.weight.inputs, 8 * kRepackThreads), .grid_y = p.rows, .block_x = kRepackThreads},
      order_columns_kernel, p, to);
}

/// A lane's eight neighbors of one output, from its part of 16 bytes; `step`: of 32 inputs, with 4 bits.
static __device__ __forceinline__ void numbers_of(const Words& words, int step, int upper, int bits, float scale,
                                                  int zero, float (&out)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t word = bits == 8 ? words.word[i / 2] : step == 0 ? words.word[i / 4] : words.word[2 + i / 4];
    const int shift = bits == 8 ? (upper * 2 + i % 2) * 8 : (i % 4 / 2 * 2 + upper + i % 2 * 4) * 4;
    const int code = static_cast<int>(word >> shift & (bits == 8 ? 255u : 15u));
    out[i] = multiply(scale, static_cast<float>(code - zero));
  }
}

/// A warp takes a part; a lane stores its eights in one piece where they lie so in x's own order.
template <typename T>
__global__ void __launch_bounds__(kRepackThreads)
    dequantize_repacked_kernel(const RepackedDequantizeParams p, const StripSizes sizes) {
  const RepackedWeight& weight = p.weight;
  const int lane = static_cast<int>(threadIdx.x % 32), wide = weight.bits == 8 ? 1 : 0;
  const int part = static_cast<int>(blockIdx.x * (kRepackThreads / 32) + threadIdx.x / 32);
  if (part >= sizes.parts) return;
  const int tile = part / (2 << wide), of_tile = part % (2 << wide), strip = tile / sizes.tiles;
  const Words words =
      load_words(static_cast<const unsigned char*>(weight.codes) + part * std::int64_t{512} + lane * 16);
  for (int step = 0; step < 2 - wide; ++step) {
    const std::int64_t input = tile % sizes.tiles * 64 + (wide != 0 ? of_tile / 2 : step) * 32 + lane % 4 * 8;
    if (input >= weight.inputs) continue;
    for (int upper = 0; upper < 2; ++upper) {
      const int of_strip = of_tile % 2 * 16 + upper * 8 + lane / 4;
      const std::int64_t output = strip * std::int64_t{kStripOutputs} + of_strip;
      if (output >= weight.outputs) continue;
      const std::uint32_t level =
          weight.levels[(strip * sizes.groups + input / weight.group) * kStripOutputs + of_strip];
      float numbers[8];
      numbers_of(words, step, upper, weight.bits, widen_low(level, float16{}), static_cast<int>(level >> 16), numbers);
      T* const row = static_cast<T*>(p.destination) + output * weight.inputs;
      if (weight.order == nullptr) {
        store_elements(row + input, numbers);
        continue;
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) row[weight.order[input + i]] = narrow<T>(numbers[i]);
    }
  }
}

/// False for bits that no repacked weight has.
template <typename Launch>
bool launch_repacked_dequantize(const Launch& launch, const RepackedDequantizeParams& p) {
  if (p.weight.bits != 4 && p.weight.bits != 8) return false;
  const StripSizes sizes = strip_sizes(p.weight);
  const LaunchShape shape{.grid_x = divide_up(std::int64_t{32} * sizes.parts, kRepackThreads),
                          .block_x = kRepackThreads};
  visit_element(p.type, [&](auto element) { launch(shape, dequantize_repacked_kernel<decltype(element)>, p, sizes); });
  return true;
}

}  // namespace powerhouse::cuda
