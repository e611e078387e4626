#include <cmath>

#include "kernels/common/element.h"
#include "kernels/cuda_products/product_case.h"
#include "kernels/cuda_rows/worst_output.h"

namespace powerhouse::testing {

ProductBuffers::ProductBuffers(Element type_, std::int64_t rows_, std::int64_t inputs_, std::int64_t outputs_,
                               bool bias_, bool gaps, std::mt19937& engine)
    : type(type_),
      rows(rows_),
      inputs(inputs_),
      outputs(outputs_),
      x_stride(inputs + (gaps ? 16 : 0)),
      y_stride(outputs + (gaps ? 3 : 0)),
      has_bias(bias_),
      x(static_cast<std::size_t>(rows * x_stride)),
      bias(static_cast<std::size_t>(outputs)),
      y(static_cast<std::size_t>(rows * y_stride)) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (std::int64_t i = 0; i < rows * x_stride; ++i) {
    write_element(x.data(), type, i, i % x_stride < inputs ? uniform(engine) : std::nanf(""));
  }
  for (std::int64_t i = 0; i < outputs; ++i) write_element(bias.data(), type, i, uniform(engine));
}

void ProductBuffers::add_to(cuda_on_host::GlobalMemory& memory) {
  for (std::int64_t i = 0; i < rows * y_stride; ++i) write_element(y.data(), type, i, -77.0f);
  memory.add(x.data(), x.bytes(), "x", cuda_on_host::Contents::input);
  memory.add(bias.data(), bias.bytes(), "bias", cuda_on_host::Contents::input);
  memory.add(y.data(), y.bytes(), "y", cuda_on_host::Contents::output);
}

double ProductBuffers::x_at(std::int64_t row, std::int64_t input) const {
  return static_cast<double>(read_element(x.data(), type, row * x_stride + input));
}

std::string ProductBuffers::wrong(const std::vector<double>& weight) const {
  WorstOutput worst;
  const double rounding = type == Element::bf16 ? 0x1p-8 : 0x1p-11;
  std::vector<double> of_row(static_cast<std::size_t>(inputs));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < inputs; ++i) of_row[static_cast<std::size_t>(i)] = x_at(row, i);
    for (std::int64_t output = 0; output < y_stride; ++output) {
      const auto found = static_cast<double>(read_element(y.data(), type, row * y_stride + output));
      double expected = -77, sizes = 0;
      if (output < outputs) {
        expected = has_bias ? static_cast<double>(read_element(bias.data(), type, output)) : 0;
        const double* const numbers = weight.data() + output * inputs;
        for (std::size_t i = 0; i < of_row.size(); ++i) {
          expected += numbers[i] * of_row[i];
          sizes += std::abs(numbers[i] * of_row[i]);
        }
      }
      worst.see(row, output, found, expected, 1.01 * rounding * std::abs(expected) + 1e-6 * sizes + 1e-30);
    }
  }
  return worst.said();
}

std::string traffic_complaint(const cuda_on_host::LaunchReport& report, double most) {
  std::vector<cuda_on_host::InstructionTraffic> wrong;
  for (const auto& row : report.traffic) {
    const double allowed = row.shared && row.size < 16 ? most : 1;
    if (static_cast<double>(row.cost.paid) > allowed * static_cast<double>(row.cost.ideal)) wrong.push_back(row);
  }
  return wrong.empty() ? "" : "traffic:\n" + cuda_on_host::traffic_table(wrong);
}

}  // namespace powerhouse::testing
