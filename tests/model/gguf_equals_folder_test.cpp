// A GGUF file and a Hugging Face folder of the same weights are the same model: config, names, bits.
#include <gtest/gtest.h>

#include "expect_error.h"
#include "fixture.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

class SameModel : public ::testing::TestWithParam<TinyModel> {};

TEST_P(SameModel, NamesShapesAndBitsOfParameters) {
  const CausalLM folder = load(GetParam().path);
  const CausalLM file = load(std::string(GetParam().path) + ".gguf");
  const auto left = folder.named_parameters();
  const auto right = file.named_parameters();
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].first, right[i].first);
    EXPECT_TRUE(left[i].second.equal(right[i].second)) << left[i].first;
  }
}

TEST_P(SameModel, Choices) {
  const ModelConfig folder = load(GetParam().path).config();
  const ModelConfig file = load(std::string(GetParam().path) + ".gguf").config();
  EXPECT_EQ(file.vocab_size, folder.vocab_size);
  EXPECT_EQ(file.hidden_size, folder.hidden_size);
  EXPECT_EQ(file.max_position_embeddings, folder.max_position_embeddings);
  EXPECT_EQ(file.tie_word_embeddings, folder.tie_word_embeddings);
  EXPECT_EQ(file.final_norm, folder.final_norm);
  ASSERT_EQ(file.layers.size(), folder.layers.size());
  for (std::size_t i = 0; i < file.layers.size(); ++i) {
    EXPECT_EQ(file.layers[i].attention, folder.layers[i].attention);
    EXPECT_EQ(file.layers[i].mlp, folder.layers[i].mlp);
    EXPECT_EQ(file.layers[i].norm, folder.layers[i].norm);
    EXPECT_EQ(file.layers[i].rope.theta, folder.layers[i].rope.theta);
    EXPECT_EQ(file.layers[i].rope.rotary_dim, folder.layers[i].rope.rotary_dim);
  }
}

TEST_P(SameModel, BitsOfLogits) {
  const at::Tensor ids = Tensors(fixture(GetParam().expected))["input_ids"];
  const at::Tensor folder = load(GetParam().path).forward(ids);
  const at::Tensor file = load(std::string(GetParam().path) + ".gguf").forward(ids);
  // A table of factors is float32, where the folder's formula is computed in float64.
  if (std::string_view(GetParam().name) == "bias_llama3") {
    EXPECT_TRUE(close(file, folder, kSameF32));
  } else {
    EXPECT_TRUE(file.equal(folder));
  }
}

TEST_P(SameModel, SavedFromGgufAsAFolder) {
  const CausalLM file = load(std::string(GetParam().path) + ".gguf");
  const TemporaryFolder temporary;
  const std::string saved = temporary.file("saved");
  file.save_pretrained(saved);
  const CausalLM back = CausalLM::from_pretrained(saved);
  EXPECT_EQ(back.dtype(), Dtype::f32);
  const at::Tensor ids = Tensors(fixture(GetParam().expected))["input_ids"];
  if (std::string_view(GetParam().name) == "bias_llama3") {  // the table has become the formula again
    const Rope named = back.config().layers[0].rope;
    const Rope original = load(GetParam().path).config().layers[0].rope;
    EXPECT_EQ(named.scaling, RopeScaling::llama3);
    EXPECT_EQ(named.factor, original.factor);
    EXPECT_EQ(named.high_freq_factor / named.low_freq_factor, original.high_freq_factor / original.low_freq_factor);
    EXPECT_TRUE(close(back.forward(ids), file.forward(ids), kSameF32));
    return;
  }
  EXPECT_EQ(back.config(), file.config());
  EXPECT_TRUE(back.forward(ids).equal(file.forward(ids)));
}

constexpr TinyModel kPairs[] = {kTinyFolders[0], kTinyFolders[1], kTinyFolders[2], kTinyFolders[3]};
INSTANTIATE_TEST_SUITE_P(Tiny, SameModel, ::testing::ValuesIn(kPairs), test_name);

TEST(Quantized, IsBfloat16UnlessAskedOtherwise) {
  EXPECT_EQ(load("tiny_blocks_q8_0.gguf", Dtype::automatic).dtype(), Dtype::bf16);
  EXPECT_EQ(load("tiny_blocks.gguf", Dtype::automatic).dtype(), Dtype::f32);
  EXPECT_EQ(load("tiny_bf16", Dtype::automatic).dtype(), Dtype::bf16);
}

}  // namespace
}  // namespace powerhouse
