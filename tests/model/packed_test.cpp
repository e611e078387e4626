// Folders of GPTQ, AWQ, compressed-tensors, EXL2 and HQQ that other people's packing made
// (tests/oracles/packed_folders.py, hqq_folders.py): their weights to the number, transformers' logits of those, in the
// plan from their codes, trained through, and saved as they came.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "expect_error.h"
#include "fixture.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "kernels/cpu/kernels.h"
#include "model/causal_lm_impl.h"
#include "ops/adapted_linear.h"
#include "ops/dequantize.h"
#include "powerhouse/log.h"
#include "powerhouse/session.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

constexpr const char* kFolders[] = {"gptq4_order", "gptq4_orders", "gptq4_v2",      "gptq4_mislabelled",
                                    "gptq3",       "gptq8_column", "gptq4_gpt2",    "gptq4_mixtral",
                                    "awq_gemm",    "awq_gemv",     "awq_gemv_fast", "ct4",
                                    "ct4_order",   "ct8_channel",  "exl2",          "hqq2",
                                    "hqq3",        "hqq4",         "hqq6",          "hqq8"};

// Of all logits, relative to their spread. Codes of 15 bits are wrong by some 1e-5 of a row.
double error_of(const at::Tensor& found, const at::Tensor& wanted) {
  return found.sub(wanted).square().mean().sqrt().item<double>() / wanted.std().item<double>();
}

class PackedFolder : public ::testing::TestWithParam<const char*> {
 protected:
  std::string name_ = std::string("packed/") + GetParam();
  Tensors expected_{fixture(name_ + "/expected.safetensors")};

  static const Weight& shown(const CausalLM& model) {
    const LayerWeights& last = model.impl().model->weights.layer(1);
    const Weight& down = last.weight(Role::down_proj);
    return down.defined() ? down : last.weight(Role::o_proj);
  }
};

INSTANTIATE_TEST_SUITE_P(, PackedFolder, ::testing::ValuesIn(kFolders),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(PackedFolder, HasTheLogits) {
  const CausalLM model = load(name_);
  EXPECT_TRUE(close(model.forward(expected_["input_ids"]), expected_["logits"], kLogitsTolerance));
}

TEST_P(PackedFolder, HasTheNumbers) {
  const CausalLM model = load(name_, Dtype::automatic);
  const at::Tensor weight = expected_["weight"];
  for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kBFloat16}) {
    EXPECT_TRUE(dequantized(shown(model), type).equal(weight.to(type)));
  }
  EXPECT_TRUE(dequantized_rows(shown(model), 5, 20, at::kFloat).equal(weight.narrow(0, 5, 20)));
}

TEST_P(PackedFolder, RunsInSessionsFromItsCodes) {
  const CausalLM model = load(name_, Dtype::automatic);
  ASSERT_NE(model.impl().model->plan, nullptr);
  const at::Tensor ids = expected_["input_ids"];
  Session session(model, {.kv_type = KvType::f32});
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    const SequenceId sequence = session.create();
    const std::vector<std::int64_t> tokens = to_vector(ids[row]);
    const at::Tensor wanted = expected_["logits"][row];
    const auto last = static_cast<std::int64_t>(tokens.size()) - 1;
    const at::Tensor first = session.forward(sequence, std::span(tokens).first(tokens.size() - 1), LogitsOf::all);
    EXPECT_LT(error_of(first, wanted.narrow(0, 0, last)), kLogitsTolerance);
    const at::Tensor one = session.forward(sequence, std::span(tokens).last(1), LogitsOf::all);
    EXPECT_LT(error_of(one, wanted.narrow(0, last, 1)), kLogitsTolerance);
  }
  std::size_t packed = 0;
  for (const ParameterSpec& spec : model.impl().model->weights.specs()) {
    const Weight& weight = model.impl().model->weights.weight(spec);
    if (weight.stored() == nullptr || !weight.stored()->rows_are_made()) continue;
    EXPECT_EQ(weight.dense_bytes(), 0U) << weight.name();
    ++packed;
  }
  EXPECT_GE(packed, 8U);
}

