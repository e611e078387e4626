// What is read from a folder: the config in both spellings, every tensor under its own name, one file or shards; and
// what is written is read back the same.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "expect_error.h"
#include "fixture.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

std::vector<std::string> weight_files(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("model") && name.ends_with(".safetensors")) files.push_back(entry.path().string());
  }
  return files;
}

class Load : public ::testing::TestWithParam<TinyModel> {};

TEST_P(Load, EveryTensorOfTheFilesUnderItsName) {
  const CausalLM model = load(GetParam().path, Dtype::automatic);
  std::set<std::string> names;
  for (const auto& [name, parameter] : model.named_parameters()) names.insert(name);
  std::size_t stored = 0;
  for (const std::string& file : weight_files(fixture(GetParam().path))) {
    for (const auto& [name, tensor] : load_safetensors(file)) {
      EXPECT_TRUE(model.parameter(name).equal(tensor)) << name;
      EXPECT_TRUE(names.contains(name)) << name;
      ++stored;
    }
  }
  EXPECT_EQ(names.size(), stored);
  EXPECT_GT(stored, 10u);
}

TEST_P(Load, SavedAndReadBack) {
  const CausalLM model = load(GetParam().path, Dtype::automatic);
  const at::Tensor ids = Tensors(fixture(GetParam().expected))["input_ids"];
  const at::Tensor logits = model.forward(ids);
  for (const std::size_t shard : {std::size_t{1} << 30, std::size_t{40000}}) {
    const TemporaryFolder temporary;
    const std::string folder = temporary.file("not/yet/there");
    model.save_pretrained(folder, {.max_shard_bytes = shard});
    EXPECT_EQ(weight_files(folder).size() > 1, shard == 40000);
    EXPECT_EQ(std::filesystem::exists(folder + "/model.safetensors.index.json"), shard == 40000);
    const CausalLM back = CausalLM::from_pretrained(folder);
    EXPECT_EQ(back.dtype(), model.dtype());
    EXPECT_EQ(back.config(), model.config());
    EXPECT_TRUE(back.forward(ids).equal(logits));
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, Load, ::testing::ValuesIn(kTinyFolders), test_name);

TEST(LoadConfig, HeadsOfTheirOwnSize) {
  const ModelConfig config = load("tiny_gqa").config();
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.vocab_size, 97);
  EXPECT_EQ(config.hidden_size, 48);
  EXPECT_EQ(config.max_position_embeddings, 64);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_ids, std::vector<std::int64_t>{2});
  ASSERT_EQ(config.layers.size(), 2u);
  const Block& block = config.layers[1];
  EXPECT_EQ(block.attention, (Attention{.num_heads = 6, .num_key_value_heads = 2, .head_dim = 16}));
  EXPECT_EQ(block.mlp, (Mlp{.intermediate_size = 80}));
  EXPECT_EQ(block.rope, (Rope{.theta = 5000.0, .rotary_dim = 16}));
  EXPECT_EQ(block.norm.epsilon, 1e-5f);
}

TEST(LoadConfig, RopeAsTransformersFourSpelledIt) {
  const std::string text = Json::parse_file(fixture("tiny_bias_llama3/config.json")).dump();
  ASSERT_NE(text.find("\"rope_scaling\""), std::string::npos);
  ASSERT_EQ(text.find("rope_parameters"), std::string::npos);
  const ModelConfig config = load("tiny_bias_llama3").config();
  const Block& block = config.layers[0];
  EXPECT_EQ(block.rope, (Rope{.theta = 10000.0,
                              .rotary_dim = 8,
                              .scaling = RopeScaling::llama3,
                              .factor = 8.0,
                              .low_freq_factor = 1.0,
                              .high_freq_factor = 4.0,
                              .original_max_position_embeddings = 16}));
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_TRUE(block.attention.qkv_bias);
  EXPECT_TRUE(block.attention.output_bias);
  EXPECT_TRUE(block.mlp.bias);
}

TEST(LoadConfig, RopeInTheNewSpelling) {
  const ModelConfig config = load("tiny_mqa_linear").config();
  EXPECT_EQ(config.layers[2].rope,
            (Rope{.theta = 10000.0, .rotary_dim = 8, .scaling = RopeScaling::linear, .factor = 4.0}));
  EXPECT_EQ(config.layers[2].attention.num_key_value_heads, 1);
}

