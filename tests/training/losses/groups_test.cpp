// GRPO and RLOO against trl's trainers (tests/oracles/losses/groups.py).
#include "powerhouse/policy_losses.h"
#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

GrpoOptions grpo_options(const Json& test) {
  OptionReader reader(test);
  GrpoOptions options;
  if (const Json* type = reader.find("loss_type")) options.loss_type = parse_grpo_loss_type(type->as_string());
  if (const Json* level = reader.find("importance_sampling_level")) {
    options.importance_sampling_level = parse_importance_sampling(level->as_string());
  }
  if (const Json* scale = reader.find("scale_rewards")) options.scale_rewards = parse_scale_rewards(scale->as_string());
  if (const Json* order = reader.find("multi_objective_aggregation")) {
    options.multi_objective_aggregation = parse_reward_aggregation(order->as_string());
  }
  reader.set(options.beta, "beta");
  reader.set(options.use_bias_correction_kl, "use_bias_correction_kl");
  reader.set(options.epsilon, "epsilon");
  reader.set(options.epsilon_high, "epsilon_high");
  reader.set(options.delta, "delta");
  reader.set(options.max_completion_length, "max_completion_length");
  reader.set(options.top_entropy_quantile, "top_entropy_quantile");
  reader.set(options.entropy_coef, "entropy_coef");
  reader.set(options.off_policy_mask_threshold, "off_policy_mask_threshold");
  reader.set(options.reward_weights, "reward_weights");
  return options;
}

RlooOptions rloo_options(const Json& test) {
  OptionReader reader(test);
  RlooOptions options;
  if (const Json* objective = reader.find("objective"))
    options.objective = parse_rloo_objective(objective->as_string());
  reader.set(options.beta, "beta");
  reader.set(options.epsilon, "epsilon");
  reader.set(options.epsilon_high, "epsilon_high");
  reader.set(options.normalize_advantages, "normalize_advantages");
  reader.set(options.reward_weights, "reward_weights");
  if (const Json* range = reader.find("reward_clip_range")) {
    options.reward_clip_range = {range->as_array()[0].as_double(), range->as_array()[1].as_double()};
  }
  return options;
}

CompletionLogProbs policy_of(const LossCase& test, const at::Tensor& log_probs, const at::Tensor& entropy) {
  return {.token_log_probs = log_probs, .cu_seqlens = offsets(test.inputs.at("counts")), .entropy = entropy};
}

class GrpoLosses : public ::testing::TestWithParam<LossCase> {};

TEST_P(GrpoLosses, AreTrls) {
  const LossCase& test = GetParam();
  const GrpoOptions options = grpo_options(test.test);
  const at::Tensor log_probs = leaf(test.inputs.at("policy")), entropy = leaf(test.inputs.at("entropy"));
  GrpoBatch batch{.advantages = json_tensor(test.inputs.at("advantages")),
                  .num_items_in_batch = test.test.at("items").as_integer(),
                  .accumulation_steps = test.test.at("steps").as_integer()};
  if (test.test.at("old").as_bool()) batch.old_log_probs = json_tensor(test.inputs.at("old"));
  if (options.beta != 0) batch.ref_log_probs = json_tensor(test.inputs.at("reference"));
  if (test.test.at("sampled").as_bool())
    batch.importance_sampling_ratio = json_tensor(test.inputs.at("sampling_ratio"));
  const LossResult result = grpo_loss(policy_of(test, log_probs, entropy), batch, options);
  expect_loss(result, test.test);
  expect_metrics(result.metrics, test.test.at("metrics"));
  result.loss.backward();
  expect_gradient(log_probs, test.test.at("gradients"), "gradient");
  if (options.entropy_coef != 0) expect_gradient(entropy, test.test.at("entropy_gradients"), "gradient of entropy");
}

INSTANTIATE_TEST_SUITE_P(, GrpoLosses, ::testing::ValuesIn(loss_cases("groups.json", "grpo")), case_name);

class RlooLosses : public ::testing::TestWithParam<LossCase> {};

TEST_P(RlooLosses, AreTrls) {
  const LossCase& test = GetParam();
  const at::Tensor log_probs = leaf(test.inputs.at("policy"));
  const CompletionLogProbs policy = policy_of(test, log_probs, json_tensor(test.inputs.at("entropy")));
  const LossResult result = rloo_loss(policy, json_tensor(test.test.at("old_sums")),
                                      json_tensor(test.inputs.at("advantages")), rloo_options(test.test));
  expect_loss(result, test.test);
  expect_metrics(result.metrics, test.test.at("metrics"));
  result.loss.backward();
  expect_gradient(log_probs, test.test.at("gradients"), "gradient");
}

INSTANTIATE_TEST_SUITE_P(, RlooLosses, ::testing::ValuesIn(loss_cases("groups.json", "rloo")), case_name);

at::Tensor rewards_of(const Json& rows) {
  std::vector<double> values;
  for (const Json& row : rows.as_array()) {
    for (const double value : doubles(row)) values.push_back(value);
  }
  return tensor(values).view({static_cast<std::int64_t>(rows.as_array().size()), -1});
}

class GroupAdvantages : public ::testing::TestWithParam<LossCase> {};

TEST_P(GroupAdvantages, AreTrls) {
  const Json& test = GetParam().test;
  const at::Tensor rewards = rewards_of(test.at("rewards"));
  const std::int64_t generations = test.at("num_generations").as_integer();
  const Advantages result = test.at("method").as_string() == "grpo_advantages"
                                ? grpo_advantages(rewards, generations, grpo_options(test))
                                : rloo_advantages(rewards, json_tensor(test.at("kl")), generations, rloo_options(test));
  expect_close(result.advantages, test.at("advantages"), "advantages");
  expect_metrics(result.metrics, test.at("metrics"));
}

INSTANTIATE_TEST_SUITE_P(Grpo, GroupAdvantages, ::testing::ValuesIn(loss_cases("groups.json", "grpo_advantages")),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Rloo, GroupAdvantages, ::testing::ValuesIn(loss_cases("groups.json", "rloo_advantages")),
                         case_name);

TEST(GrpoNames, AreTrls) {
  for (const char* name : {"grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"}) {
    EXPECT_EQ(to_string(parse_grpo_loss_type(name)), name);
  }
  for (const char* name : {"group", "batch", "none"}) EXPECT_EQ(to_string(parse_scale_rewards(name)), name);
  EXPECT_EQ(parse_scale_rewards("true"), ScaleRewards::group);
  EXPECT_EQ(parse_scale_rewards("false"), ScaleRewards::none);
  for (const char* name : {"token", "sequence"}) EXPECT_EQ(to_string(parse_importance_sampling(name)), name);
  for (const char* name : {"sum_then_normalize", "normalize_then_sum"}) {
    EXPECT_EQ(to_string(parse_reward_aggregation(name)), name);
  }
  for (const char* name : {"clipped", "reinforce"}) EXPECT_EQ(to_string(parse_rloo_objective(name)), name);
}

}  // namespace
}  // namespace powerhouse::testing
