// Weights of blocks: dequantized to the definition's bits, and multiplied by few and by many rows.
#include "gpu_check/checks.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda_rows/device_blocks.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse::gpu_check {

namespace {

using testing::kFormats;
using testing::plain_blocks;

struct Blocks {
  std::vector<std::uint8_t> bytes;
  at::Tensor values;  // float32 [rows, columns] on the CPU, by the definition
};
Blocks some_blocks(BlockFormat format, std::int64_t rows, std::int64_t columns) {
  std::mt19937 engine(static_cast<unsigned>(format) + 7u);
  const BlockInfo info = block_info(format);
  Blocks blocks{plain_blocks(format, rows * columns / info.block_elements, engine), at::empty({rows, columns})};
  dequantize_row(format, blocks.bytes.data(), blocks.values.data_ptr<float>(), rows * columns);
  return blocks;
}

void check_dequantize(Report& report, const Machine& machine) {
  Checked checked(report, machine, "dequantize");
  for (const BlockFormat format : kFormats) {
    const std::int64_t elements = block_info(format).block_elements, count = 20 * 1024 / elements + 1;
    const Blocks blocks = some_blocks(format, count, elements);
    const at::Tensor source = bytes_there(machine, blocks.bytes.data(), blocks.bytes.size());
    for (const at::ScalarType type : kTypes) {
      const std::string name = std::string(block_info(format).name) + " to " + at::toString(type);
      const at::Tensor out = empty_there(machine, {count, elements}, type);
      const cpu::DequantizeParams params{
          .format = format, .type = element(type), .source = source.data_ptr(), .destination = out.data_ptr()};
      const ops::DeviceKernels kernels(machine.device);
      checked.launched(name, kernels.launch(&cuda::KernelTable::dequantize, params, count));
      checked.tensor(name, out, 0, blocks.values.to(type));
    }
  }
}

void check_product(Report& report, const Machine& machine) {
  Checked few(report, machine, "quantized_product, up to 16 rows"),
      many(report, machine, "quantized_product, more rows");
  const std::vector<std::int64_t> counts = machine.small ? std::vector<std::int64_t>{1, 3, 8, 17}
                                                         : std::vector<std::int64_t>{1, 2, 5, 8, 9, 16, 17, 64, 200};
  for (const BlockFormat format : kFormats) {
    const std::int64_t inputs = machine.small ? 512 : 2048, outputs = machine.small ? 40 : 1000;
    const Blocks blocks = some_blocks(format, outputs, inputs);
    const at::Tensor source = bytes_there(machine, blocks.bytes.data(), blocks.bytes.size());
    for (const at::ScalarType type : kTypes) {
      for (const std::int64_t rows : counts) {
        if (rows > cuda::kMostPlainRows && type == at::kFloat) continue;  // a library's product
        if (rows > cuda::kMostPlainRows && machine.small && format > BlockFormat::q8_0) continue;  // not compiled
        const bool exact = cuda::is_exact(element(type), rows);
        Checked& checked = exact ? few : many;
        const std::string name =
            std::string(block_info(format).name) + " " + at::toString(type) + " rows " + std::to_string(rows);
        const at::Tensor x = noise({rows, inputs}, type, 1), bias = noise({outputs}, type, 2);
        const at::Tensor x_there = there(machine, x), bias_there = there(machine, bias);
        const at::Tensor y = empty_there(machine, {rows, outputs}, type);
        cuda::QuantizedProductParams params{.format = format,
                                            .type = element(type),
                                            .weight = source.data_ptr(),
                                            .x = x_there.data_ptr(),
                                            .bias = bias_there.data_ptr(),
                                            .y = y.data_ptr(),
                                            .rows = rows,
                                            .inputs = inputs,
                                            .outputs = outputs,
                                            .x_stride = inputs,
                                            .y_stride = outputs,
                                            .multiprocessors = machine.multiprocessors};
        const at::Tensor workspace = empty_there(machine, {cuda::workspace_floats(params) + 4}, at::kFloat);
        params.workspace = workspace.data_ptr<float>();
        const ops::DeviceKernels kernels(machine.device);
        checked.launched(name, kernels.launch(&cuda::KernelTable::quantized_product, params));
        // Tensor cores multiply the weight rounded to the type of x.
        const at::Tensor weight = exact ? blocks.values : blocks.values.to(type);
        checked.tensor(name, y, allowed(type, 1.25) + 1e-5, [&](at::ScalarType to) {
          return at::linear(wide(machine, x, to), wide(machine, weight, to), wide(machine, bias, to));
        });
      }
    }
  }
}

}  // namespace

void check_blocks(Report& report, const Machine& machine) {
  check_dequantize(report, machine);
  check_product(report, machine);
}

}  // namespace powerhouse::gpu_check
