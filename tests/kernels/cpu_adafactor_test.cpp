// Adafactor's passes over rows against the plain loops: every mixture of types, odd sizes, with and without an average.
#include "kernels/reference/adafactor.h"

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using AdafactorTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(AdafactorTest);

constexpr std::int64_t kAdafactorRows = 5;

struct AdafactorMatrix {
  Buffer gradient, weights, rounding, average, row_factor, column_factor;

  AdafactorMatrix(Element type, bool master, std::int64_t columns, std::mt19937& engine)
      : gradient(Buffer::random(type, kAdafactorRows * columns, engine)),
        weights(Buffer::random(master ? Element::f32 : type, kAdafactorRows * columns, engine)),
        rounding(type, kAdafactorRows * columns),
        average(Buffer::random(Element::f32, kAdafactorRows * columns, engine)),
        row_factor(Buffer::random(Element::f32, kAdafactorRows, engine)),
        column_factor(Buffer::random(Element::f32, columns, engine)) {}
  cpu::AdafactorParams params(bool with_rounding, bool with_average) {
    cpu::AdafactorParams p{.type = gradient.type(), .gradient = gradient.data(), .columns = column_factor.size()};
    p.grad_scale = 0.7f, p.eps = 1e-3f;
    p.row_factor = row_factor.floats();
    p.column_factor = column_factor.floats();
    p.weight_type = weights.type();
    p.weights = weights.data();
    if (with_rounding) p.rounding = rounding.data();
    if (with_average) p.average = average.floats();
    p.divisor = 1.25f, p.lr = 0.05f, p.decay = 0.01f, p.keep = 0.9f, p.fresh = 0.1f;
    return p;
  }
};

TEST_P(AdafactorTest, AgreesWithThePlainLoops) {
  for (const Element type : kElements) {
    for (const std::int64_t columns : {1, 7, 16, 33, 500, 1100}) {
      for (const bool master : {false, true}) {
        const AdafactorMatrix start(type, master, columns, engine_);
        AdafactorMatrix found = start, expected = start;
        const cpu::AdafactorParams p = found.params(master, !master), plain = expected.params(master, !master);
        const auto what = ::testing::Message() << columns << " columns, type " << static_cast<int>(type);
        std::vector<float> sums(static_cast<std::size_t>(columns));
        std::vector<double> row_sums(kAdafactorRows), plain_sums(sums.size()), plain_row_sums(kAdafactorRows);
        kernels().adafactor_squares(p, 1, kAdafactorRows, sums.data(), row_sums.data());
        reference::adafactor_squares(plain, 1, kAdafactorRows, plain_sums.data(), plain_row_sums.data());
        for (std::size_t i = 0; i < sums.size(); ++i) EXPECT_NEAR(sums[i], plain_sums[i], 1e-6 * plain_sums[i]) << what;
        for (std::size_t i = 0; i < kAdafactorRows; ++i) {
          EXPECT_NEAR(row_sums[i], plain_row_sums[i], 1e-6 * plain_row_sums[i]) << what;
        }
        const double size = reference::adafactor_size(plain, 1, kAdafactorRows);
        EXPECT_NEAR(kernels().adafactor_size(p, 1, kAdafactorRows), size, 2e-6 * size) << what;
        kernels().adafactor_update(p, 1, kAdafactorRows);
        reference::adafactor_update(plain, 1, kAdafactorRows);
        const auto check = [&](const Buffer& x, const Buffer& y) {
          expect_close(x, y, x.type() == Element::f32 ? 1e-6 : spacing(x.type()), 2e-7, what);
        };
        check(found.weights, expected.weights);
        check(found.rounding, expected.rounding);
        check(found.average, expected.average);
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
