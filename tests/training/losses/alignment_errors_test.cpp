// Degenerate input of DPO, ORPO, KTO, CPO and the reward model's loss: a documented value or an Error, never NaN.
#include <limits>

#include "expect_error.h"
#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

CompletionLogProbs completions(std::vector<std::vector<double>> tokens) {
  CompletionLogProbs result;
  std::vector<double> all;
  for (const auto& completion : tokens) {
    all.insert(all.end(), completion.begin(), completion.end());
    result.cu_seqlens.push_back(static_cast<std::int64_t>(all.size()));
  }
  result.token_log_probs = tensor(all).set_requires_grad(true);
  return result;
}

PairSums zeros(std::int64_t pairs) {
  return {tensor(std::vector<double>(pairs, 0)), tensor(std::vector<double>(pairs, 0))};
}

const DpoLossType kAll[] = {DpoLossType::sigmoid,      DpoLossType::hinge,     DpoLossType::ipo,
                            DpoLossType::exo_pair,     DpoLossType::nca_pair,  DpoLossType::robust,
                            DpoLossType::bco_pair,     DpoLossType::sppo_hard, DpoLossType::aot,
                            DpoLossType::aot_unpaired, DpoLossType::apo_zero,  DpoLossType::apo_down,
                            DpoLossType::discopop,     DpoLossType::sft,       DpoLossType::sigmoid_norm,
                            DpoLossType::ipo_sum,      DpoLossType::cdpo};

void expect_finite(const LossResult& result, const PairLogProbs& pairs, std::string_view what) {
  EXPECT_TRUE(std::isfinite(result.loss.item<double>())) << what;
  for (const auto& [name, value] : result.metrics) EXPECT_TRUE(std::isfinite(value)) << what << " " << name;
  if (!result.loss.requires_grad()) return;
  result.loss.backward();
  for (const CompletionLogProbs* side : {&pairs.chosen, &pairs.rejected}) {
    const at::Tensor gradient = side->token_log_probs.grad();
    if (!gradient.defined()) continue;
    EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << what;
  }
}

TEST(DpoDegenerate, IdenticalPairsHaveTheLossOfNoDifference) {
  const PairLogProbs pairs{completions({{-1, -2}, {-3}}), completions({{-1, -2}, {-3}})};
  const PairSums reference{tensor({-3, -3}), tensor({-3, -3})};
  const std::map<DpoLossType, double> expected{{DpoLossType::sigmoid, std::log(2)},
                                               {DpoLossType::hinge, 1},
                                               {DpoLossType::ipo, 25},
                                               {DpoLossType::apo_zero, 1},
                                               {DpoLossType::apo_down, 1},
                                               {DpoLossType::sppo_hard, 50},
                                               {DpoLossType::nca_pair, 2 * std::log(2)}};
  for (const DpoLossType type : kAll) {
    const LossResult result = dpo_loss(pairs, reference, {.loss_type = {type}, .label_smoothing = 0.1});
    expect_finite(result, pairs, to_string(type));
    EXPECT_EQ(metric(result.metrics, "rewards/accuracies"), 0);
    if (!expected.contains(type)) continue;
    EXPECT_NEAR(result.loss.item<double>(), expected.at(type), 1e-12) << to_string(type);
  }
}

TEST(DpoDegenerate, EmptyCompletionsHaveNoLogRatio) {
  const PairLogProbs pairs{completions({{}}), completions({{}})};
  for (const DpoLossType type : kAll) {
    const DpoOptions options{.loss_type = {type}, .label_smoothing = 0.1};
    if (type == DpoLossType::sft) {
      expect_error(ErrorKind::numeric, "chosen", [&] { dpo_loss(pairs, zeros(1), options); });
    } else {
      expect_finite(dpo_loss(pairs, zeros(1), options), pairs, to_string(type));
    }
  }
}

