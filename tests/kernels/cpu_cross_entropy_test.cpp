// Cross entropy and its gradient in place: against the plain loop in float64.
#include "kernels/reference/cross_entropy.h"

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using CrossEntropyTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(CrossEntropyTest);

constexpr std::int64_t kLogitRows = 4;

// What a kernel leaves of rows of logits.
struct Result {
  Buffer logits;
  Buffer loss{Element::f32, kLogitRows, -77.0f}, log_prob = loss, entropy = loss, mean_logit = loss, log_sum_sq = loss;
  std::vector<std::int64_t> arg_max = std::vector<std::int64_t>(kLogitRows, -77);
};

template <typename Kernel>
Result run(Kernel kernel, const Buffer& logits, cpu::CrossEntropyParams params, std::int64_t begin = 0,
           bool statistics = false) {
  Result result{.logits = logits};
  params.logits = result.logits.data();
  params.loss = result.loss.floats();
  params.log_prob = result.log_prob.floats();
  params.entropy = result.entropy.floats();
  params.arg_max = result.arg_max.data();
  if (statistics) params.mean_logit = result.mean_logit.floats(), params.log_sum_sq = result.log_sum_sq.floats();
  kernel(params, begin, kLogitRows);
  return result;
}

void expect_equal(const Result& found, const Result& expected, const ::testing::Message& what) {
  const Element type = found.logits.type();
  expect_close(found.log_prob, expected.log_prob, 1e-6, 2e-6, ::testing::Message() << what.GetString() << " log_prob");
  expect_close(found.loss, expected.loss, 1e-6, 4e-6, ::testing::Message() << what.GetString() << " loss");
  expect_close(found.entropy, expected.entropy, 1e-6, 4e-6, ::testing::Message() << what.GetString() << " entropy");
  EXPECT_EQ(found.arg_max, expected.arg_max);
  expect_close(found.mean_logit, expected.mean_logit, 1e-6, 2e-6, ::testing::Message() << what.GetString() << " mean");
  expect_close(found.log_sum_sq, expected.log_sum_sq, 1e-6, 2e-6, ::testing::Message() << what.GetString() << " p²");
  const double relative = type == Element::f32 ? 1e-5 : spacing(type);
  // Terms of about 1 cancel.
  expect_close(found.logits, expected.logits, relative, 3e-7, ::testing::Message() << what.GetString() << " gradient");
}

TEST_P(CrossEntropyTest, AgreesWithThePlainLoop) {
  struct Variant {
    float scale, softcap, smoothing, z_loss;
  };
  constexpr Variant kVariants[] = {
      {1, 0, 0, 0}, {0.0625f, 0, 0, 0}, {1, 30, 0, 0}, {2, 5, 0.1f, 1e-3f}, {1, 0, 0.2f, 0}};
  const float weights[kLogitRows] = {0.5f, -1.25f, 0.0f, 1.0f / 2048};
  const float entropy_weights[kLogitRows] = {0.0f, 0.25f, -0.5f, 0.125f};
  for (const Element type : kElements) {
    for (const std::int64_t vocabulary : {1, 2, 7, 16, 17, 33, 100, 1001, 4097}) {
      for (const Variant& variant : kVariants) {
        const std::int64_t stride = vocabulary + 3;
        const Buffer logits = Buffer::random(type, kLogitRows * stride, engine_, 12.0f);
        std::int64_t targets[kLogitRows];
        for (std::int64_t row = 0; row < kLogitRows; ++row) targets[row] = row * 7 % vocabulary;
        cpu::CrossEntropyParams params{.type = type,
                                       .vocabulary = vocabulary,
                                       .stride = stride,
                                       .targets = targets,
                                       .weights = weights,
                                       .scale = variant.scale,
                                       .softcap = variant.softcap,
                                       .smoothing = variant.smoothing,
                                       .z_loss = variant.z_loss};
        const auto what = ::testing::Message() << "vocabulary " << vocabulary << " softcap " << variant.softcap;
        expect_equal(run(kernels().cross_entropy, logits, params, 1), run(reference::cross_entropy, logits, params, 1),
                     what);
        params.entropy_weights = entropy_weights;
        expect_equal(run(kernels().cross_entropy, logits, params, 0, true),
                     run(reference::cross_entropy, logits, params, 0, true), what);
        params.weights = nullptr;
        const Result found = run(kernels().cross_entropy, logits, params);
        EXPECT_TRUE(found.logits == logits) << "without weights nothing is written";
        expect_equal(found, run(reference::cross_entropy, logits, params), what);
      }
    }
  }
}

