#include "kernels/cuda_products/packed_weight.h"

#include <algorithm>
#include <numeric>

namespace powerhouse::testing {

std::ostream& operator<<(std::ostream& out, const RepackedCase& one) {
  return out << (one.layout == cuda::PackedLayout::awq ? "awq " : "gptq ") << one.bits << " bits, group " << one.group
             << (one.ordered ? " ordered" : "") << (one.symmetric ? " symmetric" : "") << " zeros + " << one.zero_offset
             << (one.type == Element::bf16 ? " bf16" : " f16") << " rows " << one.rows << " inputs " << one.inputs
             << " outputs " << one.outputs << " multiprocessors " << one.multiprocessors;
}

namespace {

/// Codes [count] along words, the lowest bits first; `stride` between words.
void pack_along(std::vector<std::int32_t>& words, std::int64_t first, std::int64_t stride, int bits, std::int64_t at,
                std::uint32_t code) {
  for (int bit = 0; bit < bits; ++bit) {
    const std::int64_t place = at * bits + bit;
    auto& word = words[static_cast<std::size_t>(first + place / 32 * stride)];
    word = static_cast<std::int32_t>(static_cast<std::uint32_t>(word) | (code >> bit & 1u) << place % 32);
  }
}

/// AWQ: nibble n of a word is the output awq_order[n] of its eight.
void pack_awq(std::vector<std::int32_t>& words, std::int64_t first, std::int64_t output, std::uint32_t code) {
  constexpr int kOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  for (int nibble = 0; nibble < 8; ++nibble) {
    if (kOrder[nibble] != output % 8) continue;
    auto& word = words[static_cast<std::size_t>(first + output / 8)];
    word = static_cast<std::int32_t>(static_cast<std::uint32_t>(word) | code << 4 * nibble);
  }
}

}  // namespace

PackedWeight random_packed(const RepackedCase& one, std::mt19937& engine) {
  const bool awq = one.layout == cuda::PackedLayout::awq;
  PackedWeight packed{.layout = one.layout,
                      .bits = one.bits,
                      .zero_offset = one.zero_offset,
                      .group = one.group,
                      .inputs = one.inputs,
                      .outputs = one.outputs};
  const std::int64_t groups = cuda::repacked_groups(one.inputs, one.group), words = one.outputs * one.bits / 32;
  packed.g_idx.resize(static_cast<std::size_t>(one.inputs));
  for (std::size_t i = 0; i < packed.g_idx.size(); ++i)
    packed.g_idx[i] = static_cast<std::int32_t>(i) / static_cast<int>(one.group);
  if (one.ordered) std::shuffle(packed.g_idx.begin(), packed.g_idx.end(), engine);
  packed.qweight.resize(static_cast<std::size_t>(awq ? one.inputs * words : one.inputs * one.bits / 32 * one.outputs));
  packed.qzeros.resize(static_cast<std::size_t>(groups * words));
  std::vector<int> zeros(static_cast<std::size_t>(groups * one.outputs));
  const std::uint32_t codes = 1u << one.bits;
  for (std::int64_t i = 0; i < groups * one.outputs; ++i) {
    const std::uint32_t stored =
        one.symmetric ? codes / 2 - static_cast<std::uint32_t>(one.zero_offset) : engine() % codes;
    zeros[static_cast<std::size_t>(i)] = static_cast<int>(stored) + one.zero_offset;
    packed.scales.push_back(rounded<float16>(0.001f + static_cast<float>(engine() % 1000) * 1e-5f));
    const std::int64_t row = i / one.outputs * words;
    if (awq) {
      pack_awq(packed.qzeros, row, i % one.outputs, stored);
    } else {
      pack_along(packed.qzeros, row, 1, one.bits, i % one.outputs, stored);
    }
  }
  for (std::int64_t output = 0; output < one.outputs; ++output) {
    for (std::int64_t input = 0; input < one.inputs; ++input) {
      const std::uint32_t code = engine() % codes;
      const auto level = static_cast<std::size_t>(packed.g_idx[static_cast<std::size_t>(input)] * one.outputs + output);
      packed.weight.push_back(static_cast<double>(to_float(packed.scales[level])) *
                              (static_cast<int>(code) - zeros[level]));
      if (awq) {
        pack_awq(packed.qweight, input * words, output, code);
      } else {
        pack_along(packed.qweight, output, one.outputs, one.bits, input, code);
      }
    }
  }
  return packed;
}

std::vector<std::int32_t> order_of(const PackedWeight& packed) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(packed.inputs));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return packed.g_idx[static_cast<std::size_t>(a)] < packed.g_idx[static_cast<std::size_t>(b)];
  });
  if (std::is_sorted(order.begin(), order.end())) order.clear();
  return order;
}

}  // namespace powerhouse::testing
