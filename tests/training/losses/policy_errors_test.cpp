// Degenerate input of GRPO, RLOO, PPO and distillation: a documented value or an Error, never NaN.
#include <limits>

#include "expect_error.h"
#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

const double kNaN = std::nan("");

CompletionLogProbs two_and_none() {
  return {.token_log_probs = tensor({-1, -2}).set_requires_grad(true), .cu_seqlens = {0, 2, 2}};
}

TEST(GroupDegenerate, RewardsThatDontCountGiveNoAdvantage) {
  const at::Tensor equal = grpo_advantages(tensor({2, 2, 2, kNaN}), 2).advantages;
  expect_close(equal, std::vector<double>{0, 0, 0, 0}, "equal, and one that counts");
  expect_close(rloo_advantages(tensor({2, 1, 2, kNaN}), {}, 2, {.beta = 0}).advantages,
               std::vector<double>{1, -1, 0, 0}, "leave one out");
  const Advantages one = grpo_advantages(tensor({2}), 1);
  expect_close(one.advantages, std::vector<double>{0.0}, "batch of one");
  for (const auto& [name, value] : one.metrics) EXPECT_TRUE(std::isfinite(value)) << name;
}

TEST(GroupDegenerate, ImpossibleRewardsAreNamed) {
  expect_error(ErrorKind::numeric, "NaN", [] { grpo_advantages(tensor({kNaN, kNaN}), 2); });
  expect_error(ErrorKind::numeric, "rewards[1]", [] { grpo_advantages(tensor({0, kInfinity}), 2); });
  expect_error(ErrorKind::numeric, "NaN", [] { rloo_advantages(tensor({kNaN}), {}, 1, {.beta = 0}); });
  expect_error(ErrorKind::numeric, "rewards[0]", [] { rloo_advantages(tensor({-kInfinity}), {}, 1, {.beta = 0}); });
  expect_error(ErrorKind::numeric, "kl[1]", [] { rloo_advantages(tensor({1, 2}), tensor({0, kNaN}), 2); });
  expect_error(ErrorKind::usage, "kl", [] { rloo_advantages(tensor({1, 2}), {}, 2); });
  expect_error(ErrorKind::usage, "num_generations", [] { grpo_advantages(tensor({1, 2, 3}), 2); });
  expect_error(ErrorKind::usage, "num_generations", [] { grpo_advantages(tensor({1, 2}), 0); });
  expect_error(ErrorKind::usage, "rewards", [] { grpo_advantages(tensor(std::vector<double>{}), 1); });
  expect_error(ErrorKind::usage, "rewards", [] { grpo_advantages({}, 1); });
  expect_error(ErrorKind::range, "reward_weights", [] { grpo_advantages(tensor({1}), 1, {.reward_weights = {kNaN}}); });
  expect_error(ErrorKind::usage, "reward_weights", [] { grpo_advantages(tensor({1}), 1, {.reward_weights = {1, 2}}); });
}

TEST(GrpoDegenerate, EmptyCompletionsAddNothing) {
  for (const char* name : {"grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"}) {
    for (const ImportanceSampling level : {ImportanceSampling::token, ImportanceSampling::sequence}) {
      const GrpoOptions options{
          .loss_type = parse_grpo_loss_type(name), .importance_sampling_level = level, .beta = 0.1};
      const GrpoBatch batch{.advantages = tensor({1, -1}), .ref_log_probs = tensor({-1, -2})};
      const CompletionLogProbs policy = two_and_none();
      const LossResult result = grpo_loss(policy, batch, options);
      result.loss.backward();
      EXPECT_TRUE(policy.token_log_probs.grad().isfinite().all().item<bool>()) << name;
      for (const auto& [key, value] : result.metrics) EXPECT_TRUE(std::isfinite(value)) << name << " " << key;

      const CompletionLogProbs nothing{.token_log_probs = tensor(std::vector<double>{}), .cu_seqlens = {0, 0}};
      const GrpoBatch none{.advantages = tensor({1}), .ref_log_probs = tensor(std::vector<double>{})};
      EXPECT_EQ(grpo_loss(nothing, none, options).loss.item<double>(), 0) << name;
    }
  }
}

