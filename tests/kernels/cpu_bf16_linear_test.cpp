// bf16 in panels: packing loses nothing, zeros, tiny numbers and those that are not finite included; every instruction
// set against the plain loop.
#include "kernels/reference/bf16_linear.h"

#include "kernels/cpu_kernels.h"
#include "kernels/reference/gemm.h"

namespace powerhouse::testing {
namespace {

using Bf16LinearTest = CpuKernelTest;
INSTANTIATE_TEST_SUITE_P(, Bf16LinearTest, ::testing::ValuesIn(gemm_tables()), table_name);

// Numbers of the normal distribution, among them some zeros and some far too small for their neighbours.
std::vector<std::uint16_t> numbers(std::int64_t count, std::mt19937& engine) {
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<std::uint16_t> bits(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < bits.size(); ++i) {
    float value = normal(engine);
    if (i % 37 == 5) value = i % 2 == 0 ? 0.0f : -0.0f;
    if (i % 101 == 7) value *= 1e-6f;
    if (i % 977 == 11) value *= 1e-36f;
    bfloat16 rounded_value;
    from_float(value, rounded_value);
    bits[i] = rounded_value.bits;
  }
  return bits;
}

struct Panels {
  Panels(const std::vector<std::uint16_t>& bits, std::int64_t outputs, std::int64_t inputs) {
    bytes.resize(static_cast<std::size_t>(panel_count(outputs) * bf16_panel_bytes(inputs)) + 64);
    void* aligned = bytes.data();
    std::size_t room = bytes.size();
    std::align(64, room - 64, aligned, room);
    first.push_back(0);
    for (std::int64_t panel = 0; panel < panel_count(outputs); ++panel) {
      const std::uint16_t* rows[kPanelRows] = {};
      for (std::int64_t row = 0; row < kPanelRows && panel * kPanelRows + row < outputs; ++row) {
        rows[row] = bits.data() + (panel * kPanelRows + row) * inputs;
      }
      pack_bf16_panel(rows, inputs, static_cast<char*>(aligned) + panel * bf16_panel_bytes(inputs), outliers);
      first.push_back(static_cast<std::int64_t>(outliers.size()));
    }
    matrix = {aligned, outliers.data(), first.data()};
  }
  std::vector<std::uint8_t> bytes;
  std::vector<Bf16Outlier> outliers;
  std::vector<std::int64_t> first;
  Bf16Panels matrix;
};

TEST(Bf16Packing, LosesNothing) {
  std::mt19937 engine(3);
  for (const std::int64_t inputs : {64, 576}) {
    for (const std::int64_t outputs : {1, 16, 21}) {
      std::vector<std::uint16_t> bits = numbers(outputs * inputs, engine);
      bits[5] = 0x7F80;  // infinity, NaN, and the smallest number of all
      bits[9] = 0xFFC1;
      bits[70 % bits.size()] = 0x0001;
      const Panels panels(bits, outputs, inputs);
      EXPECT_FALSE(panels.outliers.empty());
      std::vector<std::uint16_t> row(static_cast<std::size_t>(inputs));
      for (std::int64_t n = 0; n < outputs; ++n) {
        unpack_bf16_row(panels.matrix, n / kPanelRows, n % kPanelRows, inputs, row.data());
        ASSERT_TRUE(std::equal(row.begin(), row.end(), bits.begin() + n * inputs)) << n;
      }
    }
  }
}

TEST_P(Bf16LinearTest, AgreesWithThePlainLoop) {
  for (const std::int64_t inputs : {64, 128, 576, 2112}) {
    for (const std::int64_t outputs : {1, 16, 37}) {
      const Panels panels(numbers(outputs * inputs, engine_), outputs, inputs);
      for (const std::int64_t rows : {1, 2, 3, 4, 7, 8, 15}) {
        const Buffer x = Buffer::random(Element::f32, rows * (inputs + 3), engine_);
        const Buffer bias = Buffer::random(Element::f32, outputs, engine_);
        Buffer found(Element::f32, rows * (outputs + 3), -77.0f);
        Buffer expected = found;
        cpu::Bf16LinearParams params{.x = static_cast<const float*>(x.data()),
                                     .weight = panels.matrix,
                                     .bias = rows % 2 == 0 ? static_cast<const float*>(bias.data()) : nullptr,
                                     .y = found.floats(),
                                     .rows = rows,
                                     .inputs = inputs,
                                     .outputs = outputs,
                                     .x_stride = inputs + 3,
                                     .y_stride = outputs + 3};
        kernels().bf16_linear(params, 0, panel_count(outputs));
        params.y = expected.floats();
        reference::bf16_linear(params, 0, panel_count(outputs));
        expect_close(found, expected, 1e-6, 1e-8 * static_cast<double>(inputs),
                     ::testing::Message() << "rows " << rows << " inputs " << inputs << " outputs " << outputs);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(Bf16LinearTest, ManyRowsAreMultipliedByTheSameNumbers) {
  const std::int64_t inputs = 2176, outputs = 37, rows = 33;
  const std::vector<std::uint16_t> bits = numbers(outputs * inputs, engine_);
  const Panels panels(bits, outputs, inputs);
  for (const Element type : {Element::f32, kernels().gemm_type}) {
    const Buffer x = Buffer::random(type, rows * inputs, engine_);
    std::vector<float> scratch(static_cast<std::size_t>(cpu::kGemmScratchFloats), NAN);
    const auto run = [&](const Bf16Panels* packed) {
      Buffer y(Element::f32, rows * outputs);
      kernels().gemm({.x_type = type,
                      .x = x.data(),
                      .weight = bits.data(),
                      .weight_type = Element::bf16,
                      .bf16 = packed,
                      .y = y.floats(),
                      .rows = rows,
                      .inputs = inputs,
                      .outputs = outputs,
                      .x_stride = inputs,
                      .weight_stride = inputs,
                      .y_stride = outputs},
                     0, panel_count(outputs), scratch.data());
      return y;
    };
    EXPECT_EQ(run(&panels.matrix), run(nullptr));
  }
}

TEST_P(Bf16LinearTest, RowsDoNotChangeBits) {
  const std::int64_t inputs = 576, outputs = 37, count = 13;
  const Panels panels(numbers(outputs * inputs, engine_), outputs, inputs);
  const Buffer x = Buffer::random(Element::f32, count * inputs, engine_);
  const auto run = [&](std::int64_t at_once) {
    Buffer y(Element::f32, count * outputs);
    for (std::int64_t m = 0; m < count; m += at_once) {
      const cpu::Bf16LinearParams params{.x = static_cast<const float*>(x.data()) + m * inputs,
                                         .weight = panels.matrix,
                                         .y = y.floats() + m * outputs,
                                         .rows = std::min(at_once, count - m),
                                         .inputs = inputs,
                                         .outputs = outputs,
                                         .x_stride = inputs,
                                         .y_stride = outputs};
      for (std::int64_t panel = 0; panel < panel_count(outputs); ++panel)
        kernels().bf16_linear(params, panel, panel + 1);
    }
    return y;
  };
  const Buffer together = run(count);
  for (const std::int64_t at_once : {1, 2, 3}) EXPECT_EQ(run(at_once), together) << at_once;
}

}  // namespace
}  // namespace powerhouse::testing
