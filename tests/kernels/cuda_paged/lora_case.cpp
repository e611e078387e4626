#include "kernels/cuda_paged/lora_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "kernels/cuda_paged/paged_case.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;

std::ostream& operator<<(std::ostream& out, const LoraCase& one) {
  out << "types " << static_cast<int>(one.type) << ' ' << static_cast<int>(one.weight_type) << ' ' << one.inputs
      << " to " << one.outputs << (one.aligned ? " aligned" : "") << " ranks";
  for (const int rank : one.ranks) out << ' ' << rank;
  out << " adapters";
  for (const int adapter : one.adapters) out << ' ' << adapter;
  return out;
}

std::vector<LoraCase> lora_edge_cases() {
  return {
      {.adapters = {}},
      {.adapters = {-1, -1}},
      {.adapters = {0}},
      {.ranks = {8, 16, 0}, .adapters = {0, 0, 1, 2, -1, 1, 1, 0, 0, 0, 1}},
      {.inputs = 1032, .outputs = 130, .ranks = {64, 24}, .adapters = {1, 1, 0}},
      {.type = Element::f32,
       .weight_type = Element::f32,
       .inputs = 37,
       .outputs = 11,
       .ranks = {5, 3},
       .adapters = {1, 0, 0},
       .aligned = false},
      {.outputs = 65, .ranks = {4, 300}, .adapters = {1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
      {.weight_type = Element::f32, .inputs = 264, .ranks = {16}, .adapters = {0, 0, 0, 0, 0, 0, 0, 0, 0}},
  };
}

LoraProblem::LoraProblem(const LoraCase& one)
    : case_(one),
      rows_(static_cast<int>(one.adapters.size())),
      most_rank_(*std::max_element(one.ranks.begin(), one.ranks.end())),
      x_stride_(one.inputs + (!one.gaps     ? 0
                              : one.aligned ? 8
                                            : 3)),
      y_stride_(one.outputs + (one.aligned ? 8 - one.outputs % 8 : 1)) {
  const auto array = [](std::int64_t count, Element type, std::uint64_t what, auto&& place) {
    auto bytes = std::make_unique<Bytes>(static_cast<std::size_t>((count + 1) * element_bytes(type)));
    for (std::int64_t i = 0; i < count; ++i) {
      const auto [name, at] = place(i);
      write_element(bytes->data(), type, i, number_at(what, static_cast<std::uint64_t>(name), at, 0, 0));
    }
    return bytes;
  };
  const auto by_row = [&](int stride) {
    return [&, stride](std::int64_t i) {
      const auto row = static_cast<std::size_t>(i / stride);
      return std::pair{one.names.empty() ? static_cast<int>(row) : one.names[row], static_cast<int>(i % stride)};
    };
  };
  x_ = array(static_cast<std::int64_t>(rows_) * x_stride_, one.type, 11, by_row(x_stride_));
  y_before_ = array(static_cast<std::int64_t>(rows_) * y_stride_, one.type, 12, by_row(y_stride_));
  y_ = std::make_unique<Bytes>(y_before_->size());
  for (std::size_t adapter = 0; adapter < one.ranks.size(); ++adapter) {
    const auto of_adapter = [&](std::int64_t i) { return std::pair{static_cast<int>(adapter), static_cast<int>(i)}; };
    a_.push_back(array(one.ranks[adapter] * one.inputs, one.weight_type, 13, of_adapter));
    b_.push_back(array(one.ranks[adapter] * one.outputs, one.weight_type, 14, of_adapter));
    a_at_.push_back(a_.back()->data());
    b_at_.push_back(b_.back()->data());
    scales_.push_back(0.5f + static_cast<float>(adapter));
  }
  workspace_ = std::make_unique<cuda_on_host::DeviceArray<float>>(static_cast<std::size_t>(rows_ * most_rank_ + 1));
}

CountingLauncher LoraProblem::run(cuda_on_host::Order order, std::int64_t traffic_block) {
  std::memcpy(y_->data(), y_before_->data(), y_->bytes());
  GlobalMemory memory;
  std::vector<std::string> names;
  for (std::size_t adapter = 0; adapter < a_.size(); ++adapter) {
    for (const bool second : {false, true}) {
      const Bytes& bytes = second ? *b_[adapter] : *a_[adapter];
      names.push_back((second ? "b" : "a") + std::to_string(adapter));
      memory.add(bytes.data(), bytes.bytes(), names.back(), Contents::input);
    }
  }
  const auto add = [&](const auto& values, const char* name) {
    memory.add(values.data(), std::max<std::size_t>(1, values.size() * sizeof(values[0])), name, Contents::input);
  };
  add(a_at_, "a"), add(b_at_, "b"), add(case_.ranks, "ranks"), add(case_.adapters, "adapters"), add(scales_, "scales");
  memory.add(x_->data(), x_->bytes(), "x", Contents::input);
  memory.add(y_->data(), y_->bytes(), "y", Contents::in_out);
  memory.add(workspace_->data(), workspace_->bytes(), "workspace", Contents::output);
  CountingLauncher launcher(memory, order, 1, names);
  launcher.count_traffic(traffic_block);
  lora_gather_on_host({.type = case_.type,
                       .weight_type = case_.weight_type,
                       .x = x_->data(),
                       .y = y_->data(),
                       .x_stride = x_stride_,
                       .y_stride = y_stride_,
                       .adapters = case_.adapters.data(),
                       .a = a_at_.data(),
                       .b = b_at_.data(),
                       .ranks = case_.ranks.data(),
                       .scales = scales_.data(),
                       .rows = rows_,
                       .inputs = case_.inputs,
                       .outputs = case_.outputs,
                       .most_rank = most_rank_,
                       .workspace = workspace_->data(),
                       .aligned = case_.aligned},
                      launcher);
  return launcher;
}

double LoraProblem::a(int adapter, int rank, int input) const {
  return static_cast<double>(
      read_element(a_[static_cast<std::size_t>(adapter)]->data(), case_.weight_type, rank * case_.inputs + input));
}

double LoraProblem::b(int adapter, int output, int rank) const {
  const auto index = static_cast<std::size_t>(adapter);
  return static_cast<double>(read_element(b_[index]->data(), case_.weight_type, output * case_.ranks[index] + rank));
}

std::vector<double> LoraProblem::inner(int row) const {
  const int adapter = case_.adapters[static_cast<std::size_t>(row)];
  std::vector<double> sums(adapter < 0 ? 0 : static_cast<std::size_t>(case_.ranks[static_cast<std::size_t>(adapter)]));
  for (std::size_t rank = 0; rank < sums.size(); ++rank) {
    for (int i = 0; i < case_.inputs; ++i) {
      const auto x = static_cast<double>(read_element(x_->data(), case_.type, row * x_stride_ + i));
      sums[rank] += a(adapter, static_cast<int>(rank), i) * x;
    }
  }
  return sums;
}

double LoraProblem::term(int row, int output, const std::vector<double>& inner, double& spread) const {
  double sum = 0;
  spread = 0;
  const int adapter = case_.adapters[static_cast<std::size_t>(row)];
  for (std::size_t rank = 0; rank < inner.size(); ++rank) {
    const double factor = b(adapter, output, static_cast<int>(rank));
    sum += factor * inner[rank];
    spread += std::abs(factor) * std::sqrt(case_.inputs);
  }
  if (inner.empty()) return 0;
  const double scale = static_cast<double>(scales_[static_cast<std::size_t>(adapter)]);
  spread *= scale;
  return sum * scale;
}

/// Sums are float32; y is rounded once. Rows without an adapter, and gaps, keep their bits.
std::string LoraProblem::wrong() const {
  const double rounding = case_.type == Element::bf16 ? 0x1p-8 : case_.type == Element::f16 ? 0x1p-11 : 0x1p-24;
  std::ostringstream text;
  for (int row = 0; row < rows_; ++row) {
    const std::vector<double> inner = this->inner(row);
    for (int output = 0; output < y_stride_; ++output) {
      const std::int64_t at = static_cast<std::int64_t>(row) * y_stride_ + output;
      const double before = static_cast<double>(read_element(y_before_->data(), case_.type, at));
      const double found = static_cast<double>(read_element(y_->data(), case_.type, at));
      double spread = 0;
      const double wanted = before + (output < case_.outputs ? term(row, output, inner, spread) : 0);
      if (std::abs(found - wanted) <= (spread > 0 ? rounding * std::abs(wanted) * 1.01 + 2e-6 * (spread + 1) : 0))
        continue;
      text << "y of row " << row << " at " << output << ": " << found << ", expected " << wanted;
      return text.str();
    }
  }
  return "";
}

std::vector<std::uint8_t> LoraProblem::row_bits(int row) const {
  const auto bytes = element_bytes(case_.type);
  const std::uint8_t* const first = y_->data() + row * y_stride_ * bytes;
  return {first, first + case_.outputs * bytes};
}

}  // namespace powerhouse::testing
