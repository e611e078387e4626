// gemm: every format, instruction set and type of rows against the plain loop; bits by rows and ranges.
#include "kernels/reference/gemm.h"

#include "kernels/cpu_kernels.h"
#include "kernels/packed_matrix.h"

namespace powerhouse::testing {
namespace {

using GemmTest = CpuKernelTest;
INSTANTIATE_TEST_SUITE_P(, GemmTest, ::testing::ValuesIn(gemm_tables()), table_name);

// Rows with room behind them, zeros up to kGemmPad and something else further on.
struct Rows {
  Rows(Element type, std::int64_t count, std::int64_t inputs, std::mt19937& engine)
      : stride((inputs + cpu::kGemmPad - 1) / cpu::kGemmPad * cpu::kGemmPad + 5),
        data(Buffer::random(type, count * stride, engine)) {
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::int64_t k = inputs; k < stride - 5; ++k) data.set(row * stride + k, 0.0f);
    }
  }
  std::int64_t stride;
  Buffer data;
};

std::vector<Element> row_types(const cpu::CpuKernels& kernels) {
  if (kernels.gemm_type == Element::f32) return {Element::f32};
  return {Element::f32, kernels.gemm_type};
}

void run(const cpu::CpuKernels& kernels, const cpu::GemmParams& params, std::int64_t begin, std::int64_t end) {
  std::vector<float> scratch(static_cast<std::size_t>(cpu::kGemmScratchFloats), NAN);
  kernels.gemm(params, begin, end, scratch.data());
}

void compare(const cpu::CpuKernels& kernels, cpu::GemmParams params, double largest, const ::testing::Message& what) {
  Buffer found(Element::f32, params.rows * params.y_stride, -77.0f);
  Buffer expected = found;
  params.y = found.floats();
  run(kernels, params, 0, panel_count(params.outputs));
  params.y = expected.floats();
  reference::gemm(params, 0, panel_count(params.outputs));
  expect_close(found, expected, 1e-6, 1e-7 * static_cast<double>(params.inputs) * largest + 1e-6, what);
}

TEST_P(GemmTest, MultipliesByPackedWeights) {
  for (const Element type : row_types(kernels())) {
    for (const BlockFormat format : kPackedFormats) {
      for (const std::int64_t inputs : {256, 2304}) {
        for (const std::int64_t outputs : {16, 37, 64}) {
          const Matrix matrix(format, outputs, inputs, engine_);
          const std::int64_t rows = outputs == 37 ? 45 : 14;
          const Rows x(type, rows, inputs, engine_);
          const Buffer bias = Buffer::random(Element::f32, outputs, engine_);
          // A weight that lies between two bf16 may be rounded to either: its own error is half a unit.
          compare(kernels(),
                  {.x_type = type,
                   .x = x.data.data(),
                   .layout = &matrix.layout,
                   .weight = matrix.panels.data(),
                   .bias = outputs == 64 ? nullptr : static_cast<const float*>(bias.data()),
                   .rows = rows,
                   .inputs = inputs,
                   .outputs = outputs,
                   .x_stride = x.stride,
                   .y_stride = outputs + 3},
                  matrix.largest(),
                  ::testing::Message() << block_info(format).name << " rows of type " << static_cast<int>(type)
                                       << " inputs " << inputs << " outputs " << outputs);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_P(GemmTest, MultipliesByPlainNumbers) {
  for (const Element type : row_types(kernels())) {
    for (const Element weight_type : kElements) {
      for (const std::int64_t rows : {1, 2, 5, 13, 29, 40}) {
        for (const std::int64_t inputs : {1, 15, 32, 33, 100, 2049}) {
          for (const std::int64_t outputs : {1, 16, 33, 47}) {
            const Rows x(type, rows, inputs, engine_);
            const Buffer weight = Buffer::random(weight_type, outputs * (inputs + 1), engine_);
            const Buffer bias = Buffer::random(Element::f32, outputs, engine_);
            compare(kernels(),
                    {.x_type = type,
                     .x = x.data.data(),
                     .weight = weight.data(),
                     .weight_type = weight_type,
                     .bias = rows % 2 == 0 ? static_cast<const float*>(bias.data()) : nullptr,
                     .rows = rows,
                     .inputs = inputs,
                     .outputs = outputs,
                     .x_stride = x.stride,
                     .weight_stride = inputs + 1,
                     .y_stride = outputs + 2},
                    1.0,
                    ::testing::Message() << "rows " << rows << " of type " << static_cast<int>(type) << " weights "
                                         << static_cast<int>(weight_type) << " inputs " << inputs << " outputs "
                                         << outputs);
            if (HasFailure()) return;
          }
        }
      }
    }
  }
}

TEST_P(GemmTest, RowsAndRangesDoNotChangeBits) {
  const std::int64_t inputs = 2304, outputs = 70, rows = 61;
  for (const Element type : row_types(kernels())) {
    const Matrix matrix(BlockFormat::q4_k, outputs, inputs, engine_);
    const Rows x(type, rows, inputs, engine_);
    const auto in_parts = [&](std::int64_t at_once, std::int64_t panels) {
      Buffer y(Element::f32, rows * outputs);
      for (std::int64_t m = 0; m < rows; m += at_once) {
        const cpu::GemmParams params{
            .x_type = type,
            .x = static_cast<const std::uint8_t*>(x.data.data()) + m * x.stride * element_bytes(type),
            .layout = &matrix.layout,
            .weight = matrix.panels.data(),
            .y = y.floats() + m * outputs,
            .rows = std::min(at_once, rows - m),
            .inputs = inputs,
            .outputs = outputs,
            .x_stride = x.stride,
            .y_stride = outputs};
        for (std::int64_t begin = 0; begin < 5; begin += panels) {
          run(kernels(), params, begin, std::min<std::int64_t>(begin + panels, 5));
        }
      }
      return y;
    };
    const Buffer together = in_parts(rows, 5);
    for (const std::int64_t at_once : {1, 3, 14, 32})
      EXPECT_EQ(in_parts(at_once, at_once % 4 + 1), together) << at_once;
  }
}

}  // namespace
}  // namespace powerhouse::testing
