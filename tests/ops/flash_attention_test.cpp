// flash_attention against causal_attention in float64, forward and every gradient, and that against differences.
#include "ops/flash_attention.h"

#include <gtest/gtest.h>

#include <limits>
#include <utility>
#include <vector>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "random_tensor.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

using testing::max_difference;
using testing::random_tensor;
using testing::same_bits;

struct Problem {
  std::int64_t heads = 6, kv_heads = 2, head_dim = 24;
  std::vector<std::int64_t> cu_seqlens{0, 17, 18, 95};
  ops::AttentionRule rule{.scale = 0.3f};
  std::vector<std::int64_t> prefixes{};
  std::int64_t rows() const { return cu_seqlens.back(); }
};

/// Assigned, as g++ 12 warns of members that would not be made yet if the second list of an initializer threw.
Problem with_prefixes(std::vector<std::int64_t> cu_seqlens, std::vector<std::int64_t> prefixes, Problem problem = {}) {
  problem.cu_seqlens = std::move(cu_seqlens);
  problem.prefixes = std::move(prefixes);
  return problem;
}

struct Leaves {
  at::Tensor query, key, value, sinks;
};

/// Leaves of `type`; the values are those of float64 rounded to it, so that both see the same numbers.
Leaves leaves(const Problem& problem, at::ScalarType values, at::ScalarType type) {
  const auto leaf = [&](at::IntArrayRef sizes, std::uint64_t seed) {
    return random_tensor(sizes, values, seed).to(type).requires_grad_(true);
  };
  Leaves out{leaf({problem.rows(), problem.heads, problem.head_dim}, 1),
             leaf({problem.rows(), problem.kv_heads, problem.head_dim}, 2),
             leaf({problem.rows(), problem.kv_heads, problem.head_dim}, 3), at::Tensor()};
  if (problem.rule.sinks.defined()) out.sinks = leaf({problem.heads}, 4);
  return out;
}

at::Tensor attend(const Problem& problem, const Leaves& in) {
  ops::AttentionRule rule = problem.rule;
  rule.sinks = in.sinks;
  return ops::flash_attention(in.query, in.key, in.value, problem.cu_seqlens, rule, problem.prefixes);
}

double relative(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor wide = expected.to(at::kDouble);
  return found.to(at::kDouble).sub(wide).norm().item<double>() / wide.norm().item<double>();
}

std::vector<Problem> problems() {
  const at::Tensor sinks = random_tensor({6}, at::kFloat, 4);
  std::vector<Problem> all{
      {},
      {.heads = 2, .head_dim = 8, .cu_seqlens = {0, 1, 2, 2, 40}},
      {.heads = 9, .kv_heads = 3, .head_dim = 64, .cu_seqlens = {0, 512, 529, 530}},
      {.heads = 4, .kv_heads = 1, .head_dim = 80, .cu_seqlens = {0, 1300}},
      {.heads = 2, .head_dim = 37, .cu_seqlens = {0, 700, 1250}},
      // Documents that continue one of several parts, and one that is none; some in several parts themselves.
      {.heads = 3,
       .kv_heads = 1,
       .head_dim = 64,
       .cu_seqlens = {0, 600, 610, 1700, 1800, 1801, 1900},
       .prefixes = {-1, 0, -1, 0, 0, 2}},
      {.heads = 2, .head_dim = 20, .cu_seqlens = {0, 1, 2, 2, 30, 95}, .prefixes = {-1, 0, -1, 2, 0}},
  };
  const ops::AttentionRule rules[] = {
      {.scale = 0.3f, .window = 7},
      {.scale = 0.3f, .window = 50, .softcap = 2.0f},
      {.scale = 0.3f, .alibi = Alibi{}},
      {.scale = 0.3f, .alibi = Alibi{.scaled = true, .multiplier = 2, .bf16_rounding = true}},
      {.scale = 0.3f, .sinks = sinks},
      {.scale = 0.3f, .window = 20, .softcap = 2.0f, .alibi = Alibi{.bias_max = 4}},
      {.scale = 0.3f, .window = 20, .softcap = 2.0f, .sinks = sinks},
  };
  for (const ops::AttentionRule& rule : rules) {
    all.push_back({.rule = rule});
    all.push_back({.cu_seqlens = {0, 40, 57, 90, 103, 104, 130}, .rule = rule, .prefixes = {-1, 0, 0, -1, 3, 0}});
  }
  return all;
}