TEST(DpoDegenerate, LogProbabilitiesThatAreNoNumbersAreNamed) {
  for (const double bad : {-kInfinity, kInfinity, std::nan("")}) {
    const PairLogProbs pairs{completions({{-1}, {-2, bad}}), completions({{-1}, {-2}})};
    const PairLogProbs rejected{completions({{-1}, {-2}}), completions({{bad}, {-2}})};
    for (const DpoLossType type : kAll) {
      const DpoOptions options{.loss_type = {type}, .label_smoothing = 0.1};
      expect_error(ErrorKind::numeric, "policy.chosen[1]", [&] { dpo_loss(pairs, zeros(2), options); });
      expect_error(ErrorKind::numeric, "policy.rejected[0]", [&] { dpo_loss(rejected, zeros(2), options); });
    }
  }
  const PairLogProbs pairs{completions({{-1}}), completions({{-1}})};
  expect_error(ErrorKind::numeric, "reference.rejected[0]", [&] {
    dpo_loss(pairs, {tensor({-1}), tensor({-kInfinity})});
  });
}

// e^-Δ alone is infinite here.
TEST(DpoDegenerate, ImprobableChosenCompletionsHaveAFiniteDiscopop) {
  const PairLogProbs pairs{completions({{-2e4}}), completions({{-1}})};
  const LossResult result = dpo_loss(pairs, zeros(1), {.loss_type = {DpoLossType::discopop}});
  EXPECT_NEAR(result.loss.item<double>(), 1999.9, 1e-6);
  expect_finite(result, pairs, "discopop");
}

// Where the rejected completion's score is infinite, the loss would be 0 and its gradient NaN.
TEST(DpoDegenerate, InfiniteScoresAreNamed) {
  const PairLogProbs chosen{completions({{-2e4}}), completions({{-1}})}, rejected{chosen.rejected, chosen.chosen};
  for (const DpoLossType type : {DpoLossType::sigmoid, DpoLossType::hinge}) {
    const DpoOptions options{.loss_type = {type}, .f_divergence_type = FDivergence::forward_kl};
    expect_error(ErrorKind::numeric, "scores.chosen[0]", [&] { dpo_loss(chosen, zeros(1), options); });
    expect_error(ErrorKind::numeric, "scores.rejected[0]", [&] { dpo_loss(rejected, zeros(1), options); });
  }
}

TEST(DpoOptionsChecked, SayWhatIsWrong) {
  const auto refused = [](ErrorKind kind, std::string_view mentions, const DpoOptions& options) {
    expect_error(kind, mentions, [&] { check(options); });
  };
  refused(ErrorKind::range, "beta", {.beta = 0});
  refused(ErrorKind::range, "beta", {.beta = std::nan("")});
  refused(ErrorKind::range, "label_smoothing", {.label_smoothing = 1.5});
  refused(ErrorKind::range, "label_smoothing", {.loss_type = {DpoLossType::exo_pair}});
  refused(ErrorKind::range, "label_smoothing", {.loss_type = {DpoLossType::robust}, .label_smoothing = 0.5});
  refused(ErrorKind::range, "ld_alpha", {.ld_alpha = 1.1});
  refused(ErrorKind::range, "discopop_tau", {.discopop_tau = 0});
  refused(ErrorKind::usage, "loss_type", {.loss_type = {}});
  refused(ErrorKind::usage, "loss_weights", {.loss_weights = {1, 2}});
  refused(ErrorKind::usage, "apo_zero",
          {.loss_type = {DpoLossType::apo_zero}, .f_divergence_type = FDivergence::js_divergence});
  for (const DpoLossType type : {DpoLossType::aot, DpoLossType::aot_unpaired, DpoLossType::sft}) {
    refused(ErrorKind::usage, to_string(type), {.loss_type = {type}, .use_weighting = true});
  }
  expect_error(ErrorKind::usage, "sigmoid_norm", [] { parse_dpo_loss_type("dpo"); });
  const PairLogProbs pairs{completions({{-1}}), completions({{-1}})};
  expect_error(ErrorKind::usage, "log_sum_sq_probs", [&] { dpo_loss(pairs, zeros(1), {.use_weighting = true}); });
  expect_error(ErrorKind::usage, "reference.chosen", [&] { dpo_loss(pairs, zeros(2)); });
  expect_error(ErrorKind::usage, "rejected", [&] { dpo_loss({pairs.chosen, completions({{-1}, {-1}})}, zeros(1)); });
  expect_error(ErrorKind::usage, "rejected", [&] { dpo_loss({completions({}), completions({})}, zeros(0)); });
}

