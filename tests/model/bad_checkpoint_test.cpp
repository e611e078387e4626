// Checkpoints that are wrong in one place: one Error that names it.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "expect_error.h"
#include "fixture.h"
#include "powerhouse/inspect.h"
#include "powerhouse/session.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::fixture;

// A copy of tiny_gqa with config.json changed.
class BadFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::copy(fixture("tiny_gqa"), folder_.file("m"));
    config_ = Json::parse_file(path() + "/config.json");
  }
  std::string path() const { return folder_.file("m"); }
  void save() { folder_.write("m/config.json", config_.dump()); }
  template <typename Value>
  void set(const char* key, Value value) {
    config_.as_object()[key] = Json(value);
    save();
  }
  void expect(ErrorKind kind, std::string_view mentions) {
    expect_error(kind, mentions, [&] { CausalLM::from_pretrained(path()); });
  }

  testing::TemporaryFolder folder_;
  Json config_;
};

TEST_F(BadFolder, UnknownArchitectureListsTheKnownOnes) {
  set("architectures", Json::Array{Json("GrapevineForCausalLM")});
  expect(ErrorKind::unsupported, "GrapevineForCausalLM");
  expect(ErrorKind::unsupported, "LlamaForCausalLM");
  expect(ErrorKind::unsupported, "Starcoder2ForCausalLM, found");  // the last: nothing is cut
}

TEST_F(BadFolder, WhatChangesTheMathematicsIsRefusedByName) {
  set("hidden_act", "tanh");
  expect(ErrorKind::unsupported, "tanh");
  set("hidden_act", "silu");
  JsonObject rope;
  rope["rope_type"] = "spiral";
  set("rope_parameters", rope);
  expect(ErrorKind::unsupported, "spiral");
  rope["rope_type"] = "default";
  set("rope_parameters", rope);
  set("partial_rotary_factor", 0.5);
  expect(ErrorKind::unsupported, "partial_rotary_factor");
  set("partial_rotary_factor", 1.0);
  EXPECT_NO_THROW(CausalLM::from_pretrained(path()));
}

TEST_F(BadFolder, QuantizedWeightsAreNotTakenForNumbers) {
  JsonObject quantization;
  quantization["quant_method"] = "fp8";
  set("quantization_config", quantization);
  expect(ErrorKind::unsupported, "quantization_config");
  expect(ErrorKind::unsupported, "fp8");
  EXPECT_TRUE(inspect(path()).missing.empty());
  set("quantization_config", nullptr);
  EXPECT_NO_THROW(CausalLM::from_pretrained(path()));
}

TEST_F(BadFolder, ImpossibleSizesAreNamed) {
  for (const char* key : {"hidden_size", "vocab_size", "num_attention_heads", "num_hidden_layers", "intermediate_size",
                          "head_dim", "num_key_value_heads"}) {
    const Json before = config_.at(key);
    for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-3}, std::int64_t{1} << 40}) {
      set(key, value);
      expect(ErrorKind::format, "config.json");
    }
    set(key, "many");
    expect(ErrorKind::format, key);
    config_.as_object()[key] = before;
  }
  set("num_key_value_heads", 4);
  expect(ErrorKind::format, "num_key_value_heads");
  set("num_key_value_heads", 2);
  set("hidden_size", 40);
  expect(ErrorKind::format, "wrong shape");
}

TEST_F(BadFolder, MissingPartsAreNamed) {
  config_.as_object()["num_hidden_layers"] = Json(3);
  save();
  expect(ErrorKind::format, "model.layers.2.input_layernorm.weight");
  const ModelReport report = inspect(path());
  EXPECT_EQ(report.missing.size(), 9u);
  std::filesystem::remove(path() + "/model.safetensors");
  expect(ErrorKind::not_found, "model.safetensors");
  folder_.write("m/pytorch_model.bin", "x");
  expect(ErrorKind::format, "pytorch_model.bin");
  std::filesystem::remove(path() + "/config.json");
  expect(ErrorKind::not_found, "config.json");
}

TEST_F(BadFolder, ABrokenConfigIsNamed) {
  folder_.write("m/config.json", "{\"hidden_size\": ");
  expect(ErrorKind::format, "config.json");
  folder_.write("m/config.json", "[]");
  expect(ErrorKind::format, "config.json");
  folder_.write("m/config.json", "");
  expect(ErrorKind::format, "config.json");
}

TEST_F(BadFolder, NaNInTheFileIsTracedToTheFileAndItsLayer) {
  auto tensors = load_safetensors(path() + "/model.safetensors");
  for (auto& [name, tensor] : tensors) {
    if (name == "model.layers.1.self_attn.o_proj.weight") tensor[3][5].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  save_safetensors(path() + "/model.safetensors", tensors);
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    const CausalLM model = CausalLM::from_pretrained(path(), {.dtype = dtype});
    expect_error(ErrorKind::numeric, "layer 1 attention_output", [&] { model.forward(testing::to_tensor({1, 2})); });
    expect_error(ErrorKind::numeric, path(), [&] { model.forward(testing::to_tensor({1, 2})); });
  }
}

