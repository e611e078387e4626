// Mixes against llama-quantize (tests/oracles/mixes.py): the same type for every tensor of models of several shapes.
#include "quantization/mixes.h"

#include <gtest/gtest.h>

#include <map>

#include "expect_error.h"
#include "support/json.h"

namespace powerhouse {
namespace {

using testing::expect_error;

BlockFormat format_named(const std::string& name) {
  for (int i = 0; i < kBlockFormatCount; ++i) {
    if (name == block_info(static_cast<BlockFormat>(i)).name) return static_cast<BlockFormat>(i);
  }
  ADD_FAILURE() << "no format " << name;
  return BlockFormat::f32;
}

struct Model {
  MixModel facts;
  std::vector<MixTensor> tensors;
};

Model read_model(const Json& json) {
  Model model{.facts = {.architecture = json.at("architecture").as_string(),
                        .layers = json.at("layers").as_integer(),
                        .heads = json.at("heads").as_integer(),
                        .key_value_heads = json.at("key_value_heads").as_integer(),
                        .experts = json.at("experts").as_integer()}};
  for (const Json& row : json.at("tensors").as_array()) {
    MixTensor tensor{.name = row.as_array()[0].as_string()};
    for (std::size_t i = row.as_array().size() - 1; i > 0; --i) tensor.shape.push_back(row.as_array()[i].as_integer());
    model.tensors.push_back(tensor);
  }
  return model;
}

TEST(Mixes, ChooseWhatLlamaQuantizeChooses) {
  const Json json = Json::parse_file(std::string(POWERHOUSE_FIXTURES) + "/quantization/mixes.json");
  std::vector<BlockFormat> types;
  for (const Json& name : json.at("types").as_array()) types.push_back(format_named(name.as_string()));
  int compared = 0;
  for (const auto& [key, value] : json.at("models").as_object()) {
    const Model model = read_model(value);
    const JsonObject& answers = value.at("answers").as_object();
    for (const Mix& mix : mixes()) {
      if (std::string_view(mix.name) == "NVFP4") continue;  // llama-quantize has no word for it
      for (const bool importance : {false, true}) {
        const Json* expected = importance ? answers.find(std::string(mix.name) + " importance") : nullptr;
        if (expected == nullptr) expected = answers.find(mix.name);
        if (expected == nullptr) {  // llama-quantize has none either
          EXPECT_STREQ(mix.name, "Q1_0");
          expect_error(ErrorKind::unsupported, "Q1_0", [&] { mix_types(mix, model.facts, model.tensors, importance); });
          continue;
        }
        const std::vector<BlockFormat> found = mix_types(mix, model.facts, model.tensors, importance);
        for (std::size_t i = 0; i < found.size(); ++i) {
          EXPECT_STREQ(block_info(found[i]).name,
                       block_info(types[static_cast<std::size_t>(expected->as_string()[i] - 'A')]).name)
              << key << ", " << mix.name << (importance ? " with importance, " : ", ") << model.tensors[i].name;
        }
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 600);
}

TEST(Mixes, HaveNamesAndAliases) {
  EXPECT_EQ(mixes().size(), 36u);
  EXPECT_STREQ(find_mix("q4_k_m")->name, "Q4_K_M");
  EXPECT_STREQ(find_mix("Q4_K")->name, "Q4_K_M");
  EXPECT_STREQ(find_mix("q3_k")->name, "Q3_K_M");
  EXPECT_EQ(find_mix("Q4_K_M")->file_type, 15);
  EXPECT_EQ(find_mix("Q4_K_XL"), nullptr);
  EXPECT_EQ(find_mix(""), nullptr);
}

TEST(Mixes, RefuseExpertsWithoutALayer) {
  const std::vector<MixTensor> tensors{{.name = "blk.9.ffn_down_exps.weight", .shape = {4, 256, 256}}};
  const MixModel model{.architecture = "llama", .layers = 4, .heads = 4, .key_value_heads = 4, .experts = 4};
  expect_error(ErrorKind::format, "blk.9.ffn_down_exps.weight",
               [&] { mix_types(*find_mix("Q4_K_M"), model, tensors, false); });
}

TEST(Mixes, KeepWhatIsNotQuantized) {
  const std::vector<MixTensor> tensors{
      {.name = "blk.0.attn_norm.weight", .shape = {256}, .format = BlockFormat::f32},
      {.name = "blk.0.ffn_gate_inp.weight", .shape = {4, 256}, .format = BlockFormat::bf16},
      {.name = "blk.0.attn_q.bias", .shape = {1, 256}, .format = BlockFormat::f16}};
  const MixModel model{.architecture = "llama", .layers = 1, .heads = 4, .key_value_heads = 4};
  EXPECT_EQ(mix_types(*find_mix("Q4_0"), model, tensors, false),
            (std::vector{BlockFormat::f32, BlockFormat::bf16, BlockFormat::f16}));
}

}  // namespace
}  // namespace powerhouse
