// Teachers that are known in part, against TRL (tests/oracles/losses/distillation.py): top-k tokens with the rest as
// one outcome, and other vocabularies.
#include "expect_error.h"
#include "powerhouse/distillation_losses.h"
#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

std::vector<LossCase> partial_cases(bool top) {
  std::vector<LossCase> result;
  for (LossCase& test : loss_cases("distillation_partial.json")) {
    if ((test.test.get("k") != nullptr) == top) result.push_back(std::move(test));
  }
  return result;
}

DistillOptions partial_options(const Json& test) {
  DistillOptions options;
  OptionReader reader(test);
  reader.set(options.beta, "beta");
  reader.set(options.temperature, "temperature");
  return options;
}

class TopTokensCases : public ::testing::TestWithParam<LossCase> {};

TEST_P(TopTokensCases, AreTrls) {
  const LossCase& test = GetParam();
  const DistillOptions options = partial_options(test.test);
  const at::Tensor student = leaf(test.inputs.at("student")), teacher = json_tensor(test.inputs.at("teacher"));
  const TopTokens top = top_tokens(teacher.view({6, -1}), test.test.at("k").as_integer(), options.temperature);
  const LossResult result =
      top_token_distillation_loss(student.view({6, -1}), top, options, test.test.at("items").as_integer());
  expect_loss(result, test.test);
  result.loss.backward();
  expect_gradient(student, test.test.at("gradients"), "gradient");
}

INSTANTIATE_TEST_SUITE_P(, TopTokensCases, ::testing::ValuesIn(partial_cases(true)), case_name);

TEST(TopTokens, OfTheWholeVocabularyAreTheDistribution) {
  const LossCase test = partial_cases(true).at(0);
  const at::Tensor student = json_tensor(test.inputs.at("student")).view({6, -1});
  const at::Tensor teacher = json_tensor(test.inputs.at("teacher")).view({6, -1});
  double last = 0;
  for (const double beta : {0.0, 0.3, 1.0}) {
    const DistillOptions options{.beta = beta, .temperature = 1.5};
    last = 0;
    for (std::int64_t k = 1; k <= 13; ++k) {  // merging outcomes never makes a divergence larger
      const double loss =
          top_token_distillation_loss(student, top_tokens(teacher, k, 1.5), options).loss.item<double>();
      EXPECT_GE(loss, last - 1e-12) << k;
      last = loss;
    }
    EXPECT_NEAR(last, distillation_loss(student, teacher, options).loss.item<double>(), 1e-12);
  }
}

TEST(TopTokens, RefuseWhatIsNone) {
  const at::Tensor logits = json_tensor(partial_cases(true).at(0).inputs.at("student")).view({6, -1});
  expect_error(ErrorKind::range, "1 to the vocabulary", [&] { top_tokens(logits, 0); });
  expect_error(ErrorKind::range, "1 to the vocabulary", [&] { top_tokens(logits, 14); });
  TopTokens top = top_tokens(logits, 4);
  top.ids = top.ids.add(10);
  expect_error(ErrorKind::range, "outside", [&] { top_token_distillation_loss(logits, top); });
  top.ids = top.ids.narrow(1, 0, 2);
  expect_error(ErrorKind::usage, "teacher.ids", [&] { top_token_distillation_loss(logits, top); });
}

class UniversalCases : public ::testing::TestWithParam<LossCase> {};

// One side's spans: the last row's logits, and the probability of the tokens before.
struct Side {
  at::Tensor logits, factors;

  Side(const at::Tensor& all, const Json& ids, const Json& spans, std::size_t side, double temperature) {
    const at::Tensor log_probs = all.div(temperature).log_softmax(-1);
    std::vector<at::Tensor> rows, products;
    for (const Json& span : spans.as_array()) {
      const Json::Array& targets = span.as_array()[side].as_array();
      at::Tensor product = all.new_zeros({1});
      for (std::size_t i = 0; i + 1 < targets.size(); ++i) {
        const std::int64_t row = targets[i].as_integer();
        const std::int64_t id = ids.as_array()[static_cast<std::size_t>(row)].as_integer();
        product = product.add(log_probs.select(0, row).select(0, id));
      }
      products.push_back(product.exp());
      rows.push_back(all.narrow(0, targets.back().as_integer(), 1));
    }
    logits = concatenate(rows, 0);
    factors = concatenate(products, 0);
  }
};

TEST_P(UniversalCases, AreTrls) {
  const LossCase& test = GetParam();
  const DistillOptions options = partial_options(test.test);
  const at::Tensor student = leaf(test.inputs.at("student"));
  const Json& spans = test.test.at("spans");
  const Side ours(student.view({6, -1}), test.test.at("ids"), spans, 0, options.temperature);
  const Side theirs(json_tensor(test.test.at("other")).view({7, -1}), test.test.at("other_ids"), spans, 1,
                    options.temperature);
  const LossResult result = universal_logit_loss(ours.logits, ours.factors, theirs.logits, theirs.factors, options);
  expect_loss(result, test.test);
  result.loss.backward();
  expect_gradient(student, test.test.at("gradients"), "gradient");
}

INSTANTIATE_TEST_SUITE_P(, UniversalCases, ::testing::ValuesIn(partial_cases(false)), case_name);

TEST(UniversalLogits, EqualDistributionsInAnotherOrderAreNoLoss) {
  const at::Tensor logits = json_tensor(partial_cases(false).at(0).inputs.at("student")).view({6, -1});
  const at::Tensor turned = logits.flip({1});
  EXPECT_NEAR(universal_logit_loss(logits, {}, turned, {}).loss.item<double>(), 0, 1e-15);
  expect_error(ErrorKind::usage, "rows", [&] { universal_logit_loss(logits, {}, turned.narrow(0, 0, 5), {}); });
}

}  // namespace
}  // namespace powerhouse::testing
