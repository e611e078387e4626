// Adapters that PEFT wrote: its logits, its gradients, its merged weights; and what is written is what was read.
#include <gtest/gtest.h>

#include "adapter_fixture.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

class Peft : public ::testing::TestWithParam<AdapterCase> {
 protected:
  CausalLM model_ = GetParam().base();
  Tensors expected_ = GetParam().expected();
  at::Tensor ids_ = expected_["input_ids"];
};

TEST_P(Peft, HasItsLogits) {
  const at::Tensor plain = model_.forward(ids_);
  model_.load_adapter(GetParam().folder(), "a");
  EXPECT_TRUE(close(model_.forward(ids_), expected_["logits"], kLogitsTolerance));
  disable_adapters(model_);
  EXPECT_TRUE(model_.forward(ids_).equal(plain));
  set_adapter(model_, "a");
  EXPECT_TRUE(close(model_.forward(ids_), expected_["logits"], kLogitsTolerance));
}

TEST_P(Peft, HasItsGradients) {
  model_.load_adapter(GetParam().folder(), "a", /*trainable=*/true);
  const at::Tensor loss = next_token_loss(model_.forward(ids_), ids_);
  EXPECT_NEAR(loss.item<double>(), expected_["loss"].item<double>(), 1e-5);
  loss.backward();
  std::size_t compared = 0;
  for (const auto& [name, tensor] : adapter_tensors(model_, "a")) {
    if (!expected_.has("grad." + name)) continue;
    ASSERT_TRUE(tensor.grad().defined()) << name;
    EXPECT_TRUE(close(tensor.grad().flatten(), expected_["grad." + name].flatten(), 2e-4)) << name;
    ++compared;
  }
  std::size_t gradients = 0;
  for (const auto& [name, tensor] : expected_.all()) gradients += name.starts_with("grad.") ? 1 : 0;
  EXPECT_EQ(compared, gradients);
}

TEST_P(Peft, HasTheSameGradientsCheckpointed) {
  model_.load_adapter(GetParam().folder(), "a", /*trainable=*/true);
  TokenBatch batch;
  const at::Tensor row = ids_.select(0, 0).contiguous();
  batch.add({row.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(row.numel())});
  const auto gradients = [&](std::int64_t layers) {
    model_.loss(batch, 1, {.checkpointed_layers = layers}).loss.backward();
    std::vector<at::Tensor> out;
    for (auto [name, parameter] : model_.trainable_parameters()) {
      out.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::Tensor());
      parameter.mutable_grad().reset();
    }
    return out;
  };
  const std::vector<at::Tensor> plain = gradients(0);
  const std::vector<at::Tensor> checkpointed = gradients(-1);
  ASSERT_FALSE(plain.empty());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    ASSERT_EQ(plain[i].defined(), checkpointed[i].defined()) << i;
    EXPECT_TRUE(!plain[i].defined() || close(checkpointed[i].flatten(), plain[i].flatten(), 1e-6)) << i;
  }
}

// Each tensor once, with its bytes, under its name; each key with its value.
TEST_P(Peft, WritesWhatItRead) {
  model_.load_adapter(GetParam().folder(), "a");
  const TemporaryFolder folder;
  model_.save_adapter("a", folder.path() + "/out");
  const Tensors written(folder.path() + "/out/adapter_model.safetensors");
  if (GetParam().name != "mixtral_old" && GetParam().name != "pissa" && GetParam().name != "olora") {
    const Tensors read(GetParam().folder() + "/adapter_model.safetensors");
    std::size_t base_layers = 0;
    for (const auto& [name, tensor] : read.all()) {
      if (name.ends_with(".base_layer.weight")) {
        ++base_layers;  // PEFT adds the embeddings as they are
        continue;
      }
      ASSERT_TRUE(written.has(name)) << name;
      EXPECT_TRUE(written[name].equal(tensor)) << name;
    }
    EXPECT_EQ(written.all().size() + base_layers, read.all().size());
    const Json was = Json::parse_file(GetParam().folder() + "/adapter_config.json");
    const Json is = Json::parse_file(folder.path() + "/out/adapter_config.json");
    for (const auto& [key, value] : was.as_object()) {
      ASSERT_NE(is.as_object().find(key), nullptr) << key;
      const bool by_the_way = key == "base_model_name_or_path" || key == "prefix_projection" ||
                              key == "encoder_hidden_size" || key == "init_lora_weights";
      if (by_the_way) continue;
      EXPECT_EQ(is.as_object().find(key)->dump(), value.dump()) << key;
    }
    EXPECT_EQ(is.as_object().size(), was.as_object().size());
  }
  CausalLM again = GetParam().base();
  again.load_adapter(folder.path() + "/out", "b");
  EXPECT_TRUE(close(again.forward(ids_), expected_["logits"], kLogitsTolerance));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Peft, ::testing::ValuesIn(adapter_cases()), case_name);

}  // namespace
}  // namespace powerhouse
