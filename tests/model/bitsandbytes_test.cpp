// Folders that transformers and bitsandbytes quantized (tests/oracles/bitsandbytes_folders.py): their weights to the
// bit, their logits, and memory that stays that of the codes.
#include <gtest/gtest.h>

#include <cstring>

#include "expect_error.h"
#include "fixture.h"
#include "formats/bitsandbytes.h"
#include "kernels/cpu/kernels.h"
#include "model/causal_lm_impl.h"
#include "ops/dequantize.h"
#include "powerhouse/session.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

class BitsAndBytes : public ::testing::TestWithParam<const char*> {
 protected:
  Tensors expected_{fixture(std::string(GetParam()) + "/expected.safetensors")};
};

INSTANTIATE_TEST_SUITE_P(, BitsAndBytes,
                         ::testing::Values("bnb_nf4", "bnb_nf4_nested", "bnb_fp4", "bnb_int8", "bnb_nf4_b32",
                                           "bnb_fp4_b256", "bnb_rows96"),
                         [](const auto& of) { return std::string(of.param); });

TEST_P(BitsAndBytes, HasTheLogits) {
  const CausalLM model = load(GetParam());
  EXPECT_TRUE(close(model.forward(expected_["input_ids"]), expected_["logits"], kLogitsTolerance));
}

TEST_P(BitsAndBytes, RunsInSessionsFromItsCodes) {
  const CausalLM model = load(GetParam(), Dtype::automatic);
  const DecoderWeights& weights = model.impl().model->weights;
  const Weight& down = weights.layer(0).weight(Role::down_proj);
  EXPECT_TRUE(dequantized(down, at::kFloat).equal(expected_["down_proj"]));
  EXPECT_TRUE(dequantized(down, at::kBFloat16).equal(expected_["down_proj"].to(at::kBFloat16)));
  const at::Tensor ids = expected_["input_ids"];
  Session session(model, {.kv_type = KvType::f32});
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    const SequenceId sequence = session.create();
    const std::vector<std::int64_t> tokens = to_vector(ids[row]);
    const at::Tensor wanted = expected_["logits"][row];
    const auto last = static_cast<std::int64_t>(tokens.size()) - 1;
    const at::Tensor first = session.forward(sequence, std::span(tokens).first(tokens.size() - 1), LogitsOf::all);
    EXPECT_TRUE(close(first, wanted.narrow(0, 0, last), kLogitsTolerance));
    const at::Tensor one = session.forward(sequence, std::span(tokens).last(1), LogitsOf::all);
    EXPECT_TRUE(close(one, wanted.narrow(0, last, 1), kLogitsTolerance));
  }
  for (const ParameterSpec& spec : weights.specs()) {
    const Weight& weight = weights.weight(spec);
    EXPECT_TRUE(!is_bitsandbytes(weight.format()) || weight.dense_bytes() == 0) << weight.name();
  }
  // Codes of all linear weights, and no dense form of any.
  std::size_t codes = 0;
  for (const ParameterSpec& spec : weights.specs()) {
    const StoredWeight* stored = weights.weight(spec).stored();
    if (stored != nullptr && is_bitsandbytes(weights.weight(spec).format())) codes += stored->views.front().bytes;
  }
  EXPECT_GT(codes, 0U);
  EXPECT_GE(model.memory().weights, codes);
  EXPECT_LT(model.memory().weights, codes + 4096);
}

TEST_P(BitsAndBytes, TakesManyRowsAtOnce) {
  const CausalLM model = load(GetParam(), Dtype::automatic);
  const CausalLM dense = load(GetParam());
  std::vector<std::int64_t> ids(60);
  const auto vocabulary = static_cast<std::size_t>(model.config().vocab_size);
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<std::int64_t>(i * 7 % std::min<std::size_t>(80, vocabulary));
  Session session(model, {.kv_type = KvType::f32});
  const at::Tensor found = session.forward(session.create(), ids, LogitsOf::all);
  const at::Tensor wanted = dense.forward(to_tensor(ids))[0];
  // Rows of many are rounded to bf16 where the processor multiplies those.
  const double error = found.sub(wanted).square().mean().sqrt().item<double>();
  EXPECT_LT(error / wanted.std().item<double>(), cpu::kernels().gemm_type == Element::bf16 ? 0.02 : 1e-4);
}

TEST_P(BitsAndBytes, IsTheSameAloneAndInABatchInExactNumerics) {
  const CausalLM model =
      CausalLM::from_pretrained(fixture(GetParam()), {.dtype = Dtype::automatic, .numerics = Numerics::exact});
  const at::Tensor ids = expected_["input_ids"];
  Session session(model);
  const at::Tensor whole = model.forward(ids);
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    EXPECT_TRUE(session.forward(session.create(), to_vector(ids[row]), LogitsOf::all).equal(whole[row])) << row;
  }
}

TEST_P(BitsAndBytes, IsSavedAsItWas) {
  const TemporaryFolder folder;
  const CausalLM model = load(GetParam());
  model.save_pretrained(folder.path());
  const CausalLM again = CausalLM::from_pretrained(folder.path(), {.dtype = Dtype::f32});
  int compared = 0;
  for (const ParameterSpec& spec : model.impl().model->weights.specs()) {
    const Weight& before = model.impl().model->weights.weight(spec);
    const Weight& after = again.impl().model->weights.weight(spec);
    ASSERT_EQ(before.format(), after.format()) << spec.name;
    EXPECT_TRUE(dequantized(before, at::kFloat).equal(dequantized(after, at::kFloat))) << spec.name;
    compared += is_bitsandbytes(after.format()) ? 1 : 0;
  }
  EXPECT_EQ(compared, 14);
}