class FlashAttentionOfType : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(FlashAttentionOfType, EqualsTheCompositionInFloat64) {
  const at::ScalarType type = GetParam();
  const double bar = type == at::kFloat ? 1e-5 : type == at::kBFloat16 ? 6e-3 : 1e-3;
  for (const Problem& problem : problems()) {
    const Leaves found = leaves(problem, type, type);
    const Leaves expected = leaves(problem, type, at::kDouble);
    const at::Tensor out = attend(problem, found);
    const at::Tensor exact = attend(problem, expected);
    ASSERT_EQ(out.scalar_type(), type);
    const at::Tensor weights = random_tensor(out.sizes(), type, 9);
    out.backward(weights);
    exact.backward(weights.to(at::kDouble));
    const auto what = [&](const char* name) {
      return ::testing::Message() << name << " heads " << problem.heads << " head_dim " << problem.head_dim << " rows "
                                  << problem.rows() << " window " << problem.rule.window << " softcap "
                                  << problem.rule.softcap << " alibi " << problem.rule.alibi.has_value()
                                  << (problem.prefixes.empty() ? "" : " prefixes");
    };
    EXPECT_LT(relative(out, exact), bar) << what("out");
    EXPECT_LT(relative(found.query.grad(), expected.query.grad()), bar) << what("query");
    EXPECT_LT(relative(found.key.grad(), expected.key.grad()), bar) << what("key");
    EXPECT_LT(relative(found.value.grad(), expected.value.grad()), bar) << what("value");
    if (found.sinks.defined()) {
      EXPECT_LT(relative(found.sinks.grad(), expected.sinks.grad()), bar) << what("sinks");
    }
  }
}

TEST_P(FlashAttentionOfType, TakesViewsAndTheirGradients) {
  const Problem problem;
  const std::int64_t rows = problem.rows();
  // As a fused projection gives them, [rows, (6 + 2 + 2) * 24], and dout expanded from one number.
  const at::Tensor fused = random_tensor({rows, 10, 24}, GetParam(), 1).requires_grad_(true);
  const at::Tensor out = ops::flash_attention(fused.narrow(1, 0, 6), fused.narrow(1, 6, 2), fused.narrow(1, 8, 2),
                                              problem.cu_seqlens, problem.rule);
  out.sum().backward();
  const at::Tensor whole = fused.detach().clone().requires_grad_(true);
  const at::Tensor plain = ops::flash_attention(whole.narrow(1, 0, 6).contiguous(), whole.narrow(1, 6, 2).contiguous(),
                                                whole.narrow(1, 8, 2).contiguous(), problem.cu_seqlens, problem.rule);
  plain.sum().backward();
  EXPECT_TRUE(same_bits(out, plain));
  EXPECT_TRUE(same_bits(fused.grad(), whole.grad()));
  // Elements of a head apart.
  const at::Tensor turned = fused.detach().transpose(1, 2).contiguous().transpose(1, 2);
  EXPECT_TRUE(same_bits(ops::flash_attention(turned.narrow(1, 0, 6), turned.narrow(1, 6, 2), turned.narrow(1, 8, 2),
                                             problem.cu_seqlens, problem.rule),
                        plain));
}

TEST_P(FlashAttentionOfType, HasTheSameBitsOnAnyNumberOfThreads) {
  const Problem problem =
      with_prefixes({0, 1100, 1200, 1264, 1864}, {-1, 0, -1, 0}, {.heads = 9, .kv_heads = 3, .head_dim = 64});
  const int before = team_threads();
  std::vector<Leaves> runs;
  std::vector<at::Tensor> outs;
  for (const int threads : {1, 2, 5}) {
    set_team_threads(threads);
    runs.push_back(leaves(problem, GetParam(), GetParam()));
    outs.push_back(attend(problem, runs.back()));
    outs.back().backward(random_tensor(outs.back().sizes(), GetParam(), 9));
    EXPECT_TRUE(same_bits(outs.back(), outs[0])) << threads;
    EXPECT_TRUE(same_bits(runs.back().query.grad(), runs[0].query.grad())) << threads;
    EXPECT_TRUE(same_bits(runs.back().key.grad(), runs[0].key.grad())) << threads;
    EXPECT_TRUE(same_bits(runs.back().value.grad(), runs[0].value.grad())) << threads;
  }
  set_team_threads(before);
}