TEST(LoadConfig, TheOldestSpellingOfScaling) {
  // {"type": ..., "factor": ...}, before `rope_type`.
  const TemporaryFolder temporary;
  std::filesystem::copy(fixture("tiny_mqa_linear"), temporary.file("m"));
  Json config = Json::parse_file(temporary.file("m/config.json"));
  JsonObject changed;
  for (const auto& [key, value] : config.as_object()) {
    if (key != "rope_parameters") changed[key] = value;
  }
  JsonObject scaling;
  scaling["type"] = "linear";
  scaling["factor"] = 4.0;
  changed["rope_scaling"] = scaling;
  changed["rope_theta"] = 10000.0;
  temporary.write("m/config.json", Json(changed).dump());
  EXPECT_EQ(CausalLM::from_pretrained(temporary.file("m")).config(), load("tiny_mqa_linear").config());
}

TEST(LoadConfig, RopeWhereBothSpellingsStand) {
  // As transformers 5 reads them.
  const TemporaryFolder temporary;
  std::filesystem::copy(fixture("tiny_gqa"), temporary.file("m"));
  Json config = Json::parse_file(temporary.file("m/config.json"));
  const auto rope = [&](std::string_view scaling) {
    config.as_object()["rope_scaling"] = Json::parse(scaling, "scaling");
    temporary.write("m/config.json", config.dump());
    return CausalLM::from_pretrained(temporary.file("m")).config().layers[0].rope;
  };
  EXPECT_EQ(rope("null"), (Rope{.theta = 5000.0, .rotary_dim = 16}));
  EXPECT_EQ(rope("{}"), (Rope{.theta = 5000.0, .rotary_dim = 16}));
  EXPECT_EQ(rope(R"({"rope_type": "linear", "factor": 2.0})"),
            (Rope{.theta = 10000.0, .rotary_dim = 16, .scaling = RopeScaling::linear, .factor = 2.0}));
  // Where it is not said, the length before scaling is the length.
  EXPECT_EQ(rope(R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4})"),
            (Rope{.theta = 10000.0,
                  .rotary_dim = 16,
                  .scaling = RopeScaling::llama3,
                  .factor = 8.0,
                  .low_freq_factor = 1.0,
                  .high_freq_factor = 4.0,
                  .original_max_position_embeddings = 64}));
}

TEST(LoadConfig, SavedForReadersOfEitherSpelling) {
  const TemporaryFolder temporary;
  load("tiny_bias_llama3").save_pretrained(temporary.file("m"));
  const Json saved = Json::parse_file(temporary.file("m/config.json"));
  EXPECT_EQ(saved.at("rope_theta").as_double(), saved.at("rope_parameters").at("rope_theta").as_double());
  const Json before = Json::parse_file(fixture("tiny_bias_llama3/config.json"));
  for (const auto& [key, value] : before.at("rope_scaling").as_object()) {
    EXPECT_EQ(saved.at("rope_scaling").at(key).dump(), value.dump()) << key;
    EXPECT_EQ(saved.at("rope_parameters").at(key).dump(), value.dump()) << key;
  }
  EXPECT_EQ(saved.at("rope_scaling").get("rope_theta"), nullptr);
  load("tiny_gqa").save_pretrained(temporary.file("m"));
  EXPECT_EQ(Json::parse_file(temporary.file("m/config.json")).get("rope_scaling"), nullptr);
}

TEST(LoadConfig, ATiedHeadThatDiffersIsItsOwn) {
  const TemporaryFolder temporary;
  const std::string folder = temporary.file("m");
  std::filesystem::copy(fixture("tiny_gqa"), folder);
  Json config = Json::parse_file(folder + "/config.json");
  config.as_object()["tie_word_embeddings"] = true;
  temporary.write("m/config.json", config.dump());
  const at::Tensor ids = to_tensor({1, 2, 3, 4});
  const CausalLM untied = CausalLM::from_pretrained(folder);
  EXPECT_FALSE(untied.config().tie_word_embeddings);
  EXPECT_TRUE(untied.forward(ids).equal(load("tiny_gqa").forward(ids)));
  // The same matrix twice, as torch's own files hold it, stays tied.
  auto tensors = load_safetensors(folder + "/model.safetensors");
  const auto named = [&](std::string_view name) {
    return std::find_if(tensors.begin(), tensors.end(),
                        [&](const NamedTensor& tensor) { return tensor.first == name; });
  };
  named("lm_head.weight")->second = named("model.embed_tokens.weight")->second;
  save_safetensors(folder + "/model.safetensors", tensors);
  EXPECT_TRUE(CausalLM::from_pretrained(folder).config().tie_word_embeddings);
}

TEST(LoadMemory, WeightsOfTheComputeTypeStayInTheFile) {
  const MemoryAccount in_place = load("tiny_bf16", Dtype::bf16).memory();
  EXPECT_EQ(in_place.weights, 0u);
  EXPECT_GT(in_place.mapped, 100000u);
  const MemoryAccount converted = load("tiny_bf16", Dtype::f32).memory();
  EXPECT_EQ(converted.mapped, 0u);
  EXPECT_EQ(converted.weights, 2 * in_place.mapped);
}

