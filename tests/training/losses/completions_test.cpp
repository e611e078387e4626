// Completions: from a batch's targets, from padded rows, halves, sums, and the types of numbers.
#include "powerhouse/completion_log_probs.h"

#include "expect_error.h"
#include "powerhouse/dpo_loss.h"
#include "training/losses/loss_cases.h"

namespace powerhouse::testing {
namespace {

TEST(Completions, LieWhereABatchHasTargets) {
  const std::int64_t none = kIgnoredTarget;
  const TokenBatch batch{.input_ids = {5, 6, 7, 8, 5, 6, 5, 6, 7},
                         .position_ids = {0, 1, 2, 3, 0, 1, 0, 1, 2},
                         .cu_seqlens = {0, 4, 6, 9},
                         .targets = {none, 7, 8, none, none, none, 6, 7, none}};
  EXPECT_EQ(completion_offsets(batch), (std::vector<std::int64_t>{0, 2, 2, 4}));
  EXPECT_EQ(completion_offsets({}), (std::vector<std::int64_t>{0}));
}

TEST(Completions, OfPaddedRowsAreTheTokensThatCount) {
  const at::Tensor rows = leaf(Json::parse("[-1, -2, -3, -4, -5, -6]", "")).view({2, 3});
  const at::Tensor mask = tensor({0, 1, 1, 0, 0, 0}).view({2, 3}).to(at::kLong);
  const CompletionLogProbs found = from_padded(rows, mask);
  EXPECT_EQ(found.cu_seqlens, (std::vector<std::int64_t>{0, 2, 2}));
  expect_close(found.token_log_probs, std::vector{-2.0, -3.0}, "tokens");
  expect_close(sums(found), std::vector{-5.0, 0.0}, "sums");
  EXPECT_TRUE(sums(found).requires_grad());
  expect_error(ErrorKind::usage, "mask", [&] { from_padded(rows, mask.view({3, 2})); });
}

TEST(Completions, HaveMeansOnlyWithTokens) {
  expect_close(means({.token_log_probs = tensor({-1, -2, -6}), .cu_seqlens = {0, 2, 3}}), std::vector{-1.5, -6.0},
               "means");
  expect_error(ErrorKind::numeric, "[1]", [] { means({.token_log_probs = tensor({-1}), .cu_seqlens = {0, 1, 1}}); });
}

TEST(Completions, SplitIntoHalves) {
  const CompletionLogProbs all{.token_log_probs = tensor({-1, -2, -3, -4}),
                               .cu_seqlens = {0, 1, 1, 3, 4},
                               .entropy = tensor({1, 2, 3, 4}),
                               .lengths = {1, 0, 2, 9}};
  const PairLogProbs pairs = split_pairs(all);
  EXPECT_EQ(pairs.chosen.cu_seqlens, (std::vector<std::int64_t>{0, 1, 1}));
  EXPECT_EQ(pairs.rejected.cu_seqlens, (std::vector<std::int64_t>{0, 2, 3}));
  EXPECT_EQ(pairs.rejected.lengths, (std::vector<std::int64_t>{2, 9}));
  expect_close(pairs.rejected.entropy, std::vector{2.0, 3.0, 4.0}, "entropy");
  expect_error(ErrorKind::usage, "odd", [&] { split_pairs({.token_log_probs = tensor({-1}), .cu_seqlens = {0, 1}}); });
}

TEST(Completions, WhoseOffsetsDontFitAreRefused) {
  const at::Tensor tokens = tensor({-1, -2});
  for (const std::vector<std::int64_t>& offsets :
       {std::vector<std::int64_t>{}, {0}, {0, 1}, {0, 3}, {1, 2}, {0, 2, 1, 2}}) {
    expect_error(ErrorKind::usage, "cu_seqlens", [&] { sums({.token_log_probs = tokens, .cu_seqlens = offsets}); });
  }
  expect_error(ErrorKind::usage, "token_log_probs", [] { sums({.cu_seqlens = {0, 2}}); });
  expect_error(ErrorKind::usage, "token_log_probs", [&] {
    sums({.token_log_probs = tokens.view({1, 2}), .cu_seqlens = {0, 2}});
  });
  expect_error(ErrorKind::usage, "token_log_probs", [&] {
    sums({.token_log_probs = tokens.to(at::kLong), .cu_seqlens = {0, 2}});
  });
  expect_error(ErrorKind::usage, "lengths", [&] {
    sums({.token_log_probs = tokens, .cu_seqlens = {0, 2}, .lengths = {1, 1}});
  });
  expect_error(ErrorKind::usage, "entropy", [&] {
    sums({.token_log_probs = tokens, .cu_seqlens = {0, 2}, .entropy = tensor({1})});
  });
}

// A thousand tokens of -0.7 sum to -700 in each type; float32's and bf16's own sums would be off.
TEST(Completions, AreSummedInFloat64) {
  const at::Tensor tokens = tensor(std::vector<double>(1000, -0.7));
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor given = tokens.to(type);
    const at::Tensor total = sums({.token_log_probs = given, .cu_seqlens = {0, 1000}});
    EXPECT_EQ(total.scalar_type(), at::kFloat);
    const double exact = given.to(at::kDouble).sum().item<double>();
    EXPECT_NEAR(total.item<double>(), exact, std::abs(exact) * 6e-8) << toString(type);
  }
}

TEST(Completions, OfFloat32GiveTheLossOfFloat64) {
  const LossCase test = loss_cases("dpo.json").at(0);
  const at::Tensor policy = leaf(test.inputs.at("policy")).detach().to(at::kFloat).set_requires_grad(true);
  const auto half = [&](const at::Tensor& tokens) {
    return split_pairs({.token_log_probs = tokens, .cu_seqlens = offsets(test.inputs.at("counts"))});
  };
  const PairSums reference = pair_sums(half(json_tensor(test.inputs.at("reference"))));  // a cache of another type
  const LossResult result = dpo_loss(half(policy), reference);
  EXPECT_EQ(result.loss.scalar_type(), at::kFloat);
  EXPECT_NEAR(result.loss.item<double>(), test.test.at("loss").as_double(), 1e-6);
  result.loss.backward();
  EXPECT_EQ(policy.grad().scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace powerhouse::testing
