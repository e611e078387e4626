// Every op on a device: values and gradients by our CUDA kernels, or by LibTorch where there is none, equal the CPU's.
#include <numeric>

#include "device_fixture.h"
#include "ops/activation.h"
#include "ops/adapted_linear.h"
#include "ops/device_low_rank.h"
#include "ops/dropout.h"
#include "ops/few_rows.h"
#include "ops/flash_attention.h"
#include "ops/linear.h"
#include "ops/linear_cross_entropy.h"
#include "ops/moe.h"
#include "ops/norm.h"
#include "ops/rope.h"

namespace powerhouse::pretended_device {
namespace {

using testing::random_tensor;

class DeviceOps : public OnDevice {};

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kHalf};

TEST_F(DeviceOps, Norms) {
  for (const at::ScalarType type : kTypes) {
    const Tensors rows{random_tensor({5, 24}, type, 1), random_tensor({24}, type, 2), random_tensor({24}, type, 3)};
    for (const Norm& choice : {Norm{.kind = NormKind::rms_norm}, Norm{.kind = NormKind::rms_norm, .unit_offset = true},
                               Norm{.kind = NormKind::layer_norm}}) {
      expect_same([&](const Tensors& t) { return ops::norm(t[0], choice, t[1]); }, {rows[0], rows[1]}, 2);
    }
    const Norm layer_norm{.kind = NormKind::layer_norm};
    expect_same([&](const Tensors& t) { return ops::norm(t[0], layer_norm, t[1], t[2]); }, rows, 2);
    const Norm rms_norm{.kind = NormKind::rms_norm};
    expect_same([&](const Tensors& t) { return ops::norm(t[0], rms_norm, t[1]); },
                {random_tensor({3, 2, 16}, type, 4), random_tensor({2, 16}, type, 5)}, 2);
  }
}

TEST_F(DeviceOps, NormsOfRowsThatNoBlockHolds) {
  const Norm choice{.kind = NormKind::rms_norm};
  const auto norm = [&](const Tensors& t) { return ops::norm(t[0], choice, t[1]); };
  expect_same(norm, {random_tensor({2, 4104}, at::kFloat, 1), random_tensor({4104}, at::kFloat, 2)}, 2);
  expect_same(norm, {random_tensor({2, 4101}, at::kFloat, 1), random_tensor({4101}, at::kFloat, 2)}, 0);
}

TEST_F(DeviceOps, Rope) {
  const Rope rope{.rotary_dim = 16};
  const std::int64_t positions[] = {0, 3, 4, 9, 100};
  ops::RopeTable table = ops::empty_rope_table(rope, 5);
  ops::fill_rope_table(table, 0, rope, ops::rope_frequencies(rope, 0), positions);
  const ops::RopeTable far{there(table.cos), there(table.sin)};
  for (const at::ScalarType type : kTypes) {
    for (const RopeLayout layout : {RopeLayout::half, RopeLayout::interleaved}) {
      const auto turn = [&](const Tensors& t) { return ops::apply_rope(t[0], t[0].is_cpu() ? table : far, layout); };
      expect_same(turn, {random_tensor({5, 3, 24}, type, 6)}, 2);
      expect_same(turn, {random_tensor({5, 3, 24}, type, 6)}, 1, /*gradients=*/false);
    }
  }
}

TEST_F(DeviceOps, Activations) {
  for (const at::ScalarType type : kTypes) {
    const at::Tensor gate = random_tensor({5, 24}, type, 7), up = random_tensor({5, 24}, type, 8);
    for (const Activation kind : {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu,
                                  Activation::relu, Activation::relu2}) {
      expect_same([&](const Tensors& t) { return ops::activate(kind, t[0]); }, {gate}, 2);
      expect_same([&](const Tensors& t) { return ops::gated_activation(kind, t[0], t[1]); }, {gate, up}, 2);
    }
  }
}

struct AttentionCase {
  std::int64_t heads = 4, kv_heads = 2;
  ops::AttentionRule rule{};
  std::vector<std::int64_t> cu_seqlens{0, 7, 8, 20}, prefixes{};
};

Tensors attention_inputs(const AttentionCase& c, at::ScalarType type) {
  const std::int64_t rows = c.cu_seqlens.back();
  return {random_tensor({rows, c.heads, 32}, type, 11), random_tensor({rows, c.kv_heads, 32}, type, 12),
          random_tensor({rows, c.kv_heads, 32}, type, 13), random_tensor({c.heads}, type, 14)};
}

std::vector<AttentionCase> attention_cases() {
  const float scale = 0.2f;
  return {{.rule = {.scale = scale}},
          {.kv_heads = 4, .rule = {.scale = scale, .window = 3}},
          {.rule = {.scale = scale, .softcap = 2.0f}},
          {.kv_heads = 1, .rule = {.scale = scale, .alibi = Alibi{}}},
          {.rule = {.scale = scale}, .cu_seqlens = {0, 5, 9, 12, 15}, .prefixes = {-1, 0, 0, -1}}};
}

TEST_F(DeviceOps, FlashAttention) {
  for (const bool gradients : {false, true}) {
    for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
      for (const AttentionCase& c : attention_cases()) {
        for (const bool sinks : {false, true}) {
          const auto attend = [&](const Tensors& t) {
            ops::AttentionRule rule = c.rule;
            if (sinks) rule.sinks = t[3];
            return ops::flash_attention(t[0], t[1], t[2], c.cu_seqlens, rule, c.prefixes);
          };
          Tensors inputs = attention_inputs(c, type);
          if (!sinks) inputs.pop_back();
          expect_same(attend, inputs, gradients ? 2 : 1, gradients);
        }
      }
    }
  }
}