TEST(LoadMemory, ASavedModelMayReplaceItsOwnFolder) {
  // The weights that are written lie mapped in the very file that is replaced.
  const TemporaryFolder temporary;
  std::filesystem::copy(fixture("tiny_gqa"), temporary.file("m"));
  const CausalLM model = CausalLM::from_pretrained(temporary.file("m"));
  ASSERT_GT(model.memory().mapped, 0u);
  const at::Tensor ids = to_tensor({1, 2, 3, 4});
  const at::Tensor logits = model.forward(ids);
  model.save_pretrained(temporary.file("m"));
  EXPECT_TRUE(model.forward(ids).equal(logits));
  EXPECT_TRUE(CausalLM::from_pretrained(temporary.file("m")).forward(ids).equal(logits));
}

TEST(LoadMemory, NothingOfAnEarlierSaveIsReadAgain) {
  const TemporaryFolder temporary;
  const std::string folder = temporary.file("m");
  const at::Tensor ids = to_tensor({1, 2, 3, 4});
  const CausalLM model = load("tiny_gqa");
  for (const std::size_t shard : {40000, 1 << 30, 90000, 40000, 1 << 30}) {
    model.parameter("model.norm.weight").mul_(1.5);
    model.save_pretrained(folder, {.max_shard_bytes = shard});
    EXPECT_TRUE(CausalLM::from_pretrained(folder).forward(ids).equal(model.forward(ids))) << shard;
  }
  EXPECT_EQ(weight_files(folder).size(), 1u);
}

TEST(LoadMemory, AnEarlierGenerationConfigKeepsAllButWhenToStop) {
  const TemporaryFolder temporary;
  std::filesystem::create_directory(temporary.file("m"));
  temporary.write("m/generation_config.json", R"({"eos_token_id": [7, 8], "temperature": 0.7})");
  const CausalLM model = load("tiny_gqa");
  model.save_pretrained(temporary.file("m"));
  EXPECT_EQ(CausalLM::from_pretrained(temporary.file("m")).config(), model.config());
  EXPECT_EQ(Json::parse_file(temporary.file("m/generation_config.json")).at("temperature").as_double(), 0.7);
}

TEST(LoadMemory, HandlesOfParametersOutliveTheCopyOutOfTheFile) {
  const CausalLM shared = load("tiny_gqa");
  CausalLM model = shared.share();
  const at::Tensor handle = model.parameter("model.norm.weight");
  model.set_requires_grad(true);
  EXPECT_EQ(model.memory().mapped, 0u);
  handle.detach().fill_(0);
  EXPECT_EQ(model.forward(to_tensor({1, 2})).abs().max().item<float>(), 0.0f);
}

class Pickled : public ::testing::TestWithParam<const char*> {};

// pytorch_model.bin, whole and in shards, beside the same weights as safetensors.
TEST_P(Pickled, IsTheModelOfItsSafetensors) {
  const std::string name = GetParam();
  const CausalLM pickled = load("torch/" + name);
  const CausalLM model = load("families/" + name);
  EXPECT_EQ(pickled.config(), model.config());
  for (const auto& [parameter, tensor] : model.named_parameters()) {
    EXPECT_TRUE(pickled.parameter(parameter).equal(tensor)) << parameter;
  }
  const at::Tensor ids = to_tensor({1, 2, 3, 4, 5});
  EXPECT_TRUE(pickled.forward(ids).equal(model.forward(ids)));
}

INSTANTIATE_TEST_SUITE_P(Torch, Pickled, ::testing::Values("gpt2_unscaled", "llama_llama3"),
                         [](const auto& info) { return std::string(info.param); });

TEST(PickledWeights, ThatShareAStorageAreWrittenApart) {
  const CausalLM model = load("torch/llama_shared");
  const at::Tensor first = model.parameter("model.layers.0.mlp.up_proj.weight");
  const at::Tensor second = model.parameter("model.layers.1.mlp.up_proj.weight");
  const at::Tensor before = second.clone();
  ASSERT_TRUE(first.equal(second));
  first.zero_();
  EXPECT_TRUE(second.equal(before));
}

TEST(PickledWeights, StandBehindSafetensors) {
  const TemporaryFolder temporary;
  const std::string folder = temporary.file("m");
  std::filesystem::copy(fixture("families/llama_llama3"), folder);
  temporary.write("m/pytorch_model.bin", "not looked at");
  EXPECT_NO_THROW(CausalLM::from_pretrained(folder));
}

TEST(LoadMemory, SavingWhereNoFolderCanBeIsAnError) {
  const TemporaryFolder temporary;
  const std::string file = temporary.write("file", "x");
  expect_error(ErrorKind::io, file, [&] { load("tiny_gqa").save_pretrained(file + "/inside"); });
}

}  // namespace
}  // namespace powerhouse
