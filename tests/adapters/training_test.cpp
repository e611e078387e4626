// Adapters in passes of training: PEFT's gradients, on quantized bases whose blocks stay blocks, with dropout, and with
// what is kept from pass to pass.
#include <gtest/gtest.h>

#include <functional>
#include <ostream>

#include "adapter_fixture.h"
#include "model/adapted_module.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/token_scores.h"
#include "random_tensor.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

TokenBatch batch_of(const std::vector<std::int64_t>& ids) {
  TokenBatch batch;
  batch.add(ids);
  return batch;
}

std::vector<std::int64_t> some_ids(std::int64_t count, std::int64_t vocabulary) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(3 + i * i * 7 % (vocabulary - 3));
  return ids;
}

class PeftTraining : public ::testing::TestWithParam<AdapterCase> {};
INSTANTIATE_TEST_SUITE_P(, PeftTraining, ::testing::ValuesIn(adapter_cases()), case_name);

TEST_P(PeftTraining, HasItsGradients) {
  CausalLM model = GetParam().base();
  const Tensors expected = GetParam().expected();
  model.load_adapter(GetParam().folder(), "a", /*trainable=*/true);
  const std::vector<std::int64_t> ids = to_vector(expected["input_ids"].flatten());
  const TokenLoss loss = model.loss(batch_of(ids), static_cast<double>(ids.size() - 1));
  EXPECT_NEAR(loss.loss.item<double>(), expected["loss"].item<double>(), 1e-5);
  loss.loss.backward();
  for (const auto& [name, tensor] : adapter_tensors(model, "a")) {
    if (!expected.has("grad." + name)) continue;
    ASSERT_TRUE(tensor.grad().defined()) << name;
    EXPECT_TRUE(close(tensor.grad().flatten(), expected["grad." + name].flatten(), 2e-4)) << name;
  }
}

struct BlockCase {
  std::string name, model;
  std::function<void(CausalLM&)> add;

  friend void PrintTo(const BlockCase& of, std::ostream* out) { *out << of.name; }
};

class OnBlocks : public ::testing::TestWithParam<BlockCase> {};

std::vector<BlockCase> block_cases() {
  const auto lora = [](LoraConfig config) {
    config.rank = 3;
    config.init_lora_weights = config.lora_bias ? "true" : "gaussian";
    return [config](CausalLM& model) { model.add_adapter("a", config); };
  };
  return {
      {"dora", "bnb_nf4", lora({.target_modules = {"all-linear"}, .use_dora = true})},
      {"dora_gguf", "tiny_blocks_q4_0.gguf", lora({.target_modules = {"all-linear", "lm_head"}, .use_dora = true})},
      {"ia3", "bnb_nf4_nested", [](CausalLM& model) { add_adapter(model, "a", Ia3Config{}); }},
      {"head", "tiny_blocks_q8_0.gguf", lora({.target_modules = {"q_proj", "lm_head"}})},
      {"embeddings", "tiny_blocks_q8_0.gguf", lora({.target_modules = {"q_proj", "embed_tokens"}})},
      {"tokens", "tiny_blocks_q8_0.gguf", lora({.target_modules = {"q_proj"}, .trainable_token_indices = {3, 10}})},
      {"bias", "bnb_fp4", lora({.target_modules = {"v_proj", "down_proj"}, .lora_bias = true})},
      {"experts", "tiny_experts_q4_0.gguf",
       lora({.target_modules = {"q_proj"}, .target_parameters = {"experts.gate_up_proj", "experts.down_proj"}})},
      {"beside_experts", "tiny_experts_q8_0.gguf", lora({.target_modules = {"q_proj"}})},
      {"gptq", "packed/gptq4_order", lora({.target_modules = {"all-linear"}})},
      {"gptq_orders", "packed/gptq4_orders", lora({.target_modules = {"all-linear"}, .use_dora = true})},
      {"gptq_experts", "packed/gptq4_mixtral", lora({.target_modules = {"q_proj", "o_proj"}})},
      {"awq", "packed/awq_gemm", lora({.target_modules = {"all-linear"}})},
      {"awq_dora", "packed/awq_gemv", lora({.target_modules = {"v_proj", "down_proj"}, .use_dora = true})},
      {"int8", "bnb_int8", lora({.target_modules = {"all-linear"}})},
      {"hqq", "packed/hqq3", lora({.target_modules = {"all-linear"}})},
  };
}
INSTANTIATE_TEST_SUITE_P(, OnBlocks, ::testing::ValuesIn(block_cases()),
                         [](const auto& info) { return info.param.name; });

