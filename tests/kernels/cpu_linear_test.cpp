// linear: against the plain loop on odd shapes, types, strides and ranges; a row's bits whatever stands beside it.
#include "kernels/reference/linear.h"

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using LinearTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(LinearTest);

struct Problem {
  Problem(Element element, Element y_element, std::int64_t m, std::int64_t k, std::int64_t n, bool with_bias,
          std::mt19937& engine)
      : type(element),
        y_type(y_element),
        rows(m),
        inputs(k),
        outputs(n),
        x(Buffer::random(element, (m - 1) * (k + 3) + k, engine)),
        weight(Buffer::random(element, (n - 1) * (k + 1) + k, engine)),
        bias(Buffer::random(element, n, engine)),
        has_bias(with_bias) {}

  cpu::LinearParams params(Buffer& y) const {
    return {.type = type,
            .y_type = y_type,
            .x = x.data(),
            .weight = weight.data(),
            .bias = has_bias ? bias.data() : nullptr,
            .y = y.data(),
            .rows = rows,
            .inputs = inputs,
            .x_stride = inputs + 3,
            .weight_stride = inputs + 1,
            .y_stride = outputs + 2};
  }
  Buffer empty_y() const { return {y_type, (rows - 1) * (outputs + 2) + outputs, -77.0f}; }

  Element type, y_type;
  std::int64_t rows, inputs, outputs;
  Buffer x, weight, bias;
  bool has_bias;
};

TEST_P(LinearTest, AgreesWithThePlainLoop) {
  for (const Element type : kElements) {
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 7, 8, 9}) {
      for (const std::int64_t inputs : {1, 5, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 576}) {
        for (const std::int64_t outputs : {1, 3, 4, 6, 16, 17, 35}) {
          const Element y_type = outputs % 2 == 0 ? Element::f32 : type;
          const Problem problem(type, y_type, rows, inputs, outputs, inputs % 2 == 0, engine_);
          const std::int64_t begin = outputs / 5;
          Buffer found = problem.empty_y();
          Buffer expected = problem.empty_y();
          kernels().linear(problem.params(found), begin, outputs);
          reference::linear(problem.params(expected), begin, outputs);
          expect_close(found, expected, spacing(y_type), 1e-7 * static_cast<double>(inputs) + 1e-6,
                       ::testing::Message() << "type " << static_cast<int>(type) << " rows " << rows << " inputs "
                                            << inputs << " outputs " << outputs);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_P(LinearTest, TakesRowsInFloat32ByWeightsOfAnyType) {
  for (const Element type : {Element::bf16, Element::f16}) {
    for (const std::int64_t rows : {1, 2, 3, 5, 8}) {
      for (const std::int64_t inputs : {1, 15, 16, 33, 64, 100, 576}) {
        for (const std::int64_t outputs : {1, 4, 17, 35}) {
          const Problem problem(type, Element::f32, rows, inputs, outputs, outputs % 2 == 0, engine_);
          const Buffer x = Buffer::random(Element::f32, problem.x.size(), engine_);
          Buffer found = problem.empty_y();
          Buffer expected = problem.empty_y();
          const auto params = [&](Buffer& y) {
            cpu::LinearParams params = problem.params(y);
            params.x = x.data();
            params.wide_x = true;
            return params;
          };
          kernels().linear(params(found), 0, outputs);
          reference::linear(params(expected), 0, outputs);
          expect_close(found, expected, spacing(Element::f32), 1e-7 * static_cast<double>(inputs) + 1e-6,
                       ::testing::Message() << "type " << static_cast<int>(type) << " rows " << rows << " inputs "
                                            << inputs << " outputs " << outputs);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_P(LinearTest, RowsAndRangesDoNotChangeBits) {
  for (const Element type : kElements) {
    for (const std::int64_t inputs : {37, 64, 576, 1000}) {
      const Problem problem(type, Element::f32, 13, inputs, 43, true, engine_);
      Buffer together = problem.empty_y();
      kernels().linear(problem.params(together), 0, problem.outputs);
      for (std::int64_t rows = 1; rows <= 8; ++rows) {
        Buffer apart = problem.empty_y();
        for (std::int64_t m = 0; m < problem.rows; m += rows) {
          cpu::LinearParams params = problem.params(apart);
          params.x = static_cast<const std::uint8_t*>(params.x) + m * params.x_stride * element_bytes(type);
          params.y = static_cast<float*>(params.y) + m * params.y_stride;
          params.rows = std::min(rows, problem.rows - m);
          for (std::int64_t n = 0; n < problem.outputs; n += 4 + rows) {
            kernels().linear(params, n, std::min(n + 4 + rows, problem.outputs));
          }
        }
        EXPECT_TRUE(apart == together) << "type " << static_cast<int>(type) << " inputs " << inputs << " in pieces of "
                                       << rows << " rows";
      }
    }
  }
}

TEST_P(LinearTest, NanAndInfinityPassThrough) {
  for (const Element type : kElements) {
    Problem problem(type, type, 3, 70, 9, false, engine_);
    problem.x.set(69, NAN);                                      // row 0, the tail
    problem.weight.set(4 * (problem.inputs + 1) + 2, INFINITY);  // feature 4
    problem.x.set(2 * (problem.inputs + 3) + 2, 0.0f);           // row 2: 0 * infinity
    Buffer y = problem.empty_y();
    kernels().linear(problem.params(y), 0, 9);
    for (std::int64_t n = 0; n < 9; ++n) {
      EXPECT_TRUE(std::isnan(y.at(n)));
      EXPECT_EQ(std::isinf(y.at(11 + n)), n == 4);
      EXPECT_EQ(std::isnan(y.at(22 + n)), n == 4);
    }
  }
}

TEST_P(LinearTest, AgreesWithPyTorch) {
  const Fixture fixture;
  const Buffer x = fixture.get("linear_x");
  const Buffer weight = fixture.get("linear_weight");
  const Buffer bias = fixture.get("linear_bias");
  Buffer y(Element::f32, 21);
  const cpu::LinearParams params{.x = x.data(),
                                 .weight = weight.data(),
                                 .bias = bias.data(),
                                 .y = y.data(),
                                 .rows = 3,
                                 .inputs = 45,
                                 .x_stride = 45,
                                 .weight_stride = 45,
                                 .y_stride = 7};
  kernels().linear(params, 0, 7);
  expect_close(y, fixture.get("linear_y"), 1e-6, 5e-6, ::testing::Message() << "linear");
}

}  // namespace
}  // namespace powerhouse::testing
