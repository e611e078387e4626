#include "kernels/cuda_rows/few_products_case.h"

#include <cmath>

#include "kernels/cuda_rows/device_blocks.h"
#include "kernels/cuda_rows/worst_output.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;

namespace {

/// Inputs that one warp takes at a time, and all that lie in shared memory at once.
struct Chunks {
  std::int64_t one, all;
};
Chunks chunks_of(Element type) { return type == Element::f32 ? Chunks{1024, 2 * 1024} : Chunks{256, 2 * 4 * 256}; }

/// Whether numbers of the format are no elements themselves, but sums of two of them.
bool is_split(BlockFormat format) {
  using F = BlockFormat;
  switch (format) {
    case F::q4_0:
    case F::q4_1:
    case F::q5_0:
    case F::q5_1:
    case F::q8_0:
    case F::q2_k:
    case F::q3_k:
    case F::q4_k:
    case F::q5_k:
    case F::q6_k:
    case F::iq4_nl:
    case F::iq4_xs:
    case F::mxfp4:
    case F::fp4:
    case F::fp4_32:
    case F::int8_rows: return false;
    default: return true;
  }
}

/// What a sum may be wrong by for each unit of its terms' magnitudes: additions in float32, and what two elements leave
/// of a number.
double error_of_terms(BlockFormat format, Element type) {
  if (!is_split(format) || type == Element::f32) return 1e-6;
  return 1e-6 + (type == Element::bf16 ? 0x1p-17 : 0x1p-23);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const FewProductCase& one) {
  return out << block_info(one.format).name << " type " << static_cast<int>(one.type) << " rows " << one.rows
             << " blocks " << one.blocks << " outputs " << one.outputs << (one.bias ? " bias" : "")
             << " multiprocessors " << one.multiprocessors;
}

std::vector<FewProductCase> few_product_cases(BlockFormat format, Element type, std::mt19937& engine) {
  const auto upto = [&](std::int64_t most) { return static_cast<std::int64_t>(engine()) % most + 1; };
  const std::int64_t elements = block_info(format).block_elements;
  const bool plain = type == Element::f32;
  const std::int64_t rows = plain ? cuda::kMostPlainRows : cuda::kMostExactRows;
  const Chunks chunk = chunks_of(type);
  std::vector<FewProductCase> cases{
      {.rows = 0, .outputs = 3},
      {.blocks = 0, .outputs = 5, .bias = true},
      {.rows = rows, .blocks = chunk.all / elements + upto(256 / elements), .outputs = 2, .bias = true},
      {.rows = upto(rows), .blocks = upto(256 / elements), .outputs = plain ? upto(9) : 64 + upto(10), .bias = true}};
  for (int i = 0; i < 4; ++i) {
    cases.push_back({.rows = upto(rows),
                     .blocks = upto((chunk.one + 256) / elements),
                     .outputs = upto(plain ? 9 : 34),
                     .bias = i % 2 == 0,
                     .multiprocessors = static_cast<int>(upto(3))});
  }
  for (FewProductCase& one : cases) one.format = format, one.type = type;
  return cases;
}

FewProductProblem::FewProductProblem(const FewProductCase& one, std::mt19937& engine)
    : case_(one),
      inputs_(one.blocks * block_info(one.format).block_elements),
      x_stride_(inputs_ + 16),
      bytes_(plain_blocks(one.format, one.blocks * one.outputs, engine)),
      weight_(static_cast<std::size_t>(inputs_ * one.outputs)),
      x_(Buffer::random(one.type, one.rows * x_stride_, engine)),
      bias_(Buffer::random(one.type, one.outputs, engine)),
      result_(one.type, one.rows * y_stride(), -77.0f) {
  dequantize_row(one.format, bytes_.data(), weight_.data(), inputs_ * one.outputs);
}

std::string FewProductProblem::run(cuda_on_host::Order order) {
  GlobalMemory memory;
  const DeviceBlocks blocks(memory, bytes_, true, 32);
  DeviceBuffer x(memory, x_, "x", Contents::input);
  DeviceBuffer bias(memory, bias_, "bias", Contents::input);
  DeviceBuffer y(memory, Buffer(case_.type, case_.rows * y_stride(), -77.0f), "y", Contents::output);
  HostLauncher launcher(memory, order, 5);
  launcher.count_traffic(0);
  const cuda::QuantizedProductParams params{.format = case_.format,
                                            .type = case_.type,
                                            .weight = blocks.data(),
                                            .x = x.data(),
                                            .bias = case_.bias ? bias.data() : nullptr,
                                            .y = y.data(),
                                            .rows = case_.rows,
                                            .inputs = inputs_,
                                            .outputs = case_.outputs,
                                            .x_stride = x_stride_,
                                            .y_stride = y_stride(),
                                            .multiprocessors = case_.multiprocessors};
  if (!quantized_product_on_host(params, launcher)) return "no kernel";
  reports_ = launcher.reports;
  bytes_read_ = memory.named("blocks").bytes_read;
  result_ = y.host();
  return launcher.text();
}

std::string FewProductProblem::wrong() const {
  const double rounding = case_.type == Element::f32 ? 0 : spacing(case_.type) / 2;
  WorstOutput worst;
  for (std::int64_t row = 0; row < case_.rows; ++row) {
    for (std::int64_t output = 0; output < y_stride(); ++output) {
      double expected = -77, sizes = 0;
      if (output < case_.outputs) {
        expected = case_.bias ? static_cast<double>(bias_.at(output)) : 0;
        sizes = std::abs(expected);
        for (std::int64_t i = 0; i < inputs_; ++i) {
          const double term = static_cast<double>(weight_[static_cast<std::size_t>(output * inputs_ + i)]) *
                              static_cast<double>(x_.at(row * x_stride_ + i));
          expected += term;
          sizes += std::abs(term);
        }
      }
      const auto found = static_cast<double>(result_.at(row * y_stride() + output));
      const double allowed =
          1.01 * rounding * std::abs(expected) + error_of_terms(case_.format, case_.type) * sizes + 1e-30;
      worst.see(row, output, found, expected, allowed);
    }
  }
  return worst.said();
}

std::string FewProductProblem::costly() const {
  if (case_.type != Element::f32) {  // there, lanes differ in how often they copy, which is counted as one request
    const std::string accesses = costly_accesses(reports_);
    if (!accesses.empty()) return accesses;
  }
  // Bytes around a row's chunks: of sectors in which these begin and end, or of 16 bytes where one copies alone.
  const std::int64_t ends = case_.outputs * (inputs_ / chunks_of(case_.type).one + 1);
  const double around = case_.type == Element::f32 ? 48 : 62;
  const double all = static_cast<double>(bytes_.size()) + around * static_cast<double>(ends);
  const auto launches = static_cast<double>(cuda::divide_up(case_.rows, cuda::kMostPlainRows));
  if (static_cast<double>(bytes_read_) <= launches * all) return "";
  return "traffic: " + std::to_string(bytes_read_) + " bytes of a weight of " + std::to_string(bytes_.size());
}

}  // namespace powerhouse::testing
