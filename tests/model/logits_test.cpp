// The forward pass of the tiny checkpoints, from folders and from GGUF files, gives transformers' logits.
#include <gtest/gtest.h>

#include "fixture.h"

namespace powerhouse {
namespace {

using namespace testing;

at::Tensor rows_where(const at::Tensor& keep, const at::Tensor& logits) {
  return logits.flatten(0, 1).index_select(0, keep.flatten().nonzero().squeeze(1));
}

class Logits : public ::testing::TestWithParam<TinyModel> {};

TEST_P(Logits, OfOneSequence) {
  const CausalLM model = load(GetParam().path);
  const Tensors expected(fixture(GetParam().expected));
  const at::Tensor logits = model.forward(expected["input_ids"].narrow(0, 0, 1));
  EXPECT_EQ(logits.scalar_type(), at::kFloat);
  ASSERT_EQ(logits.dim(), 3);
  EXPECT_TRUE(close(logits[0], expected["single_logits"], kSameF32));
}

TEST_P(Logits, OfAPaddedBatch) {
  const CausalLM model = load(GetParam().path);
  const Tensors expected(fixture(GetParam().expected));
  const at::Tensor mask = expected["attention_mask"];
  const at::Tensor logits = model.forward(expected["input_ids"], mask);
  EXPECT_TRUE(close(rows_where(mask.ne(0), logits), rows_where(mask.ne(0), expected["logits"]), kSameF32));
  EXPECT_EQ(rows_where(mask.eq(0), logits).abs().max().item<float>(), 0.0f);
}

TEST_P(Logits, OfTheShorterSequenceAlone) {
  const CausalLM model = load(GetParam().path);
  const Tensors expected(fixture(GetParam().expected));
  const at::Tensor wanted = expected["single_logits.1"];
  const at::Tensor ids = expected["input_ids"].narrow(0, 1, 1);
  const at::Tensor unpadded = ids.narrow(1, ids.size(1) - wanted.size(0), wanted.size(0));
  EXPECT_TRUE(close(model.forward(unpadded)[0], wanted, kSameF32));
}

INSTANTIATE_TEST_SUITE_P(Folder, Logits, ::testing::ValuesIn(kTinyFolders), test_name);
INSTANTIATE_TEST_SUITE_P(Gguf, Logits, ::testing::ValuesIn(kTinyGgufs), test_name);

}  // namespace
}  // namespace powerhouse