TEST(GrpoDegenerate, ImpossibleInputIsNamed) {
  const CompletionLogProbs policy = two_and_none();
  const at::Tensor advantages = tensor({1, -1});
  const CompletionLogProbs bad{.token_log_probs = tensor({-1, -kInfinity}), .cu_seqlens = {0, 2, 2}};
  expect_error(ErrorKind::numeric, "token_log_probs[1]", [&] { grpo_loss(bad, {.advantages = advantages}); });
  expect_error(ErrorKind::numeric, "advantages[0]", [&] { grpo_loss(policy, {.advantages = tensor({kNaN, 1})}); });
  expect_error(ErrorKind::numeric, "old_log_probs[0]", [&] {
    grpo_loss(policy, {.advantages = advantages, .old_log_probs = tensor({kNaN, 1})});
  });
  expect_error(ErrorKind::usage, "ref_log_probs", [&] { grpo_loss(policy, {.advantages = advantages}, {.beta = 1}); });
  expect_error(ErrorKind::usage, "advantages", [&] { grpo_loss(policy, {.advantages = tensor({1})}); });
  expect_error(ErrorKind::usage, "entropy",
               [&] { grpo_loss(policy, {.advantages = advantages}, {.top_entropy_quantile = 0.5}); });
  CompletionLogProbs constant = policy;
  constant.entropy = tensor({1, 1});
  expect_error(ErrorKind::usage, "gradient",
               [&] { grpo_loss(constant, {.advantages = advantages}, {.entropy_coef = 0.1}); });
  expect_error(ErrorKind::range, "num_items_in_batch",
               [&] { grpo_loss(policy, {.advantages = advantages, .num_items_in_batch = -1}); });
  expect_error(ErrorKind::range, "epsilon", [] { check(GrpoOptions{.epsilon = 1}); });
  expect_error(ErrorKind::range, "vespo_k_neg", [] { check(GrpoOptions{.vespo_k_neg = kNaN}); });
  expect_error(ErrorKind::range, "vespo_lambda_pos", [] { check(GrpoOptions{.vespo_lambda_pos = -1}); });
  expect_error(ErrorKind::range, "off_policy_mask_threshold",
               [] { check(GrpoOptions{.off_policy_mask_threshold = kNaN}); });
  expect_error(ErrorKind::range, "delta", [] { check(GrpoOptions{.delta = 0}); });
  expect_error(ErrorKind::range, "top_entropy_quantile", [] { check(GrpoOptions{.top_entropy_quantile = 2}); });
  expect_error(ErrorKind::range, "accumulation_steps",
               [&] { grpo_loss(policy, {.advantages = advantages, .accumulation_steps = 0}); });
  expect_error(ErrorKind::usage, "vespo", [] { parse_grpo_loss_type("gspo"); });
}

// 800 nats nearer to the completion than the policy that sampled it: the ratio is infinite in float64.
TEST(GrpoDegenerate, RatiosBeyondAllNumbersAreNoSilentNaN) {
  const CompletionLogProbs policy = two_and_none();
  const GrpoBatch batch{.advantages = tensor({-1, 0}), .old_log_probs = tensor({-801, -2})};
  expect_error(ErrorKind::numeric, "grpo_loss", [&] { grpo_loss(policy, batch); });
  EXPECT_TRUE(std::isfinite(grpo_loss(policy, batch, {.delta = 2}).loss.item<double>()));
}

TEST(RlooDegenerate, ImpossibleInputIsNamed) {
  const CompletionLogProbs policy = two_and_none();
  const at::Tensor sums_of = tensor({-3, 0}), advantages = tensor({1, -1});
  EXPECT_NEAR(rloo_loss(policy, sums_of, advantages).loss.item<double>(), 0, 1e-12);
  expect_error(ErrorKind::numeric, "old_sums[0]", [&] { rloo_loss(policy, tensor({kNaN, 0}), advantages); });
  expect_error(ErrorKind::numeric, "advantages[1]", [&] { rloo_loss(policy, sums_of, tensor({0, kNaN})); });
  expect_error(ErrorKind::usage, "advantages", [&] { rloo_loss(policy, sums_of, tensor({0})); });
  expect_error(ErrorKind::range, "epsilon", [] { check(RlooOptions{.epsilon = -1}); });
  expect_error(ErrorKind::range, "reward_clip_range", [] { check(RlooOptions{.reward_clip_range = {{1, 0}}}); });
}

PpoRollout rollout() {
  return {.cu_seqlens = {0, 2, 3},
          .log_probs = tensor({-1, -2, -3}),
          .ref_log_probs = tensor({-1, -2, -3}),
          .values = tensor({0, 1, 2}),
          .scores = tensor({1, 2})};
}