TEST(OrpoDegenerate, CertainCompletionsHaveFiniteOdds) {
  const PairLogProbs pairs{completions({{0, 0}, {-1}}), completions({{-1}, {0}})};
  const LossResult result = orpo_loss(pairs, tensor({-0.5}));
  expect_finite(result, pairs, "orpo");
  EXPECT_NEAR(metric(result.metrics, "logps/chosen"), -0.5, 1e-12);

  const PairLogProbs nearly{completions({{-1e-12}}), completions({{-1}})};
  EXPECT_NEAR(metric(orpo_loss(nearly, tensor({-0.5})).metrics, "log_odds_chosen"),
              -std::log(1e-12) + 1 + std::log(1 - std::exp(-1)), 1e-9);
}

TEST(OrpoDegenerate, WhatHasNoOddsIsNamed) {
  const PairLogProbs empty{completions({{-1}, {}}), completions({{-1}, {-1}})};
  expect_error(ErrorKind::numeric, "policy.chosen[1]", [&] { orpo_loss(empty, tensor({-0.5})); });
  const PairLogProbs impossible{completions({{-1}}), completions({{-kInfinity}})};
  expect_error(ErrorKind::numeric, "policy.rejected[0]", [&] { orpo_loss(impossible, tensor({-0.5})); });
  const PairLogProbs pairs{completions({{-1}}), completions({{-1}})};
  expect_error(ErrorKind::usage, "prompt_log_probs", [&] { orpo_loss(pairs, {}); });
  expect_error(ErrorKind::numeric, "orpo_loss", [&] { orpo_loss(pairs, tensor({-kInfinity})); });
  expect_error(ErrorKind::range, "beta", [&] { orpo_loss(pairs, tensor({-1}), {.beta = -1}); });
  expect_finite(orpo_loss(pairs, {}, {.beta = 0, .nll = OrpoNll::completion}), pairs, "beta 0");
}

TEST(KtoDegenerate, OneLabelAloneHasItsOwnMetricsOnly) {
  const CompletionLogProbs policy = completions({{-1, -1}, {}});
  const LossResult result = kto_loss(policy, tensor({-1, 0}), {true, true}, tensor({0.5}));
  std::set<std::string> names;
  for (const auto& [name, value] : result.metrics) names.insert(name);
  EXPECT_EQ(names, (std::set<std::string>{"kl", "rewards/chosen", "logps/chosen"}));
  const auto loss = [](double u) { return 1 - 1 / (1 + std::exp(-0.1 * (u - 0.5))); };
  EXPECT_NEAR(result.loss.item<double>(), (loss(-1) + loss(0)) / 2, 1e-12);
}