TEST_F(DeviceOps, AttentionWithoutAKernelIsLibTorchs) {
  const AttentionCase c{.rule = {.scale = 0.2f}, .cu_seqlens = {0, 5, 9, 12}, .prefixes = {-1, 0, -1}};
  const auto attend = [&](const Tensors& t) {
    return ops::flash_attention(t[0], t[1], t[2], c.cu_seqlens, c.rule, c.prefixes);
  };
  Tensors inputs = attention_inputs(c, at::kFloat);
  inputs.pop_back();
  expect_same(attend, inputs, 0);
  for (at::Tensor& input : inputs) input = input.narrow(2, 0, 12).contiguous().to(at::kBFloat16);
  expect_same(attend, inputs, 0);
}

TEST_F(DeviceOps, LinearCrossEntropy) {
  for (const at::ScalarType type : kTypes) {
    const Tensors inputs{random_tensor({9, 16}, type, 21), random_tensor({40, 16}, type, 22),
                         random_tensor({40}, type, 23)};
    const std::int64_t values[] = {3, -100, 39, 0, 7, 7, -100, 12, 30};
    const at::Tensor targets = index_tensor(values);
    const at::Tensor weights = random_tensor({9}, at::kFloat, 24).abs();
    for (const bool capped : {false, true}) {
      const auto head = [&](const Tensors& t) {
        return ops::VocabularyHead{
            .matrix = t[1], .bias = t[2], .logit_scale = 0.7f, .softcap = capped ? std::optional(3.0f) : std::nullopt};
      };
      const ops::CrossEntropyOptions options{.label_smoothing = 0.1f, .z_loss = 1e-3f, .chunk_bytes = 600};
      expect_same(
          [&](const Tensors& t) { return ops::linear_cross_entropy(t[0], head(t), targets, weights, options).loss; },
          inputs, 1);
      expect_same([&](const Tensors& t) { return ops::linear_log_probs(t[0], head(t), targets).log_probs; }, inputs, 2);
      expect_same(
          [&](const Tensors& t) {
            return ops::linear_log_probs(t[0], head(t), targets, {.entropy_gradient = true}).entropy;
          },
          inputs, 2);
    }
  }
}

TEST_F(DeviceOps, ProductsOfFewRows) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const Tensors inputs{random_tensor({5, 72}, type, 31), random_tensor({20, 72}, type, 32),
                         random_tensor({20}, type, 33)};
    expect_same([](const Tensors& t) { return ops::linear(t[0], t[1], t[2]); }, inputs, 1, /*gradients=*/false);
    expect_same([](const Tensors& t) { return ops::linear_f32(t[0], t[1], t[2]); }, inputs, 1, /*gradients=*/false);
    const at::Tensor alone = ops::linear(there(inputs[0].narrow(0, 3, 1)), there(inputs[1]), there(inputs[2]));
    EXPECT_TRUE(
        here(ops::linear(there(inputs[0]), there(inputs[1]), there(inputs[2])).narrow(0, 3, 1)).equal(here(alone)))
        << "a row does not depend on others";
  }
}

