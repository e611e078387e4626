// quantize() from folders, and importance matrices from text. A folder's file is held to the one that
// CausalLM::save_pretrained writes, which llama.cpp loaded (tests/oracles/llama_greedy.py).
#include "powerhouse/quantization.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>

#include "calibration/calibration_fixture.h"
#include "calibration/folder_source.h"
#include "calibration/gguf_budget.h"
#include "calibration/importance_collector.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"
#include "model/fixture.h"
#include "quantization/rows.h"
#include "tests/expect_error.h"
#include "tests/temporary_folder.h"

namespace powerhouse::testing {
namespace {

void expect_same_tensors(const GgufFile& ours, const GgufFile& theirs, const std::string& name) {
  EXPECT_EQ(ours.tensors().size(), theirs.tensors().size()) << name;
  for (const TensorView& want : theirs.tensors()) {
    const TensorView* const got = ours.find_tensor(want.name);
    ASSERT_NE(got, nullptr) << name << ": " << want.name;
    EXPECT_STREQ(block_info(got->format).name, block_info(want.format).name) << name << ": " << want.name;
    EXPECT_EQ(got->shape, want.shape) << name << ": " << want.name;
    ASSERT_EQ(got->bytes, want.bytes) << name << ": " << want.name;
    EXPECT_EQ(std::memcmp(got->data, want.data, want.bytes), 0) << name << ": " << want.name;
  }
}

TEST(Quantize, EveryFamilysFolderHasTheTensorsThatTheSaverWrites) {
  int compared = 0;
  for (const std::string& name : family_names()) {
    const TemporaryFolder folder;
    const std::string saved = folder.file("saved.gguf");
    const std::string path = fixture("families/" + name);
    try {
      CausalLM::from_pretrained(path, {.dtype = Dtype::f32}).save_pretrained(saved);
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::unsupported) << name << ": " << error.what();
      EXPECT_THROW(quantize(path, folder.file("out.gguf"), {.type = "F32"}), Error) << name;
      continue;
    }
    quantize(path, folder.file("out.gguf"), {.type = "F32"});
    expect_same_tensors(*GgufFile::open(folder.file("out.gguf")), *GgufFile::open(saved), name);
    ++compared;
  }
  EXPECT_GT(compared, 20);
}

TEST(Quantize, ABf16FolderIsTakenAsItIs) {
  const TemporaryFolder folder;
  const QuantizationSummary report = quantize(fixture("tiny_bf16"), folder.file("out.gguf"), {.type = "COPY"});
  const auto file = GgufFile::open(folder.file("out.gguf"));
  EXPECT_EQ(file->integer("general.file_type"), 32);
  EXPECT_EQ(file->integer("general.quantization_version"), 2);
  EXPECT_EQ(file->string("general.name"), "tiny_bf16");
  EXPECT_EQ(file->find_tensor("token_embd.weight")->format, BlockFormat::bf16);
  EXPECT_EQ(file->find_tensor("output_norm.weight")->format, BlockFormat::f32);
  EXPECT_EQ(report.relative_error, 0);
  EXPECT_EQ(report.type, "COPY");
  const CausalLM ours = CausalLM::from_pretrained(folder.file("out.gguf"), {.dtype = Dtype::f32});
  const CausalLM theirs = load("tiny_bf16");
  const at::Tensor ids = to_tensor({1, 5, 9, 3});
  EXPECT_TRUE(ours.forward(ids).allclose(theirs.forward(ids), 1e-5, 1e-5));
}

TEST(Quantize, CodesAreQuantizedAgainOnlyWithLeave) {
  const TemporaryFolder folder;
  QuantizationOptions options{.type = "Q4_0"};
  expect_error(ErrorKind::usage, "allow_requantize",
               [&] { quantize(fixture("tiny_blocks_q8_0.gguf"), folder.file("out.gguf"), options); });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  options.gguf.allow_requantize = true;
  const QuantizationSummary report = quantize(fixture("tiny_blocks_q8_0.gguf"), folder.file("out.gguf"), options);
  EXPECT_GT(report.relative_error, 0.01);
  const auto file = GgufFile::open(folder.file("out.gguf"));
  EXPECT_EQ(file->integer("general.file_type"), 2);
}

TEST(Quantize, RefusesWhatItDoesNotKnowAndWhatNeedsImportance) {
  const TemporaryFolder folder;
  const auto with = [&](QuantizationOptions options) {
    return [&folder, options] { quantize(fixture("tiny_blocks"), folder.file("out.gguf"), options); };
  };
  expect_error(ErrorKind::usage, "Q4_K_M", with({.type = "Q4_K_XL"}));
  expect_error(ErrorKind::usage, "output_tensor_type", with({.type = "Q8_0", .gguf = {.output_tensor_type = "Q9"}}));
  expect_error(ErrorKind::usage, "regular expression",
               with({.type = "Q8_0", .gguf = {.tensor_types = {{"(", "q8_0"}}}}));
  expect_error(ErrorKind::usage, "size", with({.type = "budget", .calibration_text = "a"}));
  expect_error(ErrorKind::not_found, "nowhere",
               [&] { quantize("/nowhere", folder.file("out.gguf"), {.type = "Q8_0"}); });
  expect_error(ErrorKind::io, "out.gguf",
               [] { quantize(fixture("tiny_blocks"), "/nowhere/out.gguf", {.type = "Q8_0"}); });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  const std::string own = folder.file("own.gguf");
  quantize(fixture("tiny_blocks"), own, {.type = "F32"});
  expect_error(ErrorKind::usage, "the model itself",
               [&] { quantize(own, folder.path() + "/./own.gguf", {.type = "Q8_0"}); });
}

// Codes, scales and what 8 bits say of them, to the byte: folders that transformers made with its BitsAndBytesConfig.
TEST(Quantize, MakesTheFoldersOfBitsandbytes) {
  const TemporaryFolder folder;
  for (const char* type : {"nf4", "fp4", "int8"}) {
    const std::string output = folder.file(type);
    const QuantizationSummary report = quantize(fixture("bnb_base"), output, {.type = type});
    EXPECT_GT(report.relative_error, 0.001) << type;
    EXPECT_LT(report.relative_error, 0.2) << type;
    const auto ours = read_safetensors_folder(output);
    int compared = 0;
    for (const TensorView& wanted : read_safetensors_folder(fixture(std::string("bnb_") + type))) {
      const std::string& name = wanted.name;
      if (!name.ends_with("proj.weight") && !name.ends_with(".absmax") && !name.ends_with(".SCB")) continue;
      const auto found = std::find_if(ours.begin(), ours.end(), [&](const auto& view) { return view.name == name; });
      ASSERT_NE(found, ours.end()) << name;
      ASSERT_EQ(found->bytes, wanted.bytes) << name;
      EXPECT_EQ(std::memcmp(found->data, wanted.data, wanted.bytes), 0) << type << ": " << name;
      ++compared;
    }
    EXPECT_EQ(compared, 28) << type;
    const CausalLM model = CausalLM::from_pretrained(output);
    EXPECT_EQ(report.tensors.size(), model.impl().model->weights.specs().size());
  }
  expect_error(ErrorKind::usage, "there already",
               [&] { quantize(fixture("bnb_base"), folder.file("nf4"), {.type = "nf4"}); });
  expect_error(ErrorKind::usage, "calibration_text",
               [&] { quantize(fixture("bnb_base"), folder.file("b"), {.type = "fp4", .calibration_text = "a"}); });
  EXPECT_FALSE(std::filesystem::exists(folder.file("b")));
}

// From any form of weights to any other, with a matrix or a layer in floats at a time.
TEST(Quantize, TurnsOneFormIntoAnother) {
  const TemporaryFolder folder;
  const std::string source = write_byte_model(folder);
  QuantizationOptions options{.calibration = kCalibration};
  options.gptq.group_size = options.awq.group_size = 32;
  options.gguf.allow_requantize = true;
  const auto make = [&](const std::string& from, const std::string& type, const std::string& to) {
    options.type = type;
    options.calibration_text = type == "gptq" || type == "awq" ? text_of(1, 200) : "";
    quantize(from, to, options);
  };
  const char* const types[] = {"gptq", "awq", "hqq", "nf4", "int8", "Q8_0", "Q4_0"};
  for (const char* type : types) make(source, type, folder.file(type));
  const CausalLM whole = CausalLM::from_pretrained(source, {.dtype = Dtype::f32});
  const at::Tensor ids = to_tensor({1, 5, 9, 3, 2, 8});
  const at::Tensor wanted = whole.forward(ids);
  for (const char* first : types) {
    for (const char* second : types) {
      if (std::string_view(first) == second) continue;
      const std::string output = folder.file(std::string(first) + "_" + second);
      make(folder.file(first), second, output);
      const CausalLM model = CausalLM::from_pretrained(output, {.dtype = Dtype::f32});
      const at::Tensor error = model.forward(ids).sub(wanted);
      // Logits that have nothing to do with each other are 1.4 apart.
      EXPECT_LT(error.norm().item<double>(), 0.6 * wanted.norm().item<double>()) << first << " to " << second;
      EXPECT_GT(error.norm().item<double>(), 0.0) << first << " to " << second;
    }
  }
}

TEST(Quantize, RefusesTypesThatAreOfNoUseWithoutImportance) {
  const TemporaryFolder folder;
  const std::vector<float> values(512, 0.5f);
  write_gguf(folder.file("in.gguf"), std::vector<GgufEntry>{{"general.architecture", std::string("llama")}},
             std::vector<TensorSource>{
                 {.name = "blk.0.ffn_up.weight",
                  .shape = {2, 256},
                  .bytes = values.size() * sizeof(float),
                  .write = [&](const auto& sink) { sink(values.data(), values.size() * sizeof(float)); }}});
  for (const char* type : {"IQ1_S", "IQ2_XXS", "IQ3_XXS", "Q2_K_S"}) {
    expect_error(ErrorKind::usage, "blk.0.ffn_up.weight",
                 [&] { quantize(folder.file("in.gguf"), folder.file("out.gguf"), {.type = type}); });
  }
  const QuantizationSummary dry =
      quantize(folder.file("in.gguf"), folder.file("out.gguf"), {.type = "IQ2_XXS", .dry_run = true});
  EXPECT_EQ(dry.tensors.front().to, "IQ2_XXS");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TokenSequences some_sequences(const ModelConfig& config) {
  TokenSequences sequences(3);
  std::int64_t id = 1;
  for (auto& sequence : sequences) {
    for (int i = 0; i < 9; ++i) sequence.push_back(id = (id * 7 + 3) % config.vocab_size);
  }
  return sequences;
}

// Sums of squares of what hooks see, which stand in the decoder of whole passes.
std::map<std::string, std::vector<double>> hooked_sums(CausalLM& model, const TokenSequences& sequences) {
  std::map<std::string, std::vector<double>> sums;
  const auto watch = [&](HookPoint point, std::vector<const char*> names) {
    model.add_hook({point, -1}, [&sums, names](const at::Tensor& x, const HookContext& context) {
      const at::Tensor squares = x.flatten(1).to(at::kDouble).square().sum(0);
      for (const char* name : names) {
        auto& to = sums["blk." + std::to_string(context.layer) + "." + name + ".weight"];
        to.resize(static_cast<std::size_t>(squares.size(0)));
        for (std::size_t i = 0; i < to.size(); ++i) to[i] += squares.const_data_ptr<double>()[i];
      }
      return at::Tensor();
    });
  };
  watch(HookPoint::attention_norm, {"attn_q", "attn_k", "attn_v"});
  watch(HookPoint::attention_context, {"attn_output"});
  watch(HookPoint::mlp_norm, {"ffn_gate", "ffn_up"});
  watch(HookPoint::mlp_activation, {"ffn_down"});
  for (const auto& sequence : sequences) model.forward(to_tensor(sequence));
  return sums;
}

TEST(Importance, IsTheSquaresThatHooksSee) {
  for (const char* name : {"tiny_gqa", "tiny_gqa.gguf"}) {
    CausalLM model = load(name);
    const TokenSequences sequences = some_sequences(model.config());
    const ImportanceMatrix matrix = importance_of_text(fixture(name), sequences, {.dataset = "text"});
    const auto expected = hooked_sums(model, sequences);
    ASSERT_EQ(matrix.entries.size(), expected.size());
    EXPECT_EQ(matrix.chunk_count, 3);
    EXPECT_EQ(matrix.chunk_size, 9);
    EXPECT_EQ(matrix.datasets, std::vector<std::string>{"text"});
    for (const auto& [weight, sums] : expected) {
      const ImportanceEntry* const entry = matrix.find(weight);
      ASSERT_NE(entry, nullptr) << weight;
      EXPECT_EQ(entry->counts, std::vector<float>{27});
      ASSERT_EQ(entry->sums.size(), sums.size());
      for (std::size_t i = 0; i < sums.size(); ++i)
        EXPECT_NEAR(entry->sums[i], sums[i], 1e-4 * (1 + sums[i])) << weight;
    }
  }
}

TEST(Importance, CountsTheTokensOfEachExpertInAnyNumberOfTurns) {
  const std::string path = fixture("tiny_experts_q8_0.gguf");
  const ModelConfig config = load("tiny_experts_q8_0.gguf").config();
  const Moe moe = *config.layers.front().mlp.moe;
  const TokenSequences sequences = some_sequences(config);
  const ImportanceMatrix matrix = importance_of_text(path, sequences, {});
  for (const char* name : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
    const ImportanceEntry* const entry = matrix.find("blk.0." + std::string(name) + ".weight");
    ASSERT_NE(entry, nullptr) << name;
    ASSERT_EQ(static_cast<std::int64_t>(entry->counts.size()), moe.num_experts);
    float tokens = 0;
    for (const float count : entry->counts) tokens += count;
    EXPECT_EQ(tokens, 27.0f * static_cast<float>(moe.num_experts_per_tok));
    EXPECT_EQ(entry->importance().size(), entry->sums.size());
  }
  // So little memory that each sequence goes alone.
  const ImportanceMatrix again = importance_of_text(path, sequences, {.memory_bytes = std::uint64_t{1} << 20});
  ASSERT_EQ(again.entries.size(), matrix.entries.size());
  for (std::size_t i = 0; i < matrix.entries.size(); ++i) {
    EXPECT_EQ(again.entries[i].counts, matrix.entries[i].counts);
    for (std::size_t k = 0; k < matrix.entries[i].sums.size(); ++k) {
      EXPECT_NEAR(again.entries[i].sums[k], matrix.entries[i].sums[k], 1e-4 * (1 + matrix.entries[i].sums[k]));
    }
  }
}

TEST(Budget, StaysWithinItsSizeAndCostsLessThanTheSameTypeForAll) {
  const TemporaryFolder folder;
  const CausalLM model = load("tiny_blocks");
  const SourceModel source = open_source(fixture("tiny_blocks"));
  const TokenSequences sequences = some_sequences(model.config());
  const ImportanceMatrix importance = importance_of_text(source.path, sequences, {});
  const auto cost_at = [&](double bits) {
    const QuantizationOptions options{.type = "budget", .budget = {.bits_per_weight = bits}};
    const BudgetedMix mix = budgeted_mix(source, sequences, importance, 0, options);
    double bytes = 0;
    double weights = 0;
    double cost = 0;
    for (std::size_t i = 0; i < mix.formats.size(); ++i) {
      const SourceTensor& tensor = source.tensors[i];
      bytes += static_cast<double>(quantized_bytes(mix.formats[i], tensor.row_count(), tensor.columns()));
      weights += static_cast<double>(tensor.row_count() * tensor.columns());
      cost += mix.costs[i];
    }
    EXPECT_LE(8 * bytes / weights, bits);
    return cost;
  };
  const double five = cost_at(5.5);
  const double eight = cost_at(8);
  EXPECT_GT(five, eight);
  EXPECT_GT(eight, 0);
  expect_error(ErrorKind::range, "too small", [&] { cost_at(1.0); });
}

}  // namespace
}  // namespace powerhouse::testing