TEST_F(BadFolder, WrongShapesAreNamedWithBoth) {
  auto tensors = load_safetensors(path() + "/model.safetensors");
  for (auto& [name, tensor] : tensors) {
    if (name == "model.layers.0.mlp.up_proj.weight") tensor = tensor.narrow(1, 0, 47);
  }
  save_safetensors(path() + "/model.safetensors", tensors);
  expect(ErrorKind::format, "model.layers.0.mlp.up_proj.weight");
  expect(ErrorKind::format, "[80, 48]");
  expect(ErrorKind::format, "[80, 47]");
}

TEST_F(BadFolder, NamesInAReportStayOnTheirLine) {
  auto tensors = load_safetensors(path() + "/model.safetensors");
  tensors.emplace_back("evil\x1b[2J\nmissing: x", tensors.front().second.clone());
  save_safetensors(path() + "/model.safetensors", tensors);
  const std::string text = to_string(inspect(path()), true);
  EXPECT_NE(text.find("unused: evil?[2J\\nmissing: x\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nevil?[2J\\nmissing: x "), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST_F(BadFolder, NumbersThatAreNoneAreRefused) {
  for (const char* key : {"rms_norm_eps", "max_position_embeddings"}) {
    const Json before = config_.at(key);
    set(key, -1.0);
    expect(ErrorKind::format, "config.json");
    set(key, "1e-5");
    expect(ErrorKind::format, key);
    config_.as_object()[key] = before;
  }
  JsonObject rope;
  rope["rope_type"] = "linear";
  set("rope_parameters", rope);
  expect(ErrorKind::format, "factor");
  rope["factor"] = 0.0;
  set("rope_parameters", rope);
  expect(ErrorKind::format, "rope_parameters");
}

// A tiny GGUF file with one text in it replaced by another of the same length.
class BadGguf : public ::testing::Test {
 protected:
  void expect(std::string_view from, std::string_view to, ErrorKind kind, std::vector<std::string_view> mentions) {
    ASSERT_EQ(from.size(), to.size());
    std::string bytes = read_text(fixture("tiny_gqa.gguf"));
    const auto at = bytes.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bytes.replace(at, to.size(), to);
    const std::string path = folder_.write("bad.gguf", bytes);
    mentions.push_back(path);
    for (const std::string_view text : mentions) expect_error(kind, text, [&] { CausalLM::from_pretrained(path); });
  }

  testing::TemporaryFolder folder_;
};

TEST_F(BadGguf, UnknownArchitectureListsTheKnownOnes) {
  const std::string key("general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0", 32);
  expect(key + "llama", key + "vicun", ErrorKind::unsupported, {"general.architecture", "vicun", "llama"});
}

TEST_F(BadGguf, MissingTensorsAreNamed) {
  expect("blk.1.ffn_down.weight", "blk.1.ffn_dawn.weight", ErrorKind::format, {"blk.1.ffn_down.weight"});
  expect("output_norm.weight", "output_nerm.weight", ErrorKind::format, {"output_norm.weight"});
}

TEST_F(BadGguf, MissingKeysAreNamed) {
  expect("llama.embedding_length", "llama.embedding_langth", ErrorKind::format, {"llama.embedding_length"});
  expect("llama.attention.head_count", "llama.attention.head_caunt", ErrorKind::format, {"llama.attention.head_count"});
}

TEST_F(BadGguf, ChangedSizesDoNotPass) {
  // A key of type uint32 (4) and its little-endian value.
  const auto key = [](std::string name, char value) {
    for (const char byte : {'\4', '\0', '\0', '\0', value, '\0', '\0', '\0'}) name.push_back(byte);
    return name;
  };
  expect(key("llama.embedding_length", 48), key("llama.embedding_length", 47), ErrorKind::format,
         {"expected [97, 47]"});
  expect(key("llama.attention.head_count_kv", 2), key("llama.attention.head_count_kv", 4), ErrorKind::format,
         {"num_key_value_heads"});
  expect(key("llama.block_count", 2), key("llama.block_count", 3), ErrorKind::format, {"blk.2.attn_norm.weight"});
  expect(key("llama.rope.dimension_count", 16), key("llama.rope.dimension_count", 17), ErrorKind::format,
         {"rotary_dim"});
  expect(key("llama.rope.dimension_count", 16), key("llama.rope.dimension_count", 8), ErrorKind::unsupported,
         {"llama.rope.dimension_count"});
}

TEST(BadModel, MissingAndEmptyFilesAreNamed) {
  const testing::TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "absent.gguf", [&] { CausalLM::from_pretrained(folder.file("absent.gguf")); });
  expect_error(ErrorKind::format, "empty", [&] { CausalLM::from_pretrained(folder.write("empty.gguf", "")); });
  expect_error(ErrorKind::format, "GGUF", [&] { CausalLM::from_pretrained(folder.write("text.gguf", "hello world")); });
  expect_error(ErrorKind::not_found, "config.json", [&] { CausalLM::from_pretrained(folder.path()); });
}

TEST(BadModel, CudaIsRefusedClearly) {
  expect_error(ErrorKind::device, "CUDA",
               [] { CausalLM::from_pretrained(fixture("tiny_gqa"), {.device = parse_device("cuda:0")}); });
}

TEST(BadModel, NaNIsTracedToItsLayer) {
  const std::vector<std::int64_t> ids = {1, 2, 3};
  struct Place {
    const char* parameter;
    const char* where;
  };
  for (const auto& [parameter, where] : {Place{"model.layers.1.mlp.up_proj.weight", "layer 1 mlp_activation"},
                                         Place{"model.layers.0.self_attn.k_proj.weight", "layer 0 key"},
                                         Place{"model.embed_tokens.weight", "embeddings"},
                                         Place{"model.norm.weight", "final_norm"}, Place{"lm_head.weight", "logits"}}) {
    const CausalLM model = CausalLM::from_pretrained(fixture("tiny_gqa"), {.dtype = Dtype::f32});
    model.parameter(parameter).fill_(std::numeric_limits<float>::quiet_NaN());
    expect_error(ErrorKind::numeric, where, [&] { model.forward(testing::to_tensor(ids)); });
    Session session(model);
    const SequenceId sequence = session.create();
    expect_error(ErrorKind::numeric, where, [&] { session.forward(sequence, ids); });
    EXPECT_EQ(session.length(sequence), 0);
  }
}

TEST(BadModel, ForwardRefusesWrongTensors) {
  const CausalLM model = CausalLM::from_pretrained(fixture("tiny_gqa"));
  const at::Tensor ids = testing::to_tensor({1, 2, 3});
  expect_error(ErrorKind::usage, "input_ids", [&] { model.forward(ids.select(0, 0)); });
  expect_error(ErrorKind::usage, "input_ids", [&] { model.forward(ids.to(at::kFloat)); });
  expect_error(ErrorKind::usage, "input_ids", [&] { model.forward(at::Tensor()); });
  expect_error(ErrorKind::usage, "attention_mask", [&] { model.forward(ids, ids.narrow(1, 0, 2)); });
  expect_error(ErrorKind::range, "97", [&] { model.forward(testing::to_tensor({97})); });
  expect_error(ErrorKind::range, "64", [&] { model.forward(testing::to_tensor(std::vector<std::int64_t>(65, 1))); });
  EXPECT_EQ(model.forward(ids, ids.mul(0)).abs().sum().item<float>(), 0.0f) << "all padding";
}

TEST(BadModel, ASequenceStaysAsItWasWhenNumbersFail) {
  const CausalLM model = testing::load("tiny_gqa");
  Session session(model, {.page_tokens = 4});
  const SequenceId sequence = session.create();
  const std::vector<std::int64_t> ids = {1, 2, 3, 4, 5, 6, 7};
  session.forward(sequence, ids);
  const at::Tensor weight = model.parameter("model.layers.1.mlp.up_proj.weight");
  const float kept = weight[0][0].item<float>();
  weight[0][0].fill_(std::numeric_limits<float>::infinity());
  expect_error(ErrorKind::numeric, "layer 1", [&] { session.forward(sequence, ids); });
  EXPECT_EQ(session.length(sequence), 7);
  weight[0][0].fill_(kept);
  Session fresh(model);
  const SequenceId again = fresh.create();
  fresh.forward(again, ids);
  EXPECT_TRUE(testing::close(session.forward(sequence, ids), fresh.forward(again, ids), testing::kSameF32));
}

TEST(Parameters, TrainingNeverTouchesTheFile) {
  const testing::TemporaryFolder folder;
  std::filesystem::copy(fixture("tiny_gqa"), folder.file("m"));
  const std::string file = folder.file("m/model.safetensors");
  const std::string before = read_text(file);
  CausalLM model = CausalLM::from_pretrained(folder.file("m"), {.dtype = Dtype::f32});
  EXPECT_GT(model.memory().mapped, 0u);
  model.parameter("model.norm.weight").mul_(3);
  model.set_requires_grad(true);
  EXPECT_EQ(model.memory().mapped, 0u);
  for (const auto& [name, parameter] : model.named_parameters()) parameter.detach().add_(1);
  EXPECT_EQ(read_text(file), before);
  EXPECT_FALSE(CausalLM::from_pretrained(folder.file("m"), {.dtype = Dtype::f32})
                   .parameter("model.norm.weight")
                   .equal(model.parameter("model.norm.weight")));
}

TEST(Parameters, CloneCopiesAndShareDoesNot) {
  const CausalLM model = CausalLM::from_pretrained(fixture("tiny_gqa"), {.dtype = Dtype::f32});
  const CausalLM copy = model.clone();
  const CausalLM same = model.share();
  model.parameter("model.norm.weight").mul_(2);
  EXPECT_TRUE(same.parameter("model.norm.weight").equal(model.parameter("model.norm.weight")));
  EXPECT_FALSE(copy.parameter("model.norm.weight").equal(model.parameter("model.norm.weight")));
  expect_error(ErrorKind::not_found, "model.nothing", [&] { model.parameter("model.nothing"); });
}

}  // namespace
}  // namespace powerhouse