// The loss, and the gradients of all that trains, one behind the other.
std::vector<at::Tensor> gradients(CausalLM& model) {
  const TokenLoss loss = model.loss(batch_of(some_ids(20, model.config().vocab_size)), 19);
  loss.loss.backward();
  std::vector<at::Tensor> out{loss.loss.detach()};
  for (auto [name, parameter] : model.trainable_parameters()) {
    EXPECT_TRUE(parameter.grad().defined()) << name;
    out.push_back(parameter.grad().flatten());
  }
  return out;
}

// Weights that are quantized, and how many of them have a dense form.
std::pair<int, int> dense_of(const CausalLM& model) {
  std::pair<int, int> counts;
  const DecoderWeights& weights = model.impl().model->weights;
  for (const ParameterSpec& spec : weights.specs()) {
    const Weight& weight = weights.weight(spec);
    if (spec.shape.size() < 2 || block_info(weight.format()).block_elements == 1) continue;
    ++counts.first;
    counts.second += weight.dense_bytes() > 0 ? 1 : 0;
  }
  return counts;
}

TEST_P(OnBlocks, LearnsWithoutADenseFormOfAnyWeight) {
  CausalLM model = load(GetParam().model, Dtype::automatic);
  GetParam().add(model);
  for (auto [name, parameter] : model.trainable_parameters()) {
    const bool zero = name.find("lora_B.") != std::string::npos || name.find("lora_embedding_A.") != std::string::npos;
    if (zero) parameter.detach().fill_(0.02);
  }
  const std::vector<at::Tensor> found = gradients(model);
  const auto [quantized, dense] = dense_of(model);
  EXPECT_GT(quantized, 4);
  EXPECT_EQ(dense, 0);
  for (const ParameterSpec& spec : model.impl().model->weights.specs())
    model.impl().model->weights.weight(spec).tensor();
  for (auto [name, parameter] : model.trainable_parameters()) parameter.mutable_grad().reset();
  const std::vector<at::Tensor> expected = gradients(model);
  ASSERT_EQ(found.size(), expected.size());
  ASSERT_GT(found.size(), 1u);
  // In bf16, products of dense matrices and those made for one product round in another order.
  const double tolerance = model.dtype() == Dtype::f32 ? 1e-5 : 0.03;
  EXPECT_NEAR(found[0].item<double>(), expected[0].item<double>(), tolerance / 5);
  for (std::size_t i = 1; i < found.size(); ++i) {
    const at::Tensor wanted = expected[i].to(at::kDouble);
    EXPECT_LT(found[i].to(at::kDouble).sub(wanted).norm().item<double>(), tolerance * wanted.norm().item<double>())
        << i;
  }
}

// By differences of the loss: what an early module has for all that comes behind it passes later ones' dropout.
class Dropped : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(, Dropped, ::testing::Bool(), [](const auto& info) { return info.param ? "Dora" : "Bias"; });

TEST_P(Dropped, HasGradientsThroughDropout) {
  CausalLM model = load("families/llama_biases");
  model.add_adapter("a", {.rank = 4,
                          .alpha = 16,
                          .dropout = 0.4,
                          .target_modules = {"all-linear"},
                          .use_dora = GetParam(),
                          .lora_bias = !GetParam(),
                          .init_lora_weights = GetParam() ? "gaussian" : "true"});
  for (auto [name, parameter] : model.trainable_parameters()) {
    if (name.find("lora_B") != std::string::npos && name.find("bias") == std::string::npos) {
      parameter.detach().fill_(0.1);
    }
  }
  const TokenBatch batch = batch_of(some_ids(20, model.config().vocab_size));
  const auto loss = [&] { return model.loss(batch, 1, {.dropout_key = 5}).loss; };
  loss().backward();
  // Norms of DoRA are constants to autograd: magnitudes are not in them.
  const std::string part = GetParam() ? "lora_magnitude_vector" : "bias";
  int compared = 0;
  for (auto [name, parameter] : model.trainable_parameters()) {
    if (name.find("layers.0.self_attn.v_proj") == std::string::npos || name.find(part) == std::string::npos) continue;
    const c10::AutoGradMode no_grad(false);
    const at::Tensor values = parameter.detach(), before = values.clone();
    const at::Tensor step = parameter.grad().div(parameter.grad().norm()).mul(0.003);
    values.add_(step);
    const double above = loss().item<double>();
    values.copy_(before.sub(step));
    const double below = loss().item<double>();
    values.copy_(before);
    EXPECT_NEAR((above - below) / (2 * step.mul(parameter.grad()).sum().item<double>()), 1, 0.02) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 1);
}

