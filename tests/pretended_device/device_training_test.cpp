// Steps of training on a device end where the CPU's end.
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "device_fixture.h"
#include "expect_error.h"
#include "model/fixture.h"
#include "powerhouse/adapter.h"
#include "powerhouse/optimizer.h"
#include "powerhouse/token_batch.h"
#include "temporary_folder.h"

namespace powerhouse::pretended_device {
namespace {

using testing::expect_error;
using testing::fixture;
using testing::random_tensor;

class DeviceTraining : public OnDevice {};

// Three steps of given gradients.
Tensors stepped(const Tensors& from, const OptimizerOptions& options, const OptimizerStorage& storage, bool on_device) {
  std::vector<ParameterGroup> groups(1);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const at::Tensor leaf = (on_device ? there(from[i]) : from[i]).detach().clone().set_requires_grad(true);
    groups[0].parameters.emplace_back("p" + std::to_string(i), leaf);
  }
  Optimizer optimizer(groups, options, storage);
  for (std::uint64_t step = 0; step < 3; ++step) {
    for (auto& [name, leaf] : groups[0].parameters) {
      const at::Tensor gradient = random_tensor(leaf.sizes(), leaf.scalar_type(), 50 + step);
      leaf.mutable_grad() = on_device ? there(gradient) : gradient;
    }
    EXPECT_TRUE(optimizer.step({.max_grad_norm = 1}).applied);
  }
  Tensors found;
  for (const auto& [name, leaf] : groups[0].parameters) found.push_back(leaf.detach());
  for (const auto& [name, state] : optimizer.state_dict()) {
    EXPECT_TRUE(state.is_cpu());
    found.push_back(state);
  }
  return found;
}

TEST_F(DeviceTraining, Steps) {
  const Tensors bf16{random_tensor({20, 300}, at::kBFloat16, 1), random_tensor({7}, at::kBFloat16, 2)};
  const Tensors wide{bf16[0].to(at::kFloat), bf16[1].to(at::kFloat)};
  const auto compare = [](const Tensors& from, const OptimizerOptions& options, const OptimizerStorage& storage) {
    const Tensors expected = stepped(from, options, storage, false), found = stepped(from, options, storage, true);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].scalar_type(), expected[i].scalar_type());
      if (expected[i].scalar_type() == at::kByte) continue;  // codes: the weights tell
      EXPECT_LT(error_of(found[i], expected[i]), expected[i].scalar_type() == at::kFloat ? 1e-5 : 5e-3) << i;
    }
  };
  const AdamWOptions adamw{.lr = 1e-2, .weight_decay = 0.1};
  compare(wide, adamw, {});
  compare(bf16, adamw, {});
  compare(bf16, adamw, {.master_weights = true});
  int before = launches();
  compare(bf16, adamw, {});
  EXPECT_EQ(launches(), before + 6);  // sums of squares and the update, of all parameters
  compare(bf16, SgdOptions{.lr = 1e-2, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true}, {});
  compare(wide, SgdOptions{.lr = 1e-2}, {});
  compare(bf16, LionOptions{.lr = 1e-3}, {.master_weights = true});
  compare(wide, AdagradOptions{}, {});
  compare(wide, RmspropOptions{.lr = 1e-3, .momentum = 0.5}, {});
  before = launches();
  compare(wide, AdamW8bitOptions{.lr = 1e-2, .min_8bit_size = 1000}, {});
  EXPECT_EQ(launches(), before + 9);
}

