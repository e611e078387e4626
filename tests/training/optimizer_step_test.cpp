// What a step does whatever the method: scaling and clipping, gradients that are absent or not finite, bad input.
#include <algorithm>
#include <limits>

#include "expect_error.h"
#include "training/optimizer_cases.h"

namespace powerhouse::testing {
namespace {

at::Tensor leaf(std::initializer_list<float> values, at::ScalarType type = at::kFloat) {
  at::Tensor tensor = empty_tensor({static_cast<std::int64_t>(values.size())}, at::kFloat);
  std::copy(values.begin(), values.end(), tensor.data_ptr<float>());
  return tensor.to(type).set_requires_grad(true);
}

void give(at::Tensor& parameter, std::initializer_list<float> values) {
  parameter.mutable_grad() = leaf(values, parameter.scalar_type()).detach();
}

TEST(OptimizerStep, ScalesThenClipsToTheNorm) {
  at::Tensor a = leaf({0, 0}), b = leaf({0});
  Optimizer optimizer({{.parameters = {{"a", a}, {"b", b}}}}, SgdOptions{.lr = 1});
  give(a, {6, 0});
  give(b, {8});
  EXPECT_DOUBLE_EQ(optimizer.grad_norm(), 10);
  EXPECT_DOUBLE_EQ(optimizer.step({.grad_scale = 0.5}).grad_norm, 5);
  EXPECT_EQ(a[0].item<float>(), -3);
  EXPECT_EQ(b[0].item<float>(), -4);
  EXPECT_DOUBLE_EQ(optimizer.step({.grad_scale = 0.5, .max_grad_norm = 1}).grad_norm, 5);
  EXPECT_NEAR(a[0].item<float>(), -3 - 0.6, 1e-6);
  EXPECT_NEAR(b[0].item<float>(), -4 - 0.8, 1e-6);
  optimizer.step({.grad_scale = 0.5, .max_grad_norm = 50});  // below the norm nothing is scaled up
  EXPECT_NEAR(a[0].item<float>(), -3 - 0.6 - 3, 1e-6);
}

TEST(OptimizerStep, MultipliesTheRatesOfGroups) {
  at::Tensor a = leaf({0}), b = leaf({0}), c = leaf({0});
  std::vector<ParameterGroup> groups = {
      {.parameters = {{"a", a}}}, {.parameters = {{"b", b}}, .lr_scale = 16}, {.parameters = {{"c", c}}, .lr = 0.5}};
  Optimizer optimizer(groups, SgdOptions{.lr = 0.25});
  EXPECT_EQ(optimizer.learning_rates(), (std::vector<double>{0.25, 4, 0.5}));
  for (at::Tensor* tensor : {&a, &b, &c}) give(*tensor, {1});
  optimizer.step({.lr_multiplier = 0.5});
  EXPECT_EQ(a[0].item<float>(), -0.125);
  EXPECT_EQ(b[0].item<float>(), -2);
  EXPECT_EQ(c[0].item<float>(), -0.25);
}

TEST(OptimizerStep, LeavesWhatHasNoGradientAlone) {
  at::Tensor a = leaf({1}), b = leaf({1});
  Optimizer optimizer({{.parameters = {{"a", a}, {"b", b}}}}, AdamWOptions{});
  give(a, {1});
  optimizer.step();
  EXPECT_NE(a[0].item<float>(), 1);
  EXPECT_EQ(b[0].item<float>(), 1);
  const auto states = by_name(optimizer.state_dict());
  EXPECT_EQ(states.at("a.step").item<std::int64_t>(), 1);
  EXPECT_EQ(states.at("b.step").item<std::int64_t>(), 0);
  optimizer.zero_grad();
  EXPECT_FALSE(a.grad().defined());
}

TEST(OptimizerStep, DoesNothingWhereAGradientIsNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      at::Tensor a = leaf({1, 2}, type), b = leaf({3}, type);
      Optimizer optimizer({{.parameters = {{"a", a}, {"b", b}}}}, AdamWOptions{});
      give(a, {1, 1});
      give(b, {bad});
      const StepResult result = optimizer.step({.max_grad_norm = 1});
      EXPECT_FALSE(result.applied);
      EXPECT_FALSE(std::isfinite(result.grad_norm));
      EXPECT_EQ(result.not_finite, "b");
      EXPECT_EQ(a[0].item<float>(), 1);
      for (const auto& [name, state] : optimizer.state_dict()) EXPECT_EQ(state.sum().item<double>(), 0) << name;
    }
  }
}

