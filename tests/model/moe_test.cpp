// The auxiliary loss of mixtures of experts is transformers'; per layer it is the mean of the layers' own.
#include "powerhouse/moe.h"

#include <gtest/gtest.h>

#include <map>

#include "expect_error.h"
#include "fixture.h"

namespace powerhouse {
namespace {

using namespace testing;

std::vector<at::Tensor> router_logits_of(const std::string& folder, bool gradients = false) {
  CausalLM model = load(folder);
  if (gradients) model.set_requires_grad(true);
  std::map<std::int64_t, at::Tensor> seen;
  model.add_hook({HookPoint::router_logits}, [&](const at::Tensor& x, const HookContext& context) -> at::Tensor {
    seen[context.layer] = x;
    return {};
  });
  model.forward(Tensors(fixture(folder + "/expected.safetensors"))["input_ids"].narrow(0, 0, 1));
  std::vector<at::Tensor> layers;
  for (const auto& [layer, logits] : seen) layers.push_back(logits);
  return layers;
}

class AuxLoss : public ::testing::TestWithParam<const char*> {};

TEST_P(AuxLoss, IsThatOfTransformers) {
  const std::string folder = std::string("families/") + GetParam();
  const Tensors expected(fixture(folder + "/expected.safetensors"));
  const std::vector<at::Tensor> logits = router_logits_of(folder, true);
  const std::int64_t chosen = load(folder).config().layers.back().mlp.moe
                                  ? load(folder).config().layers.back().mlp.moe->num_experts_per_tok
                                  : load(folder).config().layers.front().mlp.moe->num_experts_per_tok;
  const at::Tensor loss = load_balancing_loss(logits, chosen);
  EXPECT_NEAR(loss.item<double>(), expected["aux_loss"].item<double>(), 1e-5);
  EXPECT_TRUE(loss.requires_grad());

  EXPECT_NEAR(load_balancing_loss(logits, chosen, AuxLossScope::per_layer).item<double>(),
              expected["aux_loss.layers"].mean().item<double>(), 1e-5);

  std::int64_t routed = 0;
  const auto loads = expert_load(logits, chosen);
  for (const std::int64_t tokens : loads[0].tokens) routed += tokens;
  EXPECT_EQ(routed, chosen * logits[0].size(0));
  EXPECT_GE(loads[0].max_over_mean, 1.0);
}

INSTANTIATE_TEST_SUITE_P(Tiny, AuxLoss,
                         ::testing::Values("gpt_oss_plain", "gpt_oss_shipped", "gpt_oss_sinks", "mixtral_experts",
                                           "mixtral_fused", "qwen2_moe_mlp_only", "qwen2_moe_sparse_step",
                                           "qwen3_moe_norm", "qwen3_moe_plain"),
                         [](const auto& info) { return std::string(info.param); });

TEST(AuxLoss, LeavesMaskedTokensOut) {
  at::Tensor logits = empty_tensor({4, 3}, at::kFloat);
  for (std::int64_t i = 0; i < 12; ++i) logits.data_ptr<float>()[i] = static_cast<float>(i * 7 % 5);
  at::Tensor mask = empty_tensor({4}, at::kLong);
  for (std::int64_t i = 0; i < 4; ++i) mask.data_ptr<std::int64_t>()[i] = i < 2 ? 1 : 0;
  const at::Tensor kept = logits.narrow(0, 0, 2);
  EXPECT_NEAR(load_balancing_loss(std::span(&logits, 1), 2, mask).item<double>(),
              load_balancing_loss(std::span(&kept, 1), 2).item<double>(), 1e-6);
}

TEST(AuxLoss, WrongInputIsNamed) {
  expect_error(ErrorKind::usage, "router_logits", [] { load_balancing_loss({}, 2); });
  const at::Tensor logits = empty_tensor({4, 3}, at::kFloat);
  expect_error(ErrorKind::range, "num_experts_per_tok", [&] { load_balancing_loss(std::span(&logits, 1), 4); });
}

}  // namespace
}  // namespace powerhouse
