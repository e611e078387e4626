// ORPO, CPO and the reward model's loss against trl (tests/oracles/losses/pairs.py).
#include "powerhouse/preference_losses.h"
#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

PairLogProbs pairs_of(const LossCase& test, const at::Tensor& log_probs) {
  return split_pairs({.token_log_probs = log_probs, .cu_seqlens = offsets(test.inputs.at("counts"))});
}

class OrpoLosses : public ::testing::TestWithParam<LossCase> {};

TEST_P(OrpoLosses, AreTrls) {
  const LossCase& test = GetParam();
  OrpoOptions options;
  {
    OptionReader reader(test.test);
    reader.set(options.beta, "beta");
    if (const Json* nll = reader.find("nll")) options.nll = parse_orpo_nll(nll->as_string());
  }
  const at::Tensor log_probs = leaf(test.inputs.at("policy")), prompt = leaf(test.inputs.at("prompt"));
  const bool with_prompt = options.nll == OrpoNll::prompt_and_completion;
  const LossResult result = orpo_loss(pairs_of(test, log_probs), with_prompt ? prompt : at::Tensor(), options);
  expect_loss(result, test.test);
  expect_metrics(result.metrics, test.test.at("metrics"));
  result.loss.backward();
  expect_gradient(log_probs, test.test.at("gradients"), "gradient");
  if (with_prompt) expect_gradient(prompt, test.test.at("prompt_gradients"), "gradient of the prompt");
}

INSTANTIATE_TEST_SUITE_P(, OrpoLosses, ::testing::ValuesIn(loss_cases("pairs.json", "orpo")), case_name);

class CpoLosses : public ::testing::TestWithParam<LossCase> {};

TEST_P(CpoLosses, AreTrls) {
  const LossCase& test = GetParam();
  CpoOptions options;
  {
    OptionReader reader(test.test);
    reader.set(options.beta, "beta");
    reader.set(options.label_smoothing, "label_smoothing");
    reader.set(options.cpo_alpha, "cpo_alpha");
    reader.set(options.simpo_gamma, "simpo_gamma");
    reader.set(options.alpha, "alpha");
    if (const Json* nll = reader.find("nll")) options.nll = parse_cpo_nll(nll->as_string());
    if (const Json* type = reader.find("loss_type")) set_cpo_loss_type(options, type->as_string());
  }
  const at::Tensor log_probs = leaf(test.inputs.at("policy"));
  const LossResult result = cpo_loss(pairs_of(test, log_probs), options);
  expect_loss(result, test.test);
  expect_metrics(result.metrics, test.test.at("metrics"));
  result.loss.backward();
  expect_gradient(log_probs, test.test.at("gradients"), "gradient");
}

INSTANTIATE_TEST_SUITE_P(, CpoLosses, ::testing::ValuesIn(loss_cases("pairs.json", "cpo")), case_name);

class RewardLosses : public ::testing::TestWithParam<LossCase> {};

TEST_P(RewardLosses, AreTrls) {
  const LossCase& test = GetParam();
  RewardOptions options;
  {
    OptionReader reader(test.test);
    reader.set(options.center_rewards_coefficient, "center_rewards_coefficient");
  }
  const at::Tensor scores = leaf(test.test.at("scores")), margin = json_tensor(test.test.at("margin"));
  const std::int64_t pairs = scores.size(0) / 2;
  const LossResult result = reward_loss(scores.narrow(0, 0, pairs), scores.narrow(0, pairs, pairs),
                                        margin.size(0) > 0 ? margin : at::Tensor(), options);
  expect_loss(result, test.test);
  expect_metrics(result.metrics, test.test.at("metrics"));
  result.loss.backward();
  expect_gradient(scores, test.test.at("gradients"), "gradient");
}

INSTANTIATE_TEST_SUITE_P(, RewardLosses, ::testing::ValuesIn(loss_cases("pairs.json", "reward")), case_name);

TEST(PreferenceNames, GoBothWays) {
  for (const char* name : {"prompt_and_completion", "completion"}) EXPECT_EQ(to_string(parse_orpo_nll(name)), name);
  for (const char* name : {"token_mean", "sequence_sum"}) EXPECT_EQ(to_string(parse_cpo_nll(name)), name);
  for (const char* name : {"kto", "apo_zero_unpaired"}) EXPECT_EQ(to_string(parse_kto_loss_type(name)), name);
  for (const char* name : {"sigmoid", "hinge", "ipo", "simpo"}) {
    CpoOptions options;
    set_cpo_loss_type(options, name);
    EXPECT_EQ(to_string(options.loss_type), name);
    EXPECT_EQ(options.cpo_alpha, 1);
  }
}

}  // namespace
}  // namespace powerhouse::testing
