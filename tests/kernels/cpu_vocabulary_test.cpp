// argmax, log-sum-exp, softmax and the search for bad values, and the choice of an instruction set.
#include "kernels/reference/vocabulary.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using VocabularyTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(VocabularyTest);

TEST_P(VocabularyTest, AgreesWithThePlainLoop) {
  for (const std::int64_t count : {1, 2, 7, 8, 15, 16, 17, 33, 100, 1001, 49152}) {
    Buffer x = Buffer::random(Element::f32, count, engine_, 20.0f);
    const cpu::Extremum found = kernels().argmax_f32(x.floats(), count);
    EXPECT_EQ(found.index, reference::argmax_f32(x.floats(), count).index);
    EXPECT_EQ(found.value, x.at(found.index));
    EXPECT_NEAR(kernels().log_sum_exp_f32(x.floats(), count), reference::log_sum_exp_f32(x.floats(), count), 1e-5);
    Buffer y(Element::f32, count);
    Buffer expected(Element::f32, count);
    kernels().softmax_f32(x.floats(), y.floats(), count);
    reference::softmax_f32(x.floats(), expected.floats(), count);
    expect_close(y, expected, 3e-6, 1e-30, ::testing::Message() << "softmax");
    kernels().softmax_f32(x.floats(), x.floats(), count);
    EXPECT_TRUE(x == y) << "in place";
  }
}

TEST_P(VocabularyTest, MomentsAndPlacesPassOverWhatIsForbidden) {
  for (const std::int64_t count : {1, 2, 7, 8, 15, 16, 17, 33, 511, 512, 513, 1001, 49152}) {
    Buffer x = Buffer::random(Element::f32, count, engine_, 20.0f);
    for (std::int64_t i = 1; i < count; i += 3) x.set(i, -INFINITY);
    const float best = reference::argmax_f32(x.floats(), count).value;
    EXPECT_EQ(kernels().max_f32(x.floats(), count), best);
    const auto near = [count](double found, double expected, double scale) {
      EXPECT_NEAR(found, expected, 1e-6 * scale) << count;
    };
    const cpu::Moments found = kernels().moments_f32(x.floats(), count, 3.0f);
    const cpu::Moments expected = reference::moments_f32(x.floats(), count, 3.0f);
    EXPECT_EQ(found.count, expected.count);
    near(found.sum, expected.sum, expected.squares);
    near(found.squares, expected.squares, expected.squares);
    const cpu::ExpMoments weights = kernels().exp_moments_f32(x.floats(), count, best);
    const cpu::ExpMoments exact = reference::exp_moments_f32(x.floats(), count, best);
    near(weights.sum, exact.sum, exact.sum);
    near(weights.weighted, exact.weighted, std::abs(exact.weighted) + 1e-3);
    for (const float bound : {-3.4e38f, 0.0f, best, 1e9f}) {
      std::vector<std::int32_t> places(static_cast<std::size_t>(count)), wanted;
      for (std::int64_t i = 0; i < count; ++i) {
        if (x.at(i) >= bound) wanted.push_back(static_cast<std::int32_t>(i));
      }
      places.resize(static_cast<std::size_t>(kernels().places_at_least_f32(x.floats(), count, bound, places.data())));
      EXPECT_EQ(places, wanted) << count << " " << bound;
    }
  }
}

TEST_P(VocabularyTest, AgreesWithPyTorch) {
  const Fixture fixture;
  Buffer x = fixture.get("logits");
  Buffer y(Element::f32, 101);
  kernels().softmax_f32(x.floats(), y.floats(), 101);
  expect_close(y, fixture.get("softmax"), 2e-6, 1e-12, ::testing::Message() << "softmax");
  EXPECT_NEAR(kernels().log_sum_exp_f32(x.floats(), 101), fixture.get("log_sum_exp").at(0), 2e-6);
  EXPECT_EQ(kernels().argmax_f32(x.floats(), 101).index, static_cast<std::int64_t>(fixture.get("argmax").at(0)));
}