TEST_P(CrossEntropyTest, AWholeVocabularyLosesNoDigits) {
  constexpr std::int64_t kVocabulary = 262144;
  const Buffer logits = Buffer::random(Element::f32, kLogitRows * kVocabulary, engine_, 0.5f);
  const std::int64_t targets[kLogitRows] = {0, 5, 77777, kVocabulary - 1};
  const float weights[kLogitRows] = {1, 1, 1, 1};
  const cpu::CrossEntropyParams params{
      .vocabulary = kVocabulary, .stride = kVocabulary, .targets = targets, .weights = weights};
  const Result found = run(kernels().cross_entropy, logits, params);
  const Result expected = run(reference::cross_entropy, logits, params);
  expect_close(found.log_prob, expected.log_prob, 3e-7, 0, ::testing::Message() << "log_prob");
  expect_close(found.entropy, expected.entropy, 3e-7, 0, ::testing::Message() << "entropy");
  expect_close(found.logits, expected.logits, 1e-6, 1e-12, ::testing::Message() << "gradient");
}

TEST_P(CrossEntropyTest, MaskedAndBadLogits) {
  constexpr std::int64_t kVocabulary = 21;
  Buffer logits = Buffer::random(Element::f32, kLogitRows * kVocabulary, engine_, 3.0f);
  for (int i = 3; i < 20; ++i) logits.set(i, -INFINITY);
  logits.set(kVocabulary + 6, NAN);
  logits.set(2 * kVocabulary + 20, INFINITY);
  const std::int64_t targets[kLogitRows] = {1, 1, 1, 1};
  const float weights[kLogitRows] = {1, 1, 1, 1};
  const cpu::CrossEntropyParams params{.vocabulary = kVocabulary,
                                       .stride = kVocabulary,
                                       .targets = targets,
                                       .weights = weights,
                                       .entropy_weights = weights};
  const Result found = run(kernels().cross_entropy, logits, params, 0, true);
  const Result expected = run(reference::cross_entropy, logits, params, 0, true);
  for (const int row : {0, 3}) {
    EXPECT_NEAR(found.log_prob.at(row), expected.log_prob.at(row), 1e-6);
    EXPECT_NEAR(found.entropy.at(row), expected.entropy.at(row), 1e-6);
    EXPECT_NEAR(found.log_sum_sq.at(row), expected.log_sum_sq.at(row), 1e-6);
    for (int i = 0; i < kVocabulary; ++i) {
      EXPECT_NEAR(found.logits.at(row * kVocabulary + i), expected.logits.at(row * kVocabulary + i), 1e-6);
    }
  }
  for (int i = 3; i < 20; ++i) EXPECT_EQ(found.logits.at(i), 0.0f);
  for (const int row : {1, 2}) {
    EXPECT_TRUE(std::isnan(found.loss.at(row)));
    EXPECT_TRUE(std::isnan(found.logits.at(row * kVocabulary)));
  }
  EXPECT_EQ(found.arg_max[1], -1);
  EXPECT_EQ(found.arg_max[2], 20);
}

TEST_P(CrossEntropyTest, TheFirstOfEqualLogitsIsTheLargest) {
  Buffer logits(Element::bf16, kLogitRows * 50, -3.0f);
  for (const int place : {31, 18, 44}) logits.set(place, 2.0f);
  const std::int64_t targets[kLogitRows] = {};
  const Result found =
      run(kernels().cross_entropy, logits, {.type = Element::bf16, .vocabulary = 50, .stride = 50, .targets = targets});
  EXPECT_EQ(found.arg_max[0], 18);
  EXPECT_EQ(found.arg_max[1], 0);
}

}  // namespace
}  // namespace powerhouse::testing