TEST_P(PackedFolder, TakesManyRowsAtOnce) {
  const CausalLM model = load(name_, Dtype::automatic);
  const CausalLM dense = load(name_);
  std::vector<std::int64_t> ids(60);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i * 7 % 96);
  Session session(model, {.kv_type = KvType::f32});
  const at::Tensor found = session.forward(session.create(), ids, LogitsOf::all);
  const at::Tensor wanted = dense.forward(to_tensor(ids))[0];
  // A row whose router was in two minds may go to another expert for bf16's rounding.
  const at::Tensor errors = found.sub(wanted).square().mean(1).sqrt().div(wanted.std());
  const bool bf16 = cpu::kernels().gemm_type == Element::bf16;
  EXPECT_LT(errors.median().item<double>(), bf16 ? 0.02 : kLogitsTolerance);
}

TEST_P(PackedFolder, HasOneSetOfBitsInExactNumerics) {
  const CausalLM model = CausalLM::from_pretrained(fixture(name_), {.numerics = Numerics::exact});
  const at::Tensor ids = expected_["input_ids"].narrow(0, 0, 1);
  const at::Tensor at_once = model.forward(ids)[0];
  EXPECT_LT(error_of(at_once, expected_["logits"][0]), kLogitsTolerance);
  Session session(model);
  const std::vector<std::int64_t> tokens = to_vector(ids);
  EXPECT_TRUE(session.forward(session.create(), tokens, LogitsOf::all).equal(at_once));
}

TEST_P(PackedFolder, PassesGradientsOn) {
  const CausalLM model = load(name_, Dtype::automatic);
  const at::Tensor matrix = expected_["weight"];
  const at::Tensor x = matrix.narrow(0, 0, 7).clone().set_requires_grad(true);
  const at::Tensor y = ops::adapted_linear(x, shown(model), {}, {});
  EXPECT_TRUE(y.allclose(x.detach().matmul(matrix.t()), 1e-4, 1e-4));
  const at::Tensor dy = matrix.t().narrow(0, 3, 7).contiguous();
  y.backward(dy);
  EXPECT_TRUE(x.grad().allclose(dy.matmul(matrix), 1e-4, 1e-4));
}

TEST_P(PackedFolder, IsSavedAsItCame) {
  const TemporaryFolder out;
  load(name_, Dtype::automatic).save_pretrained(out.path());
  const auto before = read_safetensors_folder(fixture(name_));
  auto after = read_safetensors_folder(out.path());
  const bool mislabelled = std::string(GetParam()) == "gptq4_mislabelled";
  std::size_t compared = 0;
  for (const TensorView& view : before) {
    const std::string_view format = block_info(view.format).name;
    if (!format.starts_with('I') && !format.starts_with('U')) continue;  // whole numbers of any width
    const auto same = std::find_if(after.begin(), after.end(), [&](const auto& v) { return v.name == view.name; });
    ASSERT_NE(same, after.end()) << view.name;
    EXPECT_EQ(same->shape, view.shape);
    ASSERT_EQ(same->bytes, view.bytes);
    const bool equal = std::equal(view.data, view.data + view.bytes, same->data);
    EXPECT_EQ(equal, !(mislabelled && view.name.ends_with("qzeros"))) << view.name;
    ++compared;
  }
  EXPECT_GE(compared, 14U);
  const Json first = Json::parse_file(fixture(name_) + "/config.json");
  const Json second = Json::parse_file(out.path() + "/config.json");
  EXPECT_EQ(second.at("quantization_config").dump(), first.at("quantization_config").dump());
  const CausalLM again = CausalLM::from_pretrained(out.path());
  EXPECT_TRUE(dequantized(shown(again), at::kFloat).equal(expected_["weight"]));
}