TEST_P(FlashAttentionOfType, GradientsAcrossDocumentsAreExactlyZero) {
  const Problem problem{.cu_seqlens = {0, 70, 100, 190}};
  const Leaves in = leaves(problem, GetParam(), GetParam());
  attend(problem, in).narrow(0, 70, 30).sum().backward();
  for (const at::Tensor& leaf : {in.query, in.key, in.value}) {
    const at::Tensor gradient = leaf.grad();
    EXPECT_EQ(gradient.narrow(0, 0, 70).abs().max().item<double>(), 0);
    EXPECT_EQ(gradient.narrow(0, 100, 90).abs().max().item<double>(), 0);
    EXPECT_GT(gradient.narrow(0, 70, 30).abs().max().item<double>(), 0);
  }
}

// What one prefix and its continuations give is what each continuation gives behind a copy of the prefix.
void check_continuations(at::ScalarType type, double bar) {
  for (const Problem& problem : problems()) {
    if (problem.prefixes.empty()) continue;
    std::vector<std::int64_t> rows, own;  // of the copies; where in them each row of the batch is
    Problem whole = problem;
    whole.cu_seqlens = {0}, whole.prefixes = {};
    for (std::size_t i = 0; i < problem.prefixes.size(); ++i) {
      const auto take = [&](std::size_t document, bool is_own) {
        for (std::int64_t row = problem.cu_seqlens[document]; row < problem.cu_seqlens[document + 1]; ++row) {
          if (is_own) own.push_back(static_cast<std::int64_t>(rows.size()));
          rows.push_back(row);
        }
      };
      if (problem.prefixes[i] >= 0) take(static_cast<std::size_t>(problem.prefixes[i]), false);
      take(i, true);
      whole.cu_seqlens.push_back(static_cast<std::int64_t>(rows.size()));
    }
    const Leaves shared = leaves(problem, type, type);
    const Leaves apart = leaves(problem, type, type);
    const auto copied = [&](const at::Tensor& x) { return x.index_select(0, index_tensor(rows)); };
    const at::Tensor out = attend(problem, shared);
    const at::Tensor expected =
        attend(whole, {copied(apart.query), copied(apart.key), copied(apart.value), apart.sinks})
            .index_select(0, index_tensor(own));
    EXPECT_LT(relative(out, expected), bar);
    const at::Tensor weights = random_tensor(out.sizes(), type, 9);
    out.backward(weights);
    expected.backward(weights);
    EXPECT_LT(relative(shared.query.grad(), apart.query.grad()), bar);
    EXPECT_LT(relative(shared.key.grad(), apart.key.grad()), bar);
    EXPECT_LT(relative(shared.value.grad(), apart.value.grad()), bar);
    if (shared.sinks.defined()) {
      EXPECT_LT(relative(shared.sinks.grad(), apart.sinks.grad()), bar);
    }
  }
}

TEST_P(FlashAttentionOfType, ContinuationsEqualWholeDocuments) {
  check_continuations(GetParam(), GetParam() == at::kFloat ? 1e-6 : GetParam() == at::kBFloat16 ? 4e-3 : 1e-3);
}

TEST(FlashAttention, ContinuationsInFloat64EqualWholeDocuments) { check_continuations(at::kDouble, 1e-12); }

TEST_P(FlashAttentionOfType, ContinuationsDoNotReachEachOther) {
  const Problem problem = with_prefixes({0, 70, 100, 190}, {-1, 0, 0});
  const Leaves in = leaves(problem, GetParam(), GetParam());
  attend(problem, in).narrow(0, 70, 30).sum().backward();
  for (const at::Tensor& leaf : {in.query, in.key, in.value}) {
    EXPECT_EQ(leaf.grad().narrow(0, 100, 90).abs().max().item<double>(), 0);
    EXPECT_GT(leaf.grad().narrow(0, 70, 30).abs().max().item<double>(), 0);
  }
  EXPECT_EQ(in.query.grad().narrow(0, 0, 70).abs().max().item<double>(), 0);
  EXPECT_GT(in.key.grad().narrow(0, 0, 70).abs().max().item<double>(), 0);
  EXPECT_GT(in.value.grad().narrow(0, 0, 70).abs().max().item<double>(), 0);
}

INSTANTIATE_TEST_SUITE_P(Types, FlashAttentionOfType, ::testing::Values(at::kFloat, at::kBFloat16, at::kHalf));