TEST(KtoDegenerate, ImpossibleInputIsNamed) {
  const CompletionLogProbs policy = completions({{-1}, {-2}});
  const at::Tensor kl = tensor({0.5}).squeeze(), sums_of = tensor({-1, -1});
  EXPECT_NO_THROW(kto_loss(policy, sums_of, {true, false}, kl));
  expect_error(ErrorKind::numeric, "completion 1", [&] {
    kto_loss(policy, tensor({-1, -kInfinity}), {true, false}, kl);
  });
  expect_error(ErrorKind::numeric, "log-ratio", [&] {
    kto_loss(policy, tensor({std::nan(""), std::nan("")}), {true, false}, kl);
  });
  expect_error(ErrorKind::numeric, "kl", [&] { kto_loss(policy, sums_of, {true, false}, tensor({std::nan("")})); });
  expect_error(ErrorKind::numeric, "mismatched", [&] { kto_kl(tensor({-kInfinity}), tensor({-1})); });
  expect_error(ErrorKind::usage, "policy_sums",
               [&] { kto_kl(tensor(std::vector<double>{}), tensor(std::vector<double>{})); });
  expect_error(ErrorKind::usage, "kl", [&] { kto_loss(policy, sums_of, {true, false}, {}); });
  expect_error(ErrorKind::usage, "desirable", [&] { kto_loss(policy, sums_of, {true}, kl); });
  expect_error(ErrorKind::usage, "desirable",
               [&] { kto_loss(completions({}), tensor(std::vector<double>{}), {}, kl); });
  expect_error(ErrorKind::usage, "reference_sums", [&] { kto_loss(policy, tensor({-1}), {true, false}, kl); });
  expect_error(ErrorKind::range, "desirable_weight", [&] {
    kto_loss(policy, sums_of, {true, false}, kl, {.desirable_weight = -1});
  });
  expect_error(ErrorKind::usage, "kto", [] { parse_kto_loss_type("bco"); });
}

TEST(CpoDegenerate, MeansNeedTokens) {
  const PairLogProbs empty{completions({{-1}, {}}), completions({{-1}, {-1}})};
  for (const CpoLossType type : {CpoLossType::ipo, CpoLossType::simpo}) {
    expect_error(ErrorKind::numeric, "policy.chosen[1]", [&] { cpo_loss(empty, {.loss_type = type}); });
  }
  expect_finite(cpo_loss(empty), empty, "sigmoid");
  const PairLogProbs nothing{completions({{}}), completions({{-1}})};
  expect_error(ErrorKind::numeric, "chosen", [&] { cpo_loss(nothing); });
  expect_finite(cpo_loss(nothing, {.cpo_alpha = 0}), nothing, "without NLL");
  for (const CpoLossType type : {CpoLossType::sigmoid, CpoLossType::hinge}) {
    expect_error(ErrorKind::numeric, "rewards.rejected[0]", [&] {
      cpo_loss({completions({{-1}}), completions({{-1e4}})}, {.loss_type = type, .alpha = 1});
    });
  }
  CpoOptions options;
  expect_error(ErrorKind::usage, "simpo", [&] { set_cpo_loss_type(options, "orpo"); });
  set_cpo_loss_type(options, "alphapo");
  EXPECT_EQ(to_string(options.loss_type), "simpo");
  EXPECT_EQ(options.cpo_alpha, 0);
}

TEST(RewardDegenerate, RewardsThatAreNoNumbersAreNamed) {
  for (const double bad : {kInfinity, std::nan("")}) {
    expect_error(ErrorKind::numeric, "chosen[1]", [&] { reward_loss(tensor({1, bad}), tensor({1, 2}), {}); });
    expect_error(ErrorKind::numeric, "rejected[0]", [&] { reward_loss(tensor({1, 2}), tensor({bad, 2}), {}); });
    expect_error(ErrorKind::numeric, "margin[0]", [&] { reward_loss(tensor({1}), tensor({2}), tensor({bad})); });
  }
  expect_error(ErrorKind::usage, "no pairs",
               [] { reward_loss(tensor(std::vector<double>{}), tensor(std::vector<double>{}), {}); });
  expect_error(ErrorKind::usage, "rejected", [] { reward_loss(tensor({1}), tensor({1, 2}), {}); });
  expect_error(ErrorKind::usage, "chosen", [] { reward_loss({}, tensor({1, 2}), {}); });
  expect_error(ErrorKind::range, "center_rewards_coefficient",
               [] { reward_loss(tensor({1}), tensor({2}), {}, {.center_rewards_coefficient = -1}); });
  const LossResult equal = reward_loss(tensor({3, 3}), tensor({3, 3}), {});
  EXPECT_NEAR(equal.loss.item<double>(), std::log(2), 1e-12);
  EXPECT_EQ(metric(equal.metrics, "accuracy"), 0);
}

}  // namespace
}  // namespace powerhouse::testing