// The first module of an HQQ folder with a number or a part of its own.
void write_with(const std::string& folder, const std::string& ending, std::int32_t value) {
  const std::string from = fixture("packed/hqq4");
  std::vector<TensorSource> tensors;
  for (const TensorView& view : read_safetensors_folder(from)) {
    const bool changed = view.name == "model.layers.0.self_attn.q_proj." + ending;
    tensors.push_back({.name = view.name,
                       .format = changed ? BlockFormat::i32 : view.format,
                       .shape = changed ? std::vector<std::int64_t>{} : view.shape,
                       .bytes = changed ? sizeof value : view.bytes,
                       .write = [view, changed, value](const auto& sink) {
                         changed ? sink(&value, sizeof value) : sink(view.data, view.bytes);
                       }});
  }
  write_safetensors_folder(folder, tensors, std::size_t{1} << 30);
  std::filesystem::copy_file(from + "/config.json", folder + "/config.json",
                             std::filesystem::copy_options::overwrite_existing);
}

TEST(PackedFolders, RefuseWhatHqqHasAndIsNotRead) {
  const TemporaryFolder out;
  const auto refuses = [&](const char* ending, std::int32_t value, ErrorKind kind, const char* words) {
    write_with(out.path(), ending, value);
    expect_error(kind, words, [&] { CausalLM::from_pretrained(out.path()); });
  };
  refuses("axis", 0, ErrorKind::unsupported, "q_proj.axis");
  refuses("quant_zero", 1, ErrorKind::unsupported, "q_proj.quant_zero");
  refuses("channel_wise", 0, ErrorKind::unsupported, "q_proj.channel_wise");
  refuses("group_size", 48, ErrorKind::unsupported, "q_proj.group_size");
  refuses("group_size", 16, ErrorKind::format, "q_proj.zero");
  refuses("nbits", 7, ErrorKind::format, "q_proj.nbits");
  refuses("nbits", 8, ErrorKind::format, "q_proj.W_q");
  refuses("shape", 64, ErrorKind::format, "q_proj.shape");
  refuses("scale", 64, ErrorKind::format, "q_proj.scale");
}

TEST(PackedFolders, NameWhatHasBecomeDense) {
  const TemporaryFolder out;
  const std::string name = "model.layers.0.mlp.up_proj";
  for (const char* folder : {"gptq4_order", "awq_gemm", "ct4", "hqq4"}) {
    const std::string from = fixture(std::string("packed/") + folder);
    const CausalLM model = CausalLM::from_pretrained(from);
    model.parameter(name + ".weight");
    model.save_pretrained(out.path());
    const Checkpoint saved = open_checkpoint(out.path());
    EXPECT_NE(saved.quantization.dump().find(std::string(folder) == "gptq4_order" ? "up_proj$" : name),
              std::string::npos);
    const CausalLM again = CausalLM::from_pretrained(out.path());
    EXPECT_EQ(again.impl().model->weights.layer(0).weight(Role::up_proj).format(), BlockFormat::bf16);
    EXPECT_TRUE(again.impl().model->weights.layer(0).weight(Role::gate_proj).stored()->rows_are_made());
  }
  const CausalLM model = CausalLM::from_pretrained(fixture("packed/exl2"));
  model.parameter(name + ".weight");
  expect_error(ErrorKind::unsupported, "exl2", [&] { model.save_pretrained(out.path()); });
}

TEST(PackedFolders, BecomeGguf) {
  const TemporaryFolder out;
  for (const char* folder : {"gptq4_order", "exl2", "hqq3"}) {
    const std::string from = fixture(std::string("packed/") + folder);
    const Tensors expected(from + "/expected.safetensors");
    const std::string file = out.path() + "/model.gguf";
    CausalLM::from_pretrained(from, {.dtype = Dtype::f32}).save_pretrained(file);
    const CausalLM model = CausalLM::from_pretrained(file, {.dtype = Dtype::f32});
    EXPECT_TRUE(close(model.forward(expected["input_ids"]), expected["logits"], kLogitsTolerance));
  }
}

}  // namespace
}  // namespace powerhouse
