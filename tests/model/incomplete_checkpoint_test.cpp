// Checkpoints of which something is missing: an Error on loading, and a report that names each part.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "expect_error.h"
#include "fixture.h"
#include "powerhouse/inspect.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using Names = std::vector<std::string>;
using testing::expect_error;
using testing::fixture;
using testing::load;

Names sorted(Names names) {
  std::sort(names.begin(), names.end());
  return names;
}

// A copy of a fixture's folder.
class Incomplete : public ::testing::Test {
 protected:
  std::string copy(const std::string& name) {
    std::filesystem::copy(fixture(name), folder_.file("m"), std::filesystem::copy_options::recursive);
    return folder_.file("m");
  }
  void remove(const std::string& name) { ASSERT_TRUE(std::filesystem::remove(folder_.file("m/" + name))); }

  testing::TemporaryFolder folder_;
};

TEST_F(Incomplete, AMissingShardIsNamedWithItsTensors) {
  const std::string path = copy("torch/llama_llama3"), shard = "pytorch_model-00002-of-00003.bin";
  remove(shard);
  expect_error(ErrorKind::not_found, shard, [&] { CausalLM::from_pretrained(path); });
  Names expected;
  const Json index = Json::parse_file(path + "/pytorch_model.bin.index.json");
  for (const auto& [name, file] : index.at("weight_map").as_object("weight_map")) {
    if (file.as_string(name) == shard) expected.push_back(name);
  }
  ASSERT_FALSE(expected.empty());
  const ModelReport report = inspect(path);
  EXPECT_EQ(report.missing_files, Names{shard});
  EXPECT_EQ(sorted(report.missing), sorted(expected));
  EXPECT_EQ(report.unused, Names{});
  const ModelReport whole = inspect(fixture("torch/llama_llama3"));
  EXPECT_EQ(estimate_memory(report).run.total(), estimate_memory(whole).run.total());
  EXPECT_EQ(whole.missing_files, Names{});
  EXPECT_NE(to_string(report).find("missing file: " + shard + "\n"), std::string::npos);
}

TEST_F(Incomplete, AFolderWithoutWeightsLacksThemAll) {
  const std::string path = copy("families/llama_llama3");
  Names all;
  for (const TensorReport& tensor : inspect(path).tensors) all.push_back(tensor.name);
  remove("model.safetensors");
  expect_error(ErrorKind::not_found, "model.safetensors", [&] { CausalLM::from_pretrained(path); });
  const ModelReport report = inspect(path);
  EXPECT_EQ(report.missing_files, Names{"model.safetensors"});
  EXPECT_EQ(sorted(report.missing), sorted(all));
  EXPECT_EQ(report.parameters, 0);
  EXPECT_EQ(estimate_memory(report).train_full.total(),
            estimate_memory(inspect(fixture("families/llama_llama3"))).train_full.total());
}

TEST_F(Incomplete, OneMissingExpertIsNamedAlone) {
  const std::string path = copy("families/mixtral_experts");
  const Names gone = {"model.layers.0.block_sparse_moe.experts.1.w1.weight",
                      "model.layers.1.block_sparse_moe.experts.0.w2.weight"};
  auto tensors = load_safetensors(path + "/model.safetensors");
  std::erase_if(tensors, [&](const auto& tensor) { return std::count(gone.begin(), gone.end(), tensor.first) > 0; });
  save_safetensors(path + "/model.safetensors", tensors);
  expect_error(ErrorKind::format, gone[0], [&] { CausalLM::from_pretrained(path); });
  const ModelReport report = inspect(path);
  EXPECT_EQ(sorted(report.missing), gone);
  EXPECT_EQ(report.unused, Names{});
}

TEST_F(Incomplete, TheHeadOfATiedModelIsNotUnused) {
  const ModelReport report = inspect(fixture("torch/gpt2_unscaled"));
  EXPECT_TRUE(report.config.tie_word_embeddings);
  EXPECT_TRUE(std::any_of(report.tensors.begin(), report.tensors.end(),
                          [](const TensorReport& tensor) { return tensor.name == "lm_head.weight"; }));
  EXPECT_EQ(report.unused, Names{});
  EXPECT_EQ(report.missing, Names{});
}

}  // namespace
}  // namespace powerhouse
