// PPO against TRL 0.24's lines, and against its papers step by step (tests/oracles/losses/ppo.py).
#include "powerhouse/ppo_loss.h"

#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

PpoOptions ppo_options(const Json& test) {
  OptionReader reader(test);
  PpoOptions options;
  if (const Json* estimator = reader.find("kl_estimator")) {
    options.kl_estimator = parse_kl_estimator(estimator->as_string());
  }
  reader.set(options.kl_coef, "kl_coef");
  reader.set(options.gamma, "gamma");
  reader.set(options.lam, "lam");
  reader.set(options.cliprange, "cliprange");
  reader.set(options.cliprange_value, "cliprange_value");
  reader.set(options.vf_coef, "vf_coef");
  reader.set(options.entropy_coef, "entropy_coef");
  reader.set(options.whiten_rewards, "whiten_rewards");
  reader.set(options.whiten_advantages, "whiten_advantages");
  reader.set(options.missing_eos_penalty, "missing_eos_penalty");
  return options;
}

at::Tensor mask_of(const Json& flags) {
  if (flags.as_array().empty()) return {};
  std::vector<double> values;
  for (const Json& flag : flags.as_array()) values.push_back(flag.as_bool() ? 1 : 0);
  return tensor(values).to(at::kBool);
}

class Ppo : public ::testing::TestWithParam<LossCase> {};

TEST_P(Ppo, HasTheReferencesNumbers) {
  const Json& test = GetParam().test;
  const PpoOptions options = ppo_options(test);
  PpoRollout rollout{.cu_seqlens = offsets(test.at("counts")),
                     .log_probs = json_tensor(test.at("log_probs")),
                     .ref_log_probs = json_tensor(test.at("ref_log_probs")),
                     .values = json_tensor(test.at("values")),
                     .scores = json_tensor(test.at("scores")),
                     .is_action = mask_of(test.at("is_action"))};
  for (const Json& ended : test.at("ended").as_array()) rollout.ended.push_back(ended.as_bool());
  const PpoTargets targets = ppo_targets(rollout, options);
  expect_close(targets.rewards, test.at("rewards"), "rewards");
  expect_close(targets.advantages, test.at("advantages"), "advantages");
  expect_close(targets.returns, test.at("returns"), "returns");

  const at::Tensor log_probs = leaf(test.at("new_log_probs")), values = leaf(test.at("new_values"));
  PpoBatch batch{.old_log_probs = rollout.log_probs,
                 .old_values = rollout.values,
                 .advantages = targets.advantages,
                 .returns = targets.returns,
                 .is_action = rollout.is_action};
  if (test.get("entropy") != nullptr) batch.entropy = leaf(test.at("entropy"));
  const LossResult result = ppo_loss(log_probs, values, batch, options);
  expect_loss(result, test);
  Metrics metrics = targets.metrics;
  metrics.insert(metrics.end(), result.metrics.begin(), result.metrics.end());
  // TRL's objective/entropy counts padding as a log-probability of 1, its approxkl and ratio are means with padding;
  // clipping of the value is not in the paper's cases.
  expect_metrics(metrics, test.at("metrics"),
                 {"objective/entropy", "policy/approxkl_avg", "val/ratio", "val/clipfrac_avg"});
  result.loss.backward();
  expect_gradient(log_probs, test.at("gradients"), "gradient");
  expect_gradient(values, test.at("value_gradients"), "gradient of values");
  if (options.entropy_coef != 0) {
    expect_gradient(batch.entropy, test.at("entropy_gradients"), "gradient of entropy");
  }
}

INSTANTIATE_TEST_SUITE_P(, Ppo, ::testing::ValuesIn(loss_cases("ppo.json")), case_name);

TEST(PpoParts, KlEstimatesAgreeInTheMean) {
  // Over all outcomes of a distribution, weighted by it, k1 and k3 are the divergence itself.
  const at::Tensor p = tensor({0.5, 0.3, 0.15, 0.05}), q = tensor({0.4, 0.3, 0.2, 0.1});
  const double exact = p.mul(p.div(q).log()).sum().item<double>();
  for (const KlEstimator estimator : {KlEstimator::k1, KlEstimator::k3}) {
    EXPECT_NEAR(p.mul(kl_estimate(p.log(), q.log(), estimator)).sum().item<double>(), exact, 1e-12);
  }
  EXPECT_EQ(kl_estimate(p.log(), p.log()).abs().max().item<double>(), 0);
}

TEST(PpoParts, WhitenIgnoresWhatTheMaskDoes) {
  const at::Tensor mask = tensor({1, 0, 1, 1}).to(at::kBool);
  const at::Tensor found = masked_whiten(tensor({1, std::nan(""), 2, 6}), mask);
  const double deviation = std::sqrt(7.0 + 1e-8);
  expect_close(found, std::vector{-2 / deviation, 0.0, -1 / deviation, 3 / deviation}, "whitened");
  expect_close(masked_whiten(tensor({5, 7}), tensor({1, 0}).to(at::kBool)), std::vector{0.0, 0.0}, "one number");
  expect_close(masked_whiten(tensor({5, 7}), tensor({0, 0}).to(at::kBool)), std::vector{0.0, 0.0}, "none");
}

}  // namespace
}  // namespace powerhouse::testing
