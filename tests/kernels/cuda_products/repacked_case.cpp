#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "kernels/common/element.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda_products/product_case.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;

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

template <typename T>
void copy_to(const std::vector<T>& from, cuda_on_host::DeviceArray<T>& to) {
  std::copy(from.begin(), from.end(), to.begin());
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

RepackedProblem::RepackedProblem(PackedWeight packed, const RepackedCase& one, std::uint64_t seed)
    : packed_(std::move(packed)),
      engine_(static_cast<unsigned>(seed)),
      buffers_(one.type, one.rows, packed_.inputs, packed_.outputs, one.bias, one.gaps, engine_),
      multiprocessors_(one.multiprocessors),
      qweight_(packed_.qweight.size()),
      qzeros_(packed_.qzeros.size()),
      order_(static_cast<std::size_t>(packed_.inputs)),
      scales_(packed_.scales.size()),
      codes_(static_cast<std::size_t>(
          cuda::repacked_code_bytes(packed_.outputs, packed_.inputs, packed_.bits == 8 ? 8 : 4))),
      levels_(
          static_cast<std::size_t>(cuda::repacked_level_bytes(packed_.outputs, packed_.inputs, packed_.group) / 4)) {
  copy_to(packed_.qweight, qweight_);
  copy_to(packed_.qzeros, qzeros_);
  copy_to(packed_.scales, scales_);
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(), [&](std::int32_t a, std::int32_t b) {
    return packed_.g_idx[static_cast<std::size_t>(a)] < packed_.g_idx[static_cast<std::size_t>(b)];
  });
  ordered_ = !std::is_sorted(order_.begin(), order_.end());
}

RepackedProblem::RepackedProblem(const RepackedCase& one, std::uint64_t seed)
    : RepackedProblem(
          [&] {
            std::mt19937 engine(static_cast<unsigned>(seed));
            return random_packed(one, engine);
          }(),
          one, seed + 1) {}

cuda::RepackedWeight RepackedProblem::repacked() const {
  return {.codes = codes_.data(),
          .levels = levels_.data(),
          .order = ordered_ ? order_.data() : nullptr,
          .inputs = packed_.inputs,
          .outputs = packed_.outputs,
          .group = packed_.group,
          .bits = packed_.bits == 8 ? 8 : 4};
}

std::string RepackedProblem::repack(cuda_on_host::Order order) {
  cuda_on_host::GlobalMemory memory;
  memory.add(qweight_.data(), qweight_.bytes(), "qweight", Contents::input);
  memory.add(qzeros_.data(), qzeros_.bytes(), "qzeros", Contents::input);
  memory.add(scales_.data(), scales_.bytes(), "scales", Contents::input);
  memory.add(order_.data(), order_.bytes(), "order", Contents::input);
  memory.add(codes_.data(), codes_.bytes(), "codes", Contents::output);
  memory.add(levels_.data(), levels_.bytes(), "levels", Contents::output);
  const HostLauncher launcher(memory, order, 5);
  const bool known = repack_on_host({.layout = packed_.layout,
                                     .qweight = qweight_.data(),
                                     .qzeros = qzeros_.data(),
                                     .scales = scales_.data(),
                                     .order = repacked().order,
                                     .inputs = packed_.inputs,
                                     .outputs = packed_.outputs,
                                     .group = packed_.group,
                                     .bits = packed_.bits,
                                     .zero_offset = packed_.zero_offset,
                                     .codes = codes_.data(),
                                     .levels = levels_.data()},
                                    launcher);
  return known ? launcher.text() : "no kernel";
}

std::string RepackedProblem::run(cuda_on_host::Order order, std::int64_t traffic_block) {
  memory_ = std::make_unique<cuda_on_host::GlobalMemory>();
  memory_->add(codes_.data(), codes_.bytes(), "codes", Contents::input);
  memory_->add(levels_.data(), levels_.bytes(), "levels", Contents::input);
  memory_->add(order_.data(), order_.bytes(), "order", Contents::input);
  buffers_.add_to(*memory_);
  cuda::RepackedProductParams params{.weight = repacked(), .multiprocessors = multiprocessors_};
  buffers_.give(params);
  cuda_on_host::DeviceArray<float> workspace(static_cast<std::size_t>(cuda::workspace_floats(params)));
  memory_->add(workspace.data(), workspace.bytes(), "workspace", Contents::output);
  params.workspace = workspace.data();
  HostLauncher launcher(*memory_, order, 5);
  launcher.count_traffic(traffic_block);
  if (!repacked_product_on_host(params, launcher)) return "no kernel";
  reports = launcher.reports;
  return launcher.text();
}

std::string RepackedProblem::dequantize(Element type, cuda_on_host::Order order) {
  const std::int64_t count = packed_.outputs * packed_.inputs;
  cuda_on_host::DeviceArray<std::uint8_t> out(static_cast<std::size_t>(count * element_bytes(type)));
  cuda_on_host::GlobalMemory memory;
  memory.add(codes_.data(), codes_.bytes(), "codes", Contents::input);
  memory.add(levels_.data(), levels_.bytes(), "levels", Contents::input);
  memory.add(order_.data(), order_.bytes(), "order", Contents::input);
  memory.add(out.data(), out.bytes(), "out", Contents::output);
  const HostLauncher launcher(memory, order, 5);
  const bool known =
      repacked_dequantize_on_host({.weight = repacked(), .type = type, .destination = out.data()}, launcher);
  if (!known || launcher.text() != "clean") return known ? launcher.text() : "no kernel";
  for (std::int64_t i = 0; i < count; ++i) {
    const float expected = round_element(static_cast<float>(packed_.weight[static_cast<std::size_t>(i)]), type);
    if (read_element(out.data(), type, i) == expected) continue;
    std::ostringstream said;
    said << "number " << i << " is " << read_element(out.data(), type, i) << ", expected " << expected;
    return said.str();
  }
  return "clean";
}

double RepackedProblem::bytes_read() const {
  const double read = static_cast<double>(memory_->named("codes").bytes_read + memory_->named("levels").bytes_read);
  return read / static_cast<double>(codes_.bytes() + levels_.bytes());
}

}  // namespace powerhouse::testing