TEST(LoadIn4Bit, FindsBitsandbytesCodes) {
  for (const char* name : {"bnb_nf4", "bnb_nf4_nested", "bnb_fp4"}) {
    const BitsAndBytesConfig config{.load_in_4bit = true,
                                    .bnb_4bit_quant_type = std::string(name).substr(4, 3),
                                    .bnb_4bit_use_double_quant = std::string(name).ends_with("nested")};
    const CausalLM ours = CausalLM::from_pretrained(fixture("bnb_base"), {.dtype = Dtype::f32, .quantization = config});
    const CausalLM theirs = load(name);
    const DecoderWeights& weights = ours.impl().model->weights;
    int compared = 0;
    for (const ParameterSpec& spec : weights.specs()) {
      const Weight& found = weights.weight(spec);
      const Weight& wanted = theirs.impl().model->weights.weight(spec);
      ASSERT_EQ(is_bitsandbytes(found.format()), is_bitsandbytes(wanted.format())) << spec.name;
      EXPECT_TRUE(dequantized(found, at::kFloat).equal(dequantized(wanted, at::kFloat))) << name << " " << spec.name;
      compared += is_bitsandbytes(found.format()) ? 1 : 0;
    }
    EXPECT_EQ(compared, 14);
  }
}

TEST(LoadIn8Bit, FindsBitsandbytesCodes) {
  const CausalLM ours =
      CausalLM::from_pretrained(fixture("bnb_base"), {.dtype = Dtype::f32, .quantization = {.load_in_8bit = true}});
  const CausalLM theirs = load("bnb_int8");
  const DecoderWeights& weights = ours.impl().model->weights;
  int compared = 0;
  for (const ParameterSpec& spec : weights.specs()) {
    const Weight& found = weights.weight(spec);
    const Weight& wanted = theirs.impl().model->weights.weight(spec);
    ASSERT_EQ(is_bitsandbytes(found.format()), is_bitsandbytes(wanted.format())) << spec.name;
    if (!is_bitsandbytes(found.format())) continue;
    ASSERT_EQ(found.format(), BlockFormat::int8_rows) << spec.name;
    ASSERT_EQ(wanted.format(), BlockFormat::int8_rows) << spec.name;
    const TensorView &one = found.stored()->views.front(), &other = wanted.stored()->views.front();
    ASSERT_EQ(one.bytes, other.bytes) << spec.name;
    EXPECT_EQ(std::memcmp(one.data, other.data, one.bytes), 0) << spec.name;
    ++compared;
  }
  EXPECT_EQ(compared, 14);
}

TEST(LoadIn8Bit, RefusesWhatItCannotDo) {
  expect_error(ErrorKind::usage, "load_in_8bit", [] {
    CausalLM::from_pretrained(fixture("bnb_base"), {.quantization = {.load_in_4bit = true, .load_in_8bit = true}});
  });
  expect_error(ErrorKind::unsupported, "multiple of 64",
               [] { CausalLM::from_pretrained(fixture("tiny_gqa"), {.quantization = {.load_in_8bit = true}}); });
}

TEST(LoadIn4Bit, CountsBlocksThroughRows) {
  const BitsAndBytesConfig config{
      .load_in_4bit = true, .bnb_4bit_quant_type = "nf4", .bnb_4bit_use_double_quant = true};
  const CausalLM ours =
      CausalLM::from_pretrained(fixture("tiny_blocks"), {.dtype = Dtype::f32, .quantization = config});
  const CausalLM theirs = load("bnb_rows96");
  for (const ParameterSpec& spec : ours.impl().model->weights.specs()) {
    const Weight& found = ours.impl().model->weights.weight(spec);
    const Weight& wanted = theirs.impl().model->weights.weight(spec);
    ASSERT_EQ(found.format(), wanted.format()) << spec.name;
    EXPECT_TRUE(dequantized(found, at::kFloat).equal(dequantized(wanted, at::kFloat))) << spec.name;
  }
}

TEST(LoadIn4Bit, SkipsModulesByName) {
  const BitsAndBytesConfig config{.load_in_4bit = true, .llm_int8_skip_modules = {"model.layers.0", "down_proj"}};
  const CausalLM model = CausalLM::from_pretrained(fixture("bnb_base"), {.quantization = config});
  for (const ParameterSpec& spec : model.impl().model->weights.specs()) {
    const bool expected = spec.layer == 1 && spec.shape.size() == 2 && spec.role != Role::down_proj;
    EXPECT_EQ(is_bitsandbytes(model.impl().model->weights.weight(spec).format()), expected) << spec.name;
  }
}

TEST(LoadIn4Bit, RefusesWhatItCannotDo) {
  expect_error(ErrorKind::usage, "bnb_4bit_quant_type", [] {
    CausalLM::from_pretrained(fixture("bnb_base"),
                              {.quantization = {.load_in_4bit = true, .bnb_4bit_quant_type = "nf3"}});
  });
  expect_error(ErrorKind::unsupported, "q_proj",
               [] { CausalLM::from_pretrained(fixture("tiny_gqa"), {.quantization = {.load_in_4bit = true}}); });
}

}  // namespace
}  // namespace powerhouse
