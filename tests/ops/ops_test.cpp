// Every op has two paths: our kernels, and LibTorch's composition where autograd looks on. They must agree, and the
// second must differentiate.
#include <gtest/gtest.h>

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/gradients.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "random_tensor.h"

namespace powerhouse {
namespace {

using testing::check_gradient;
using testing::max_difference;
using testing::random_tensor;
using testing::same_bits;

double product_tolerance(at::ScalarType type) { return type == at::kFloat ? 2e-5 : type == at::kHalf ? 8e-3 : 6e-2; }

ops::RopeTable rope_table(const Rope& rope, std::span<const std::int64_t> positions) {
  ops::RopeTable table = ops::empty_rope_table(rope, static_cast<std::int64_t>(positions.size()));
  ops::fill_rope_table(table, 0, rope, ops::rope_frequencies(rope, 0), positions);
  return table;
}

class OpsOfType : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(OpsOfType, LinearAgreesOnBothPaths) {
  for (const std::int64_t rows : {1, 3, 16, 17, 40}) {
    const at::Tensor x = random_tensor({rows, 72}, GetParam(), 1);
    const at::Tensor weight = random_tensor({50, 72}, GetParam(), 2);
    const at::Tensor bias = random_tensor({50}, GetParam(), 3);
    const at::Tensor expected = x.to(at::kDouble).matmul(weight.to(at::kDouble).t()).add(bias.to(at::kDouble));
    EXPECT_LT(max_difference(ops::linear(x, weight, bias), expected), 2 * product_tolerance(GetParam())) << rows;
    const at::Tensor tracked = x.detach().clone().requires_grad_(true);
    EXPECT_LT(max_difference(ops::linear(tracked, weight, bias), expected), 2 * product_tolerance(GetParam())) << rows;
  }
}

TEST_P(OpsOfType, NormsAgreeOnBothPaths) {
  const Norm choices[] = {{},
                          {.round_once = true},
                          {.unit_offset = true},
                          {.kind = NormKind::layer_norm},
                          {.kind = NormKind::layer_norm, .bias = true}};
  const auto check = [](const at::Tensor& x, const Norm& choice, at::IntArrayRef sizes) {
    const at::Tensor weight = sizes.empty() ? at::Tensor() : random_tensor(sizes, GetParam(), 2);
    const at::Tensor bias = choice.bias && !sizes.empty() ? random_tensor(sizes, GetParam(), 3) : at::Tensor();
    const at::Tensor tracked = ops::norm(x.detach().clone().requires_grad_(true), choice, weight, bias);
    EXPECT_LT(max_difference(ops::norm(x, choice, weight, bias), tracked), product_tolerance(GetParam()))
        << x.dim() << " dimensions, weight of " << sizes.size();
  };
  for (const Norm& choice : choices) {
    const at::Tensor rows = random_tensor({7, 130}, GetParam(), 1);
    check(rows, choice, {130});
    check(rows.narrow(1, 11, 97), choice, {97});
    if (!choice.unit_offset) check(rows, choice, {});
    const at::Tensor heads = random_tensor({5, 9, 24}, GetParam(), 4).narrow(1, 2, 6);  // as in a fused projection
    check(heads, choice, {24});
    if (!choice.unit_offset) check(heads, choice, {6, 24});
  }
}

TEST_P(OpsOfType, RopeAgreesOnBothPathsAndLayouts) {
  const std::vector<std::int64_t> positions = {0, 5, 6, 1000};
  for (const std::int64_t rotary_dim : {16, 12}) {
    for (const RopeLayout layout : {RopeLayout::half, RopeLayout::interleaved}) {
      const ops::RopeTable table = rope_table({.rotary_dim = rotary_dim}, positions);
      const at::Tensor x = random_tensor({4, 3, 16}, GetParam(), 1);
      const at::Tensor tracked = ops::apply_rope(x.detach().clone().requires_grad_(true), table, layout);
      EXPECT_LT(max_difference(ops::apply_rope(x.clone(), table, layout), tracked), product_tolerance(GetParam()));
    }
  }
}

TEST_P(OpsOfType, ActivationsAgreeOnBothPaths) {
  const at::Tensor gate = random_tensor({5, 67}, GetParam(), 1).mul(2);
  const at::Tensor up = random_tensor({5, 67}, GetParam(), 2);
  for (const Activation kind : {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu,
                                Activation::relu, Activation::relu2}) {
    const at::Tensor tracked = gate.detach().clone().requires_grad_(true);
    const double scale = kind == Activation::relu2 ? 4 : 1;  // its values are as much larger
    EXPECT_LT(max_difference(ops::activate(kind, gate), ops::activate(kind, tracked)),
              scale * product_tolerance(GetParam()));
    EXPECT_LT(max_difference(ops::gated_activation(kind, gate, up), ops::gated_activation(kind, tracked, up)),
              scale * product_tolerance(GetParam()));
  }
}

TEST_P(OpsOfType, PagedAttentionEqualsCausalAttention) {
  constexpr std::int64_t kHeads = 6, kKvHeads = 2, kHeadDim = 24, kPage = 4;
  constexpr std::int64_t kCases[][2] = {{1, 1},     {4, 3},    {5, 3},   {33, 3}, {33, 33},
                                        {150, 150}, {150, 70}, {150, 5}, {700, 2}};
  for (const auto [total, rows] : kCases) {
    const at::Tensor query = random_tensor({rows, kHeads, kHeadDim}, GetParam(), 1);
    const at::Tensor key = random_tensor({total, kKvHeads, kHeadDim}, GetParam(), 2);
    const at::Tensor value = random_tensor({total, kKvHeads, kHeadDim}, GetParam(), 3);
    const std::int64_t pages = (total + kPage - 1) / kPage;
    std::vector<at::Tensor> storage;
    std::vector<const void*> key_pages, value_pages;
    for (std::int64_t page = 0; page < pages; ++page) {
      const std::int64_t used = std::min(kPage, total - page * kPage);
      for (const bool is_value : {false, true}) {
        storage.push_back(empty_tensor({kPage, kKvHeads, kHeadDim}, GetParam()));
        storage.back().narrow(0, 0, used).copy_((is_value ? value : key).narrow(0, page * kPage, used));
        (is_value ? value_pages : key_pages).push_back(storage.back().const_data_ptr());
      }
    }
    const ops::PagedSequence sequence{key_pages, value_pages, total, 0, rows};
    const Alibi falcon{.scaled = true, .multiplier = 2, .bf16_rounding = true};
    const at::Tensor sinks = random_tensor({kHeads}, GetParam(), 4);
    const ops::AttentionRule rules[] = {{.scale = 0.2f},
                                        {.scale = 0.2f, .window = 7},
                                        {.scale = 0.2f, .window = 100, .softcap = 0.5f},
                                        {.scale = 0.2f, .window = 1},
                                        {.scale = 0.2f, .alibi = Alibi{}},
                                        {.scale = 0.2f, .window = 7, .alibi = Alibi{.bias_max = 4, .scaled = true}},
                                        {.scale = 0.2f, .alibi = Alibi{.multiplier = 3}},
                                        {.scale = 0.2f, .alibi = falcon},
                                        {.scale = 0.2f, .sinks = sinks},
                                        {.scale = 0.2f, .window = 7, .softcap = 0.5f, .sinks = sinks}};
    for (const ops::AttentionRule& rule : rules) {
      ASSERT_TRUE(ops::kernels_take(rule));
      const at::Tensor out = ops::paged_attention(query, std::span(&sequence, 1),
                                                  {.key_type = to_block_format(GetParam()),
                                                   .value_type = to_block_format(GetParam()),
                                                   .num_key_value_heads = kKvHeads,
                                                   .page_tokens = kPage},
                                                  rule);
      // slope * position, as LibTorch adds it, costs the scores of a long row their last bits.
      const double bar = product_tolerance(GetParam()) * (rule.alibi && total > 256 ? 10 : 1);
      EXPECT_LT(max_difference(out, ops::causal_attention(query, key, value, rule)), bar)
          << rows << " of " << total << ", rule " << &rule - rules;
    }
  }
}

TEST(Ops, KernelsLeaveAlibiThatTheyCannotRound) {
  EXPECT_FALSE(ops::kernels_take({.alibi = Alibi{.scaled = true, .multiplier = 3, .bf16_rounding = true}}));
  EXPECT_FALSE(ops::kernels_take({.alibi = Alibi{.bf16_rounding = true}}));
}

INSTANTIATE_TEST_SUITE_P(Types, OpsOfType, ::testing::Values(at::kFloat, at::kBFloat16, at::kHalf));

TEST(Ops, CausalAttentionIsAlignedBottomRight) {
  const at::Tensor query = random_tensor({5, 4, 8}, at::kDouble, 1);
  const at::Tensor key = random_tensor({9, 2, 8}, at::kDouble, 2);
  const at::Tensor value = random_tensor({9, 2, 8}, at::kDouble, 3);
  const at::Tensor all = ops::causal_attention(query, key, value, {.scale = 0.5f});
  for (std::int64_t row = 0; row < 5; ++row) {
    // Each row alone, over just the keys it may see, written out.
    const std::int64_t visible = 9 - 5 + row + 1;
    for (std::int64_t head = 0; head < 4; ++head) {
      const at::Tensor scores =
          key.narrow(0, 0, visible).select(1, head / 2).matmul(query.select(0, row).select(0, head)).mul(0.5);
      const at::Tensor expected = scores.softmax(0).matmul(value.narrow(0, 0, visible).select(1, head / 2));
      EXPECT_LT(max_difference(all.select(0, row).narrow(0, head * 8, 8), expected), 1e-9);
    }
  }
}

TEST(Ops, LinearGivesARowTheSameBitsInAnyBatch) {
  const at::Tensor x = random_tensor({16, 576}, at::kBFloat16, 1);
  const at::Tensor weight = random_tensor({192, 576}, at::kBFloat16, 2);
  const at::Tensor all = ops::linear(x, weight);
  for (std::int64_t row = 0; row < 16; ++row) {
    EXPECT_TRUE(same_bits(all.narrow(0, row, 1), ops::linear(x.narrow(0, row, 1), weight))) << row;
  }
}

TEST(Ops, GradientsEqualFiniteDifferences) {
  const at::Tensor weight = random_tensor({6, 8}, at::kDouble, 5);
  check_gradient([&](const at::Tensor& x) { return ops::linear(x, weight); }, random_tensor({3, 8}, at::kDouble, 1));
  check_gradient([&](const at::Tensor& w) { return ops::linear(random_tensor({3, 8}, at::kDouble, 1), w); }, weight);
  const at::Tensor scale = random_tensor({8}, at::kDouble, 6);
  check_gradient([&](const at::Tensor& x) { return ops::norm(x, {}, scale); }, random_tensor({3, 8}, at::kDouble, 2));
  const ops::RopeTable table = rope_table({.rotary_dim = 8}, std::vector<std::int64_t>{3, 9});
  for (const RopeLayout layout : {RopeLayout::half, RopeLayout::interleaved}) {
    check_gradient([&](const at::Tensor& x) { return ops::apply_rope(x, table, layout); },
                   random_tensor({2, 2, 8}, at::kDouble, 3));
  }
  const at::Tensor up = random_tensor({3, 8}, at::kDouble, 7);
  check_gradient([&](const at::Tensor& gate) { return ops::gated_activation(Activation::silu, gate, up); },
                 random_tensor({3, 8}, at::kDouble, 4));
  const at::Tensor key = random_tensor({5, 2, 4}, at::kDouble, 8);
  check_gradient([&](const at::Tensor& query) { return ops::causal_attention(query, key, key, {.scale = 0.5f}); },
                 random_tensor({3, 4, 4}, at::kDouble, 9));
}

}  // namespace
}  // namespace powerhouse