// Central differences in float64 of each input.
TEST(FlashAttention, CompositionEqualsFiniteDifferences) {
  for (const Problem& whole : problems()) {
    Problem problem = whole;
    problem.heads = 2 * (problem.kv_heads = 1), problem.head_dim = 3, problem.cu_seqlens = {0, 4, 5};
    if (!whole.prefixes.empty()) problem.cu_seqlens = {0, 2, 3, 5}, problem.prefixes = {-1, 0, 0};
    if (problem.rule.sinks.defined()) problem.rule.sinks = random_tensor({2}, at::kFloat, 4);
    const Leaves in = leaves(problem, at::kDouble, at::kDouble);
    const at::Tensor weights = random_tensor({5, 6}, at::kDouble, 9);
    attend(problem, in).backward(weights);
    for (at::Tensor Leaves::*part : {&Leaves::query, &Leaves::key, &Leaves::value, &Leaves::sinks}) {
      const at::Tensor& leaf = in.*part;
      if (!leaf.defined()) continue;
      for (std::int64_t i = 0; i < leaf.numel(); ++i) {
        constexpr double kStep = 1e-6;
        const auto at_offset = [&](double offset) {
          Leaves moved = in;
          at::Tensor values = leaf.detach().clone();
          values.view({-1}).select(0, i).add_(offset);
          moved.*part = values;
          return attend(problem, moved).mul(weights).sum().item<double>();
        };
        const double expected = (at_offset(kStep) - at_offset(-kStep)) / (2 * kStep);
        EXPECT_NEAR(leaf.grad().view({-1}).select(0, i).item<double>(), expected, 1e-6 * (1 + std::abs(expected)));
      }
    }
  }
}

TEST(FlashAttention, PackedEqualsEachDocumentAlone) {
  const Problem problem;
  const Leaves in = leaves(problem, at::kFloat, at::kFloat);
  const at::Tensor out = attend(problem, in);
  for (std::size_t i = 0; i + 1 < problem.cu_seqlens.size(); ++i) {
    const std::int64_t first = problem.cu_seqlens[i];
    const std::int64_t rows = problem.cu_seqlens[i + 1] - first;
    const std::int64_t alone[] = {0, rows};
    EXPECT_TRUE(same_bits(ops::flash_attention(in.query.narrow(0, first, rows), in.key.narrow(0, first, rows),
                                               in.value.narrow(0, first, rows), alone, problem.rule),
                          out.narrow(0, first, rows)));
  }
}

TEST(FlashAttention, WithoutAutogradHasTheSameBits) {
  const Problem problem = with_prefixes(Problem{}.cu_seqlens, {-1, 0, 0});
  const Leaves in = leaves(problem, at::kBFloat16, at::kBFloat16);
  const Leaves still{in.query.detach(), in.key.detach(), in.value.detach(), at::Tensor()};
  EXPECT_TRUE(same_bits(attend(problem, still), attend(problem, in)));
  EXPECT_FALSE(attend(problem, still).requires_grad());
}

TEST(FlashAttention, GradientsOfSomeInputsOnly) {
  const Problem problem;
  Leaves in = leaves(problem, at::kFloat, at::kFloat);
  in.query = in.query.detach();
  in.value = in.value.detach();
  const at::Tensor out = attend(problem, in);
  out.backward(random_tensor(out.sizes(), at::kFloat, 9));
  EXPECT_TRUE(in.key.grad().defined());
  EXPECT_FALSE(in.query.grad().defined());
}

TEST(FlashAttention, RefusesWhatDoesNotFit) {
  const Problem problem;
  const Leaves in = leaves(problem, at::kFloat, at::kFloat);
  const auto with = [&](std::vector<std::int64_t> cu_seqlens) {
    return ops::flash_attention(in.query, in.key, in.value, cu_seqlens, problem.rule);
  };
  EXPECT_THROW(with({0, 94}), Error);
  EXPECT_THROW(with({1, 95}), Error);
  EXPECT_THROW(with({0, 60, 50, 95}), Error);
  EXPECT_THROW(with({}), Error);
  EXPECT_THROW(ops::flash_attention(in.query, in.key.narrow(0, 0, 90), in.value, problem.cu_seqlens, problem.rule),
               Error);
  for (const std::vector<std::int64_t>& prefixes :
       {std::vector<std::int64_t>{-1, 0}, {0, -1, -1}, {-1, 2, -1}, {-1, 0, 1}, {-2, -1, -1}, {-1, 0, 3}}) {
    Problem bad = problem;
    bad.prefixes = prefixes;
    EXPECT_THROW(attend(bad, in), Error);
  }
  EXPECT_THROW(attend(problem, in).sum().backward({}, std::nullopt, /*create_graph=*/true), Error);
}

}  // namespace
}  // namespace powerhouse
