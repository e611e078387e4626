// Packed products: packing loses nothing; every instruction set against the plain loop; bits by rows and ranges.
#include "kernels/reference/packed_linear.h"

#include "kernels/cpu_kernels.h"
#include "kernels/packed_matrix.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse::testing {
namespace {

using PackedLinearTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(PackedLinearTest);

struct Codes {
  Codes(std::int64_t rows, std::int64_t size)
      : stride(size + 32),
        codes(static_cast<std::size_t>(rows * stride)),
        scales(codes.size() / 32),
        totals(codes.size() / 32),
        sums(codes.size() / 16) {}
  cpu::QuantizedRows rows() { return {codes.data(), scales.data(), totals.data(), sums.data(), stride}; }
  std::int64_t stride;
  std::vector<std::int16_t> codes;
  std::vector<float> scales, totals;
  std::vector<std::int32_t> sums;
};

TEST(Packing, LosesNothing) {
  std::mt19937 engine(3);
  for (const BlockFormat format : kPackedFormats) {
    for (const std::int64_t rows : {1, 16, 21}) {
      const Matrix matrix(format, rows, 512, engine);
      std::vector<float> expected(512), found(512);
      for (std::int64_t row = 0; row < rows; ++row) {
        const auto row_bytes = static_cast<std::int64_t>(matrix.blocks.size()) / rows;
        dequantize_row(format, matrix.blocks.data() + row * row_bytes, expected.data(), 512);
        unpack_row(matrix.layout, matrix.panels.data() + row / kPanelRows * panel_bytes(matrix.layout, 512),
                   row % kPanelRows, 512, found.data());
        ASSERT_EQ(std::memcmp(found.data(), expected.data(), 512 * sizeof(float)), 0)
            << block_info(format).name << " row " << row << " of " << rows;
      }
    }
  }
}

TEST_P(PackedLinearTest, QuantizesAsThePlainLoop) {
  for (const Element type : kElements) {
    for (const float scale : {0.0f, 1e-30f, 1.0f, 3e4f}) {
      const Buffer x = Buffer::random(type, 5 * 100, engine_, scale);
      Codes found(5, 96), expected(5, 96);
      cpu::QuantizeParams params{.type = type, .x = x.data(), .size = 96, .x_stride = 100, .out = found.rows()};
      kernels().quantize(params, 0, 5);
      params.out = expected.rows();
      reference::quantize(params, 0, 5);
      EXPECT_EQ(found.codes, expected.codes) << scale;
      EXPECT_EQ(found.scales, expected.scales) << scale;
      EXPECT_EQ(found.totals, expected.totals) << scale;
      EXPECT_EQ(found.sums, expected.sums) << scale;
    }
  }
}

TEST_P(PackedLinearTest, WhatIsNotFiniteStaysSo) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    Buffer x(Element::f32, 96, 1.0f);
    x.set(40, bad);
    Codes codes(1, 96);
    kernels().quantize({.x = x.data(), .size = 96, .x_stride = 96, .out = codes.rows()}, 0, 1);
    EXPECT_TRUE(std::isnan(codes.scales[1]));
    EXPECT_EQ(codes.scales[0], 1.0f / 32512.0f);
    EXPECT_EQ(codes.scales[2], 1.0f / 32512.0f);
  }
}

TEST_P(PackedLinearTest, AgreesWithThePlainLoop) {
  for (const BlockFormat format : kPackedFormats) {
    for (const std::int64_t inputs : {256, 768}) {
      for (const std::int64_t outputs : {1, 16, 37}) {
        const Matrix matrix(format, outputs, inputs, engine_);
        for (const std::int64_t rows : {1, 2, 3, 7, 15, 17, 33}) {
          const Buffer x = Buffer::random(Element::f32, rows * inputs, engine_);
          const Buffer bias = Buffer::random(Element::f32, outputs, engine_);
          Codes codes(rows, inputs);
          reference::quantize({.x = x.data(), .size = inputs, .x_stride = inputs, .out = codes.rows()}, 0, rows);
          Buffer found(Element::f32, rows * (outputs + 3), -77.0f);
          Buffer expected = found;
          cpu::PackedLinearParams params{.layout = &matrix.layout,
                                         .x = codes.rows(),
                                         .panels = matrix.panels.data(),
                                         .bias = rows % 2 == 0 ? static_cast<const float*>(bias.data()) : nullptr,
                                         .y = found.floats(),
                                         .rows = rows,
                                         .inputs = inputs,
                                         .outputs = outputs,
                                         .y_stride = outputs + 3};
          kernels().packed_linear(params, 0, panel_count(outputs));
          params.y = expected.floats();
          reference::packed_linear(params, 0, panel_count(outputs));
          expect_close(found, expected, 1e-6, 3e-8 * static_cast<double>(inputs) * matrix.largest(),
                       ::testing::Message() << block_info(format).name << " rows " << rows << " inputs " << inputs
                                            << " outputs " << outputs);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_P(PackedLinearTest, RowsAndRangesDoNotChangeBits) {
  for (const BlockFormat format : kPackedFormats) {
    const Matrix matrix(format, 70, 512, engine_);
    const Buffer x = Buffer::random(Element::f32, 19 * 512, engine_);
    Codes codes(19, 512);
    kernels().quantize({.x = x.data(), .size = 512, .x_stride = 512, .out = codes.rows()}, 0, 19);
    const auto run = [&](std::int64_t at_once, std::int64_t panels) {
      Buffer y(Element::f32, 19 * 70);
      for (std::int64_t m = 0; m < 19; m += at_once) {
        const cpu::PackedLinearParams params{.layout = &matrix.layout,
                                             .x = codes.rows().from(m),
                                             .panels = matrix.panels.data(),
                                             .y = y.floats() + m * 70,
                                             .rows = std::min<std::int64_t>(at_once, 19 - m),
                                             .inputs = 512,
                                             .outputs = 70,
                                             .y_stride = 70};
        for (std::int64_t begin = 0; begin < 5; begin += panels) {
          kernels().packed_linear(params, begin, std::min<std::int64_t>(begin + panels, 5));
        }
      }
      return y;
    };
    const Buffer together = run(19, 5);
    for (const std::int64_t rows : {1, 2, 3, 8, 16})
      EXPECT_EQ(run(rows, 2), together) << block_info(format).name << rows;
  }
}

}  // namespace
}  // namespace powerhouse::testing
