// Models from a config alone: GPT-2's deviations, the same numbers for the same seed, and a folder that loads again.
#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "model/fixture.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

constexpr const char* kGpt2 = R"({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 300,
  "n_positions": 64, "n_embd": 96, "n_layer": 8, "n_head": 4, "activation_function": "gelu_new",
  "layer_norm_epsilon": 1e-5})";
constexpr const char* kLlama = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 300,
  "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu"})";

double deviation(const at::Tensor& tensor) { return tensor.to(at::kDouble).std().item<double>(); }

TEST(Initialization, HasTheDeviationsOfGpt2) {
  const CausalLM model = CausalLM::from_config(config_from_json(kGpt2), {.seed = 1});
  EXPECT_NEAR(deviation(model.parameter("transformer.wte.weight")), 0.02, 0.0005);
  EXPECT_NEAR(deviation(model.parameter("transformer.h.3.attn.c_attn.weight")), 0.02, 0.0005);
  for (const char* name : {"transformer.h.3.attn.c_proj.weight", "transformer.h.3.mlp.c_proj.weight"}) {
    const at::Tensor weight = model.parameter(name);
    EXPECT_NEAR(deviation(weight), 0.02 / std::sqrt(16.0), 0.0002) << name;
    EXPECT_NEAR(weight.mean().item<double>(), 0, 0.0002) << name;
  }
  EXPECT_EQ(model.parameter("transformer.h.0.ln_1.weight").sub(1).abs().max().item<double>(), 0);
  EXPECT_EQ(model.parameter("transformer.h.0.attn.c_attn.bias").abs().max().item<double>(), 0);
  // Normal: of many numbers, the share beyond two deviations.
  const at::Tensor flat = model.parameter("transformer.h.0.mlp.c_fc.weight").flatten();
  EXPECT_NEAR(flat.abs().gt(0.04).to(at::kDouble).mean().item<double>(), 0.0455, 0.004);
}

TEST(Initialization, TheSeedDecides) {
  const ModelConfig config = config_from_json(kLlama);
  const char* name = "model.layers.1.mlp.up_proj.weight";
  const at::Tensor first = CausalLM::from_config(config, {.seed = 5}).parameter(name).clone();
  EXPECT_TRUE(first.equal(CausalLM::from_config(config, {.seed = 5}).parameter(name)));
  EXPECT_FALSE(first.equal(CausalLM::from_config(config, {.seed = 6}).parameter(name)));
  EXPECT_FALSE(first.equal(CausalLM::from_config(config, {.seed = 5}).parameter("model.layers.0.mlp.up_proj.weight")));
}

TEST(Initialization, PredictsNearlyUniformly) {
  const CausalLM model = CausalLM::from_config(config_from_json(kLlama), {.seed = 2});
  const at::Tensor logits = model.forward(testing::to_tensor({1, 2, 3, 4, 5}));
  EXPECT_NEAR(logits.log_softmax(-1).mean().item<double>(), -std::log(300.0), 0.1);
}

TEST(Initialization, SavesAFolderThatLoads) {
  const testing::TemporaryFolder folder;
  for (const char* json : {kGpt2, kLlama}) {
    const CausalLM model = CausalLM::from_config(config_from_json(json), {.seed = 3});
    model.save_pretrained(folder.file("saved"));
    const CausalLM loaded = CausalLM::from_pretrained(folder.file("saved"), {.dtype = Dtype::f32});
    const at::Tensor ids = testing::to_tensor({7, 8, 9});
    EXPECT_TRUE(testing::close(loaded.forward(ids), model.forward(ids), testing::kSameF32));
  }
}

TEST(Initialization, NamesWhatIsWrong) {
  testing::expect_error(ErrorKind::unsupported, "no_such", [] { config_from_json(R"({"model_type": "no_such"})"); });
  testing::expect_error(ErrorKind::format, "config", [] { config_from_json("{"); });
}

}  // namespace
}  // namespace powerhouse