TEST(PpoDegenerate, ImpossibleRolloutsAreNamed) {
  EXPECT_NO_THROW(ppo_targets(rollout()));
  const auto refused = [](ErrorKind kind, std::string_view mentions, auto&& change, const PpoOptions& options = {}) {
    PpoRollout changed = rollout();
    change(changed);
    expect_error(kind, mentions, [&] { ppo_targets(changed, options); });
  };
  refused(ErrorKind::numeric, "completion 1", [](PpoRollout& r) { r.cu_seqlens = {0, 3, 3}; });
  refused(ErrorKind::numeric, "scores[1]", [](PpoRollout& r) { r.scores = tensor({1, kNaN}); });
  refused(ErrorKind::numeric, "values[0]", [](PpoRollout& r) { r.values = tensor({kInfinity, 1, 2}); });
  refused(ErrorKind::numeric, "log_probs[2]", [](PpoRollout& r) { r.log_probs = tensor({-1, -2, -kInfinity}); });
  refused(ErrorKind::numeric, "ref_log_probs[0]", [](PpoRollout& r) { r.ref_log_probs = tensor({kNaN, -2, -3}); });
  refused(ErrorKind::usage, "values", [](PpoRollout& r) { r.values = tensor({1}); });
  refused(ErrorKind::usage, "scores", [](PpoRollout& r) { r.scores = tensor({1}); });
  refused(ErrorKind::usage, "cu_seqlens", [](PpoRollout& r) { r.cu_seqlens = {0, 2, 2}; });
  refused(ErrorKind::usage, "is_action", [](PpoRollout& r) { r.is_action = tensor({1, 1, 1}); });
  refused(ErrorKind::usage, "ended", [](PpoRollout&) {}, {.missing_eos_penalty = 1});
  refused(ErrorKind::range, "lam", [](PpoRollout&) {}, {.lam = 2});
}

TEST(PpoDegenerate, ImpossibleBatchesAreNamed) {
  const at::Tensor two = tensor({-1, -2});
  const PpoBatch batch{.old_log_probs = two, .old_values = two, .advantages = two, .returns = two};
  EXPECT_NO_THROW(ppo_loss(two, two, batch));
  const auto refused = [&](ErrorKind kind, std::string_view mentions, auto&& change, const PpoOptions& options = {}) {
    PpoBatch changed = batch;
    change(changed);
    expect_error(kind, mentions, [&] { ppo_loss(two.clone().set_requires_grad(true), two, changed, options); });
  };
  refused(ErrorKind::numeric, "advantages[1]", [](PpoBatch& b) { b.advantages = tensor({1, kNaN}); });
  refused(ErrorKind::numeric, "returns[0]", [](PpoBatch& b) { b.returns = tensor({kNaN, 1}); });
  refused(ErrorKind::usage, "old_values", [](PpoBatch& b) { b.old_values = at::Tensor(); });
  refused(ErrorKind::usage, "no action", [](PpoBatch& b) { b.is_action = tensor({0, 0}).to(at::kBool); });
  refused(ErrorKind::usage, "entropy", [](PpoBatch&) {}, {.entropy_coef = 1});
  refused(ErrorKind::usage, "gradient", [&](PpoBatch& b) { b.entropy = two; }, {.entropy_coef = 1});
  refused(ErrorKind::range, "cliprange", [](PpoBatch&) {}, {.cliprange = 0});
  expect_error(ErrorKind::numeric, "log_probs[0]", [&] { ppo_loss(tensor({kNaN, 1}), two, batch); });
  expect_error(ErrorKind::usage, "k1", [] { parse_kl_estimator("k4"); });
}

TEST(DistillationDegenerate, ImpossibleInputIsNamed) {
  const at::Tensor logits = tensor({1, 2, 3, 4, 5, 6}).view({2, 3});
  EXPECT_NEAR(distillation_loss(logits, logits, {.beta = 0.5}).loss.item<double>(), 0, 1e-12);
  const at::Tensor bad = tensor({1, 2, 3, 4, 5, -kInfinity}).view({2, 3});
  for (const double beta : {0.0, 0.5, 1.0}) {
    expect_error(ErrorKind::numeric, "distillation_loss", [&] { distillation_loss(bad, bad, {.beta = beta}); });
    const LossResult none = distillation_loss(logits.narrow(0, 0, 0), logits.narrow(0, 0, 0), {.beta = beta});
    EXPECT_EQ(none.loss.item<double>(), 0);
    EXPECT_TRUE(none.metrics.empty());
  }
  expect_error(ErrorKind::usage, "vocabulary", [&] { distillation_loss(logits, logits.narrow(1, 0, 2)); });
  expect_error(ErrorKind::usage, "rows", [&] { distillation_loss(logits, logits.narrow(0, 0, 1)); });
  expect_error(ErrorKind::usage, "teacher_logits", [&] { distillation_loss(logits, {}); });
  expect_error(ErrorKind::range, "beta", [&] { distillation_loss(logits, logits, {.beta = 1.5}); });
  expect_error(ErrorKind::range, "temperature", [&] { distillation_loss(logits, logits, {.temperature = 0}); });
  expect_error(ErrorKind::usage, "hidden", [&] { hidden_state_loss(logits, logits.narrow(1, 0, 2), {}); });
  expect_error(ErrorKind::usage, "projection", [&] { hidden_state_loss(logits, logits, logits.narrow(1, 0, 2)); });
  expect_error(ErrorKind::usage, "no rows",
               [&] { hidden_state_loss(logits.narrow(0, 0, 0), logits.narrow(0, 0, 0), {}); });
  expect_error(ErrorKind::numeric, "hidden_state_loss", [&] { hidden_state_loss(bad, logits, {}); });
}

}  // namespace
}  // namespace powerhouse::testing