TEST_P(VocabularyTest, ArgmaxTakesTheFirstOfEqualsAndTheFirstNan) {
  Buffer x(Element::f32, 50, -INFINITY);
  EXPECT_EQ(kernels().argmax_f32(x.floats(), 50).index, 0);
  x.set(31, 2.0f);
  x.set(18, 2.0f);
  EXPECT_EQ(kernels().argmax_f32(x.floats(), 50).index, 18);
  x.set(49, NAN);
  x.set(44, NAN);
  EXPECT_EQ(kernels().argmax_f32(x.floats(), 50).index, 44);
  EXPECT_TRUE(std::isnan(kernels().argmax_f32(x.floats(), 50).value));
}

TEST_P(VocabularyTest, MaskedAndBadRows) {
  Buffer x(Element::f32, 21, -INFINITY);
  Buffer y(Element::f32, 21);
  EXPECT_EQ(kernels().log_sum_exp_f32(x.floats(), 21), -INFINITY);
  kernels().softmax_f32(x.floats(), y.floats(), 21);
  for (int i = 0; i < 21; ++i) EXPECT_TRUE(std::isnan(y.at(i)));
  x.set(20, 3.0f);
  EXPECT_EQ(kernels().log_sum_exp_f32(x.floats(), 21), 3.0f);
  kernels().softmax_f32(x.floats(), y.floats(), 21);
  for (int i = 0; i < 21; ++i) EXPECT_EQ(y.at(i), i == 20 ? 1.0f : 0.0f);
  x.set(3, INFINITY);
  EXPECT_EQ(kernels().log_sum_exp_f32(x.floats(), 21), INFINITY);
  x.set(3, NAN);
  EXPECT_TRUE(std::isnan(kernels().log_sum_exp_f32(x.floats(), 21)));
}

TEST_P(VocabularyTest, FirstNotFinite) {
  for (const Element type : kElements) {
    Buffer x(type, 70, 1.0f);
    EXPECT_EQ(kernels().first_not_finite(x.data(), type, 0, 70), -1);
    x.set(69, -INFINITY);
    EXPECT_EQ(kernels().first_not_finite(x.data(), type, 0, 70), 69);
    x.set(5, NAN);
    EXPECT_EQ(kernels().first_not_finite(x.data(), type, 0, 70), 5);
    EXPECT_EQ(kernels().first_not_finite(x.data(), type, 6, 69), -1);
  }
}

TEST(DispatchTest, NamesAndTablesAgree) {
  const auto tables = available_tables();
  ASSERT_FALSE(tables.empty());
  EXPECT_STREQ(tables.front()->name, "scalar");
  for (const cpu::CpuKernels* table : tables) EXPECT_EQ(cpu::find_kernels(table->name), table);
  EXPECT_EQ(cpu::find_kernels("avx9000"), nullptr);
  EXPECT_EQ(cpu::find_kernels(""), nullptr);
  EXPECT_EQ(cpu::find_kernels(nullptr), nullptr);
}

/// The choice is made once a process, so each is tried in a new one.
void expect_selection(const char* variable, const cpu::CpuKernels* expected) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        variable == nullptr ? unsetenv("POWERHOUSE_ISA") : setenv("POWERHOUSE_ISA", variable, 1);
        std::exit(cpu::selected_kernels() == expected ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "")
      << (variable == nullptr ? "unset" : variable);
}

TEST(DispatchTest, TheEnvironmentDecides) {
  for (const cpu::CpuKernels* table : available_tables()) expect_selection(table->name, table);
  expect_selection("avx9000", nullptr);
  // The last one; but Intel's dot products of bf16 are slower than float32, unless they are tiles.
  const cpu::CpuKernels* best = available_tables().back();
  std::ifstream file("/proc/cpuinfo");
  const std::string info((std::istreambuf_iterator<char>(file)), {});
  if (info.find("GenuineIntel") != std::string::npos && best->name == std::string("avx512_bf16")) {
    best = cpu::find_kernels("avx512_vnni");
  }
  expect_selection("", best);
  expect_selection(nullptr, best);
}

}  // namespace
}  // namespace powerhouse::testing