TEST_F(DeviceOps, LowRankTerms) {
  for (const at::ScalarType type : kTypes) {
    const Tensors inputs{random_tensor({6, 16}, type, 31), random_tensor({24, 16}, type, 32),
                         random_tensor({24}, type, 33), random_tensor({4, 16}, at::kFloat, 34),
                         random_tensor({24, 4}, at::kFloat, 35)};
    for (const float rate : {0.0f, 0.3f}) {
      const auto map = [&](const Tensors& t) {
        const ops::LowRankTerm term{.a = t[3], .b = t[4], .scale = 0.5f, .dropout = {.rate = rate, .seed = 5}};
        return ops::adapted_linear(t[0], t[1], t[2], {&term, 1});
      };
      expect_same(map, inputs, rate > 0.0f ? 1 : 0);
    }
  }
}

TEST_F(DeviceOps, LowRankTermsInPlace) {
  for (const at::ScalarType type : kTypes) {
    for (const at::ScalarType matrices : {at::kFloat, at::kBFloat16}) {
      for (const std::int64_t inputs : {16, 13}) {
        ops::LowRankTerm here_term{.a = random_tensor({4, inputs}, matrices, 1),
                                   .b = random_tensor({24, 4}, matrices, 2)};
        ops::DeviceTerm kept;
        for (const float scale : {0.5f, 2.0f}) {  // the second changes what was uploaded
          here_term.scale = scale;
          ops::LowRankTerm far = here_term;
          far.a = there(far.a);
          far.b = there(far.b);
          const at::Tensor x = random_tensor({9, inputs}, type, 3), y = random_tensor({9, 24}, type, 4);
          const at::Tensor far_x = there(x), far_y = there(y);
          ASSERT_TRUE(ops::DeviceTerm::takes(far_x, far));
          kept.add(far_y, far_x, far);
          const at::Tensor low = x.to(at::kDouble).mm(here_term.a.to(at::kDouble).t());
          const at::Tensor expected = y.to(at::kDouble).add(low.mm(here_term.b.to(at::kDouble).t()), scale);
          EXPECT_LT(error_of(far_y, expected), tolerance_of(type)) << type << " " << inputs;
          EXPECT_FALSE(ops::DeviceTerm::takes(x, here_term));
          far.dropout.rate = 0.1f;
          EXPECT_FALSE(ops::DeviceTerm::takes(far_x, far));
        }
      }
    }
  }
}

TEST_F(DeviceOps, DropoutHasTheBitsOfTheCpu) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    for (const std::int64_t columns : {16, 13}) {
      const at::Tensor x = random_tensor({5, columns}, type, 3);
      const ops::Dropout dropout{.rate = 0.4f, .seed = 9, .lane = 2, .counter = 100};
      const int before = launches();
      EXPECT_TRUE(here(ops::dropped(there(x), dropout)).equal(ops::dropped(x, dropout)));
      EXPECT_EQ(launches() - before, type == at::kDouble ? 0 : 1);
      EXPECT_TRUE(here(ops::dropped(there(x).t(), dropout)).equal(ops::dropped(x.t(), dropout)));
    }
  }
}

TEST_F(DeviceOps, MixtureOfExperts) {
  const Mlp choice{.moe = Moe{.num_experts = 4, .num_experts_per_tok = 2, .intermediate_size = 16}};
  const Tensors inputs{random_tensor({6, 8}, at::kFloat, 41), random_tensor({6, 4}, at::kFloat, 42),
                       random_tensor({4, 32, 8}, at::kFloat, 43), random_tensor({4, 8, 16}, at::kFloat, 44)};
  expect_same(
      [&](const Tensors& t) {
        const ops::Routing routing = ops::route(*choice.moe, t[1]);
        return ops::mixture_of_experts(t[0], routing, choice, {.gate_up = t[2], .down = t[3]});
      },
      inputs, 2);
}

}  // namespace
}  // namespace powerhouse::pretended_device
