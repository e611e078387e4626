// Divergence and its statistics, held to LibTorch's softmax in float64 over the models' own logits.
#include <gtest/gtest.h>

#include <ATen/core/Tensor.h>

#include <cmath>
#include <limits>

#include "evaluation/row_divergence.h"
#include "expect_error.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "powerhouse/evaluation.h"
#include "training/tiny_run.h"

namespace powerhouse {
namespace {

using namespace testing;

class DivergenceTest : public ::testing::Test {
 protected:
  DivergenceTest()
      : path_(write_tiny_model(folder_)),
        tokenizer_(Tokenizer::from_pretrained(path_)),
        reference_(CausalLM::from_pretrained(path_, {.dtype = Dtype::f32})),
        model_(CausalLM::from_pretrained(path_, {.dtype = Dtype::f32})) {
    at::Tensor head = model_.parameter("model.layers.0.mlp.down_proj.weight");
    head.mul_(1.3);
    for (int i = 0; i < 33; ++i) text_ += "the quick brown fox, " + std::to_string(i * 37 % 100) + ". ";
  }

  TemporaryFolder folder_;
  std::string path_;
  Tokenizer tokenizer_;
  CausalLM reference_, model_;
  std::string text_;
};

TEST_F(DivergenceTest, IsThatOfTheSoftmax) {
  constexpr std::int64_t kContext = 16;
  const auto ids = tokenizer_.encode(text_);
  const std::int64_t chunks = std::ssize(ids) / kContext;
  std::vector<double> divergences, lost;
  double same = 0, nll = 0, reference_nll = 0;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const std::vector<std::int64_t> part(ids.begin() + chunk * kContext, ids.begin() + (chunk + 1) * kContext);
    const at::Tensor input = index_tensor(part).unsqueeze(0);
    const at::Tensor p = reference_.forward(input)[0].to(at::kDouble).log_softmax(-1);
    const at::Tensor q = model_.forward(input)[0].to(at::kDouble).log_softmax(-1);
    for (std::int64_t row = kContext / 2; row < kContext - 1; ++row) {
      divergences.push_back(p[row].exp().mul(p[row].sub(q[row])).sum().item<double>());
      same += p[row].argmax().item<std::int64_t>() == q[row].argmax().item<std::int64_t>() ? 1 : 0;
      const std::int64_t target = part[static_cast<std::size_t>(row + 1)];
      reference_nll -= p[row][target].item<double>();
      nll -= q[row][target].item<double>();
      lost.push_back(p[row][target].item<double>() - q[row][target].item<double>());
    }
  }
  const auto count = static_cast<double>(divergences.size());
  double mean = 0, variance = 0;
  for (const double value : divergences) mean += value / count;
  for (const double value : divergences) variance += (value - mean) * (value - mean) / count;
  std::sort(divergences.begin(), divergences.end());

  const DivergenceResult found = divergence(reference_, model_, tokenizer_, text_, {.context = kContext});
  EXPECT_GT(mean, 1e-4);
  EXPECT_NEAR(found.mean, mean, 1e-6 * mean + 1e-8);
  EXPECT_NEAR(found.standard_error, std::sqrt(variance / (count - 1)), 1e-5 * mean);
  EXPECT_NEAR(found.maximum, divergences.back(), 1e-5 * divergences.back());
  const double place = 0.99 * (count - 1);
  const auto low = static_cast<std::size_t>(place);
  const double p99 = divergences[low] + (place - static_cast<double>(low)) * (divergences[low + 1] - divergences[low]);
  EXPECT_NEAR(found.percentile_99, p99, 1e-5 * p99);
  EXPECT_DOUBLE_EQ(found.same_top, same / count);
  EXPECT_NEAR(found.same_top_error, std::sqrt(found.same_top * (1 - found.same_top) / (count - 1)), 1e-12);
  EXPECT_EQ(found.model.tokens, std::ssize(divergences));
  EXPECT_NEAR(found.reference.negative_log_likelihood, reference_nll / count, 1e-6);
  EXPECT_NEAR(found.model.negative_log_likelihood, nll / count, 1e-6);
  EXPECT_NEAR(found.log_perplexity_ratio, (nll - reference_nll) / count, 1e-6);
  EXPECT_GT(found.log_perplexity_ratio_error, 0);

  const PerplexityResult alone = perplexity(model_, tokenizer_, text_, {.context = kContext});
  EXPECT_NEAR(found.model.perplexity, alone.perplexity, 1e-5 * alone.perplexity);
  EXPECT_NEAR(found.model.standard_error, alone.standard_error, 1e-5 * alone.perplexity);
}

TEST_F(DivergenceTest, OfAModelFromItselfIsNothing) {
  const DivergenceResult found = divergence(reference_, reference_, tokenizer_, text_, {.context = 16});
  EXPECT_EQ(found.maximum, 0);
  EXPECT_EQ(found.same_top, 1);
  EXPECT_EQ(found.log_perplexity_ratio, 0);
}

TEST_F(DivergenceTest, OfACacheIsThatOfItsRounding) {
  const DivergenceResult found =
      divergence(reference_, reference_, tokenizer_, text_, {.context = 16, .value_type = KvType::bf16});
  EXPECT_GT(found.mean, 0);
  EXPECT_LT(found.mean, 1e-3);
}

// Differences far below float32's rounding of the sums themselves.
TEST(RowDivergence, KeepsSmallDifferences) {
  std::vector<float> p(5000), q;
  for (std::size_t i = 0; i < p.size(); ++i) p[i] = std::sin(static_cast<float>(i)) * 8;
  q = p;
  q[77] = std::nextafter(p[77], 100.0f);
  const RowDivergence found = row_divergence(p.data(), q.data(), 5000, 3);
  EXPECT_GE(found.divergence, 0);
  EXPECT_LT(found.divergence, 1e-13);
  EXPECT_TRUE(found.same_top);
  EXPECT_NEAR(found.nll, found.reference_nll, 1e-9);
}

}  // namespace
}  // namespace powerhouse
