// Gradients of the next-token loss: those of transformers, and those of finite differences.
#include <gtest/gtest.h>

#include "fixture.h"
#include "powerhouse/hooks.h"

namespace powerhouse {
namespace {

using namespace testing;

// Mean cross-entropy of each next token, as transformers' `labels=` computes it.
at::Tensor next_token_loss(const CausalLM& model, const at::Tensor& ids, const at::Tensor& mask = {}) {
  const std::int64_t length = ids.size(1);
  const at::Tensor log_probabilities = model.forward(ids, mask).narrow(1, 0, length - 1).log_softmax(-1);
  return log_probabilities.gather(-1, ids.narrow(1, 1, length - 1).unsqueeze(-1)).mean().neg();
}

class Gradient : public ::testing::TestWithParam<TinyModel> {
 protected:
  CausalLM model_ = load(GetParam().path);
  Tensors expected_{fixture(GetParam().expected)};
  at::Tensor ids_ = expected_["input_ids"].narrow(0, 0, 1);
};

TEST_P(Gradient, EqualsThatOfTransformers) {
  model_.set_requires_grad(true);
  const at::Tensor loss = next_token_loss(model_, ids_);
  EXPECT_NEAR(loss.item<double>(), expected_["loss"].item<double>(), 1e-5);
  loss.backward();
  int compared = 0;
  for (const auto& [name, tensor] : expected_.all()) {
    if (!name.starts_with("grad.")) continue;
    const at::Tensor gradient = model_.parameter(name.substr(5)).grad();
    ASSERT_TRUE(gradient.defined()) << name;
    // As one row: some rows of the embedding have no gradient at all.
    EXPECT_TRUE(close(gradient.flatten(), tensor.flatten(), 1e-4)) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 3);
  for (const auto& [name, parameter] : model_.named_parameters()) {
    ASSERT_TRUE(parameter.grad().defined()) << name;
    // A key's bias moves all scores of a query alike, but for RoPE's turn; every other parameter clearly matters.
    EXPECT_GT(parameter.grad().abs().max().item<float>(), 1e-8f) << name;
  }
}

TEST_P(Gradient, EqualsFiniteDifferences) {
  model_.set_requires_grad(true);
  const at::Tensor ids = ids_.narrow(1, 0, 12);
  next_token_loss(model_, ids).backward();
  for (const auto& [name, parameter] : model_.named_parameters()) {
    // Along the gradient itself, where the loss changes most.
    const at::Tensor gradient = parameter.grad().clone();
    const double norm = gradient.norm().item<double>();
    const double step = 2e-2 / std::max(1.0, norm);
    const at::Tensor direction = gradient.div(norm);
    const at::Tensor values = parameter.detach();  // the same memory
    model_.set_requires_grad(false);
    values.add_(direction, step);
    const double above = next_token_loss(model_, ids).item<double>();
    values.sub_(direction, 2 * step);
    const double below = next_token_loss(model_, ids).item<double>();
    values.add_(direction, step);
    model_.set_requires_grad(true);
    EXPECT_NEAR((above - below) / (2 * step), norm, 2e-3 + 0.01 * norm) << name;
  }
}

TEST_P(Gradient, IgnoresPadding) {
  model_.set_requires_grad(true);
  const at::Tensor ids = ids_.narrow(1, 0, 20);
  const at::Tensor mask = ids.new_ones(ids.sizes());
  mask.narrow(1, 0, 6).fill_(0);
  model_.forward(ids, mask).narrow(1, 6, 14).square().sum().backward();
  const at::Tensor padded = model_.parameter("model.norm.weight").grad().clone();
  model_.parameter("model.norm.weight").mutable_grad().reset();
  model_.forward(ids.narrow(1, 6, 14)).square().sum().backward();
  EXPECT_TRUE(close(padded, model_.parameter("model.norm.weight").grad(), 1e-5));
}

TEST_P(Gradient, IsNotTakenWhereNobodyAsks) {
  EXPECT_FALSE(model_.forward(ids_).requires_grad());
  model_.set_requires_grad(true);
  EXPECT_TRUE(model_.forward(ids_).requires_grad());
  {
    const c10::AutoGradMode no_grad(false);
    EXPECT_FALSE(model_.forward(ids_).requires_grad());
  }
  model_.set_requires_grad(false);
  EXPECT_FALSE(model_.forward(ids_).requires_grad());
}

TEST_P(Gradient, FindsOneParameterAlone) {
  model_.parameter("model.layers.0.mlp.down_proj.weight").set_requires_grad(true);
  next_token_loss(model_, ids_).backward();
  const at::Tensor alone = model_.parameter("model.layers.0.mlp.down_proj.weight").grad().clone();
  EXPECT_FALSE(model_.parameter("model.layers.1.mlp.down_proj.weight").grad().defined());
  model_.parameter("model.layers.0.mlp.down_proj.weight").mutable_grad().reset();
  model_.set_requires_grad(true);
  next_token_loss(model_, ids_).backward();
  EXPECT_TRUE(close(alone.flatten(), model_.parameter("model.layers.0.mlp.down_proj.weight").grad().flatten(), 1e-5));
}

TEST_P(Gradient, OneStepDownLowersTheLoss) {
  model_.set_requires_grad(true);
  const at::Tensor before = next_token_loss(model_, ids_);
  before.backward();
  for (const auto& [name, parameter] : model_.named_parameters()) parameter.detach().sub_(parameter.grad(), 0.05);
  EXPECT_LT(next_token_loss(model_, ids_).item<double>(), before.item<double>() - 1e-3);
}

constexpr TinyModel kWithGradients[] = {kTinyFolders[0], kTinyFolders[1]};
static_assert(std::string_view(kWithGradients[1].name) == "bias_llama3");
INSTANTIATE_TEST_SUITE_P(Folder, Gradient, ::testing::ValuesIn(kWithGradients), test_name);
constexpr TinyModel kGgufWithGradients[] = {kTinyGgufs[0], kTinyGgufs[1]};
INSTANTIATE_TEST_SUITE_P(Gguf, Gradient, ::testing::ValuesIn(kGgufWithGradients), test_name);

}  // namespace
}  // namespace powerhouse