TEST_F(DeviceTraining, StatesGoOnWhereTheyWereSaved) {
  const at::Tensor start = random_tensor({20, 300}, at::kFloat, 1);
  for (const OptimizerOptions& options :
       {OptimizerOptions(AdamWOptions{}), OptimizerOptions(AdamW8bitOptions{.min_8bit_size = 1000})}) {
    const auto fresh = [&](const at::Tensor& from) { return there(from).clone().set_requires_grad(true); };
    const auto step = [&](Optimizer& optimizer, const at::Tensor& leaf, std::uint64_t seed) {
      leaf.mutable_grad() = there(random_tensor(leaf.sizes(), at::kFloat, seed));
      optimizer.step();
    };
    const at::Tensor leaf = fresh(start);
    Optimizer optimizer({{.parameters = {{"p", leaf}}}}, options);
    step(optimizer, leaf, 7);
    const at::Tensor copy = fresh(leaf.detach());
    Optimizer again({{.parameters = {{"p", copy}}}}, options);
    again.load_state_dict(optimizer.state_dict());
    step(optimizer, leaf, 8);
    step(again, copy, 8);
    EXPECT_TRUE(here(leaf.detach()).equal(here(copy.detach())));
    EXPECT_EQ(optimizer.state_bytes(), options.index() == OptimizerOptions(AdamWOptions{}).index() ? 48000u : 12192u);
  }
}

TEST_F(DeviceTraining, NormsAreThoseOfAllGradients) {
  const at::Tensor leaf = there(random_tensor({30}, at::kFloat, 3)).set_requires_grad(true);
  Optimizer optimizer({{.parameters = {{"p", leaf}}}}, AdamWOptions{});
  const at::Tensor gradient = random_tensor({30}, at::kFloat, 4);
  leaf.mutable_grad() = there(gradient);
  EXPECT_NEAR(optimizer.grad_norm(2), 2 * gradient.norm().item<double>(), 1e-5);
  leaf.mutable_grad().fill_(std::numeric_limits<float>::infinity());
  EXPECT_FALSE(optimizer.step().applied);
}

TEST_F(DeviceTraining, SaysWhatHasNoStepThere) {
  const at::Tensor leaf = there(random_tensor({30}, at::kFloat, 3)).set_requires_grad(true);
  const std::vector<ParameterGroup> groups{{.parameters = {{"p", leaf}}}};
  expect_error(ErrorKind::unsupported, "optimizer", [&] { Optimizer(groups, AdafactorOptions{}); });
  expect_error(ErrorKind::unsupported, "paged", [&] { Optimizer(groups, AdamWOptions{}, {.paged = true}); });
}

// A few steps of LoRA, then the adapter's file and the model's.
TEST_F(DeviceTraining, WhatWasTrainedIsSaved) {
  const testing::TemporaryFolder folder;
  std::vector<std::vector<std::pair<std::string, at::Tensor>>> trained;
  for (const bool on_device : {false, true}) {
    CausalLM model = CausalLM::from_pretrained(
        fixture("tiny_blocks"), {.dtype = Dtype::f32, .device = parse_device(on_device ? "cuda" : "cpu")});
    model.add_adapter("a", LoraConfig{.rank = 4, .seed = 7});
    Optimizer optimizer(make_parameter_groups(model.trainable_parameters()), AdamWOptions{.lr = 1e-2, .eps = 1e-3});
    TokenBatch batch;
    const std::vector<std::int64_t> ids{5, 9, 13, 2, 60, 33, 8};
    batch.add(ids);
    for (int step = 0; step < 2; ++step) {
      model.loss(batch, 6).loss.backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    trained.push_back(model.trainable_parameters());
    const std::string path = folder.path() + (on_device ? "/there" : "/here");
    model.save_adapter("a", path);
    model.save_pretrained(path + "_model");
    CausalLM again = CausalLM::from_pretrained(path + "_model", {.dtype = Dtype::f32});
    again.load_adapter(path, "a");
    const at::Tensor row = index_tensor(ids).view({1, -1});
    EXPECT_LT(error_of(model.forward(row), again.forward(row)), 1e-3);
  }
  for (std::size_t i = 0; i < trained[0].size(); ++i) {
    EXPECT_LT(error_of(trained[1][i].second, trained[0][i].second), 1e-2) << trained[0][i].first;
  }
}

}  // namespace
}  // namespace powerhouse::pretended_device