TEST(OptimizerStep, MeasuresNormsWhoseSquaresOverflow) {
  at::Tensor a = leaf({0, 0});
  Optimizer optimizer({{.parameters = {{"a", a}}}}, SgdOptions{.lr = 1});
  give(a, {3e30f, 4e30f});
  const StepResult result = optimizer.step({.max_grad_norm = 1});
  EXPECT_TRUE(result.applied);
  EXPECT_NEAR(result.grad_norm, 5e30, 1e24);
  EXPECT_NEAR(a[1].item<float>(), -0.8, 1e-6);
}

TEST(OptimizerStep, TellsAutogradThatItWrote) {
  at::Tensor a = leaf({2});
  const at::Tensor square = a.mul(a);
  Optimizer optimizer({{.parameters = {{"a", a}}}}, SgdOptions{.lr = 1});
  give(a, {1});
  const auto before = a._version();
  optimizer.step();
  EXPECT_GT(a._version(), before);
}

TEST(OptimizerStep, RefusesParametersThatItCannotStep) {
  const auto expect = [](ErrorKind kind, std::string_view mentions, std::vector<NamedTensor> parameters) {
    expect_error(kind, mentions, [&] { Optimizer({{.parameters = parameters}}, SgdOptions{}); });
  };
  at::Tensor a = leaf({1, 2});
  expect(ErrorKind::usage, "twin", {{"a", a}, {"twin", a}});
  expect(ErrorKind::usage, "a", {{"a", a}, {"a", leaf({1})}});
  expect(ErrorKind::usage, "child", {{"child", a.mul(2)}});
  expect(ErrorKind::usage, "frozen", {{"frozen", leaf({1}).detach()}});
  expect(ErrorKind::unsupported, "Double", {{"a", leaf({1}).detach().to(at::kDouble).set_requires_grad(true)}});
  expect(ErrorKind::unsupported, "strides",
         {{"a", empty_tensor({2, 6}, at::kFloat).slice(1, 0, 3).set_requires_grad(true)}});
  Optimizer optimizer({{.parameters = {{"a", a}}}}, SgdOptions{});
  expect_error(ErrorKind::range, "lr_multiplier", [&] { optimizer.step({.lr_multiplier = -1}); });
  expect_error(ErrorKind::range, "grad_scale", [&] { optimizer.step({.grad_scale = std::nan("")}); });
}

TEST(OptimizerStep, RefusesOptionsOutOfRange) {
  const auto expect = [](ErrorKind kind, std::string_view mentions, OptimizerOptions options) {
    expect_error(kind, mentions, [&] { Optimizer({}, options); });
  };
  expect(ErrorKind::range, "lr", AdamWOptions{.lr = -1});
  expect(ErrorKind::range, "lr", AdamWOptions{.lr = std::nan("")});
  expect(ErrorKind::range, "beta1", AdamWOptions{.beta1 = 1});
  expect(ErrorKind::range, "weight_decay", AdamW8bitOptions{.weight_decay = -0.1});
  expect(ErrorKind::usage, "nesterov", SgdOptions{.nesterov = true});
  expect(ErrorKind::usage, "lr", AdafactorOptions{.lr = 1e-3});
  expect(ErrorKind::usage, "lr", AdafactorOptions{.relative_step = false});
  expect(ErrorKind::range, "clip_threshold", AdafactorOptions{.clip_threshold = 0});
  expect(ErrorKind::range, "ns_steps", MuonOptions{.ns_steps = 100});
  expect(ErrorKind::usage, "adjust_lr_fn", MuonOptions{.adjust_lr_fn = "other"});
  expect(ErrorKind::range, "beta2", LionOptions{.beta2 = -0.5});
  EXPECT_TRUE(Optimizer({}, AdamWOptions{}).step().applied);  // nothing to do is no error
}

}  // namespace
}  // namespace powerhouse::testing