TEST(KeptNorms, FollowWhatIsWritten) {
  const TemporaryFolder folder;
  CausalLM model = load("families/llama_biases");
  model.load_adapter(adapter_fixture("dora"), "a", /*trainable=*/true);
  const at::Tensor ids = Tensors(adapter_fixture("dora/expected.safetensors"))["input_ids"];
  const at::Tensor first = model.forward(ids).detach();
  EXPECT_TRUE(model.forward(ids).equal(first));
  for (auto [name, parameter] : model.trainable_parameters()) parameter.detach().mul_(1.1);
  model.save_adapter("a", folder.path());
  CausalLM fresh = load("families/llama_biases");
  fresh.load_adapter(folder.path(), "a");
  EXPECT_TRUE(close(model.forward(ids).detach(), fresh.forward(ids), 1e-5));
  // And the base's own weights.
  for (CausalLM* one : {&model, &fresh}) {
    one->impl().model->plan.reset();
    for (const ParameterSpec& spec : one->impl().model->weights.specs()) {
      if (spec.role == Role::v_proj && !spec.is_bias) one->impl().model->weights.weight(spec).own().detach().mul_(0.7);
    }
  }
  CausalLM again = fresh.share();
  again.load_adapter(folder.path(), "a");
  EXPECT_TRUE(close(model.forward(ids).detach(), again.forward(ids), 1e-5));
}

// Heads with adapters, whose logits are made some rows at a time.
TEST(RealHead, HasTheLossAndGradientsOfWholeLogits) {
  POWERHOUSE_NEEDS_REAL_MODEL();
  CausalLM model = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  model.add_adapter("a", {.rank = 4, .dropout = 0.1, .target_modules = {"lm_head"}, .init_lora_weights = "gaussian"});
  const std::vector<std::int64_t> ids = some_ids(450, model.config().vocab_size);  // 341 rows at a time
  const auto run = [&](std::optional<std::uint64_t> key) {
    const TokenLoss loss = model.loss(batch_of(ids), static_cast<double>(ids.size() - 1), {.dropout_key = key});
    loss.loss.backward();
    std::vector<at::Tensor> out{loss.loss.detach()};
    for (auto [name, parameter] : model.trainable_parameters()) {
      out.push_back(parameter.grad().clone());
      parameter.mutable_grad().reset();
    }
    return out;
  };
  const std::vector<at::Tensor> found = run({});
  const at::Tensor input = index_tensor(ids).unsqueeze(0);
  const at::Tensor whole = next_token_loss(model.forward(input), input);
  EXPECT_NEAR(found[0].item<double>(), whole.item<double>(), 1e-4);
  whole.backward();
  std::size_t i = 1;
  for (auto [name, parameter] : model.trainable_parameters()) {
    EXPECT_TRUE(close(found[i++].flatten(), parameter.grad().flatten(), 1e-3)) << name;
    parameter.mutable_grad().reset();
  }
}

TEST(Halves, DrawAsTheWhole) {
  const Weight weight = Weight::dense("w", random_tensor({6, 20}, at::kFloat, 1));
  const at::Tensor none;
  ModuleAdapters adapters;
  adapters.terms.push_back({.low_rank = {.a = random_tensor({3, 20}, at::kFloat, 2),
                                         .b = random_tensor({6, 3}, at::kFloat, 3),
                                         .dropout = {.rate = 0.5}}});
  const at::Tensor x = random_tensor({10, 20}, at::kFloat, 4);
  const auto product = [&](std::int64_t first, std::int64_t rows) {
    return adapted_product_f32(x.narrow(0, first, rows), {weight, none}, adapters,
                               {.dropout_key = 5, .first_row = first});
  };
  const at::Tensor whole = product(0, 10);
  EXPECT_TRUE(close(concatenate({product(0, 4), product(4, 6)}, 0), whole, 1e-6));
  EXPECT_FALSE(close(adapted_product_f32(x.narrow(0, 4, 6), {weight, none}, adapters, {.dropout_key = 5}),
                     whole.narrow(0, 4, 6), 1e-2));
}

}  // namespace
}  // namespace powerhouse
