// Files of adapters: llama.cpp's both ways, and what is wrong with damaged ones.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "adapter_fixture.h"
#include "expect_error.h"
#include "file_bytes.h"
#include "powerhouse/session.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;
namespace fs = std::filesystem;

struct GgufCase {
  const char *name, *model;
};
class GgufAdapter : public ::testing::TestWithParam<GgufCase> {};

// Rows of Q and K in another order, fused projections, experts, embeddings: the same adapter comes back.
TEST_P(GgufAdapter, ComesBack) {
  CausalLM model = load(std::string("families/") + GetParam().model);
  const Tensors expected(adapter_fixture(GetParam().name) + "/expected.safetensors");
  model.load_adapter(adapter_fixture(GetParam().name), "a");
  const TemporaryFolder folder;
  model.save_adapter("a", folder.file("a.gguf"));
  CausalLM again = load(std::string("families/") + GetParam().model);
  again.load_adapter(folder.file("a.gguf"), "b");
  EXPECT_TRUE(close(again.forward(expected["input_ids"]), expected["logits"], kLogitsTolerance));
  again.save_adapter("b", folder.file("out"));
  CausalLM third = load(std::string("families/") + GetParam().model);
  third.load_adapter(folder.file("out"), "c");
  EXPECT_TRUE(close(third.forward(expected["input_ids"]), expected["logits"], kLogitsTolerance));
}

INSTANTIATE_TEST_SUITE_P(Families, GgufAdapter,
                         ::testing::Values(GgufCase{"all_linear", "llama_biases"}, GgufCase{"falcon", "falcon_40b"},
                                           GgufCase{"gpt_neox", "gpt_neox_parallel"}, GgufCase{"gpt2", "gpt2_unscaled"},
                                           GgufCase{"phi3", "phi3_window"}, GgufCase{"mixtral", "mixtral_experts"},
                                           GgufCase{"embeddings", "gemma_hub"}, GgufCase{"pissa", "llama_biases"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(GgufAdapters, SayWhatLlamaCppCannot) {
  const TemporaryFolder folder;
  for (const auto& [name, why] : {std::pair("dora", "DoRA"), std::pair("saved", "whole"), std::pair("ia3", "LoRA")}) {
    CausalLM model = load("families/llama_biases");
    model.load_adapter(adapter_fixture(name), "a");
    expect_error(ErrorKind::unsupported, why, [&] { model.save_adapter("a", folder.file("a.gguf")); });
    EXPECT_FALSE(fs::exists(folder.file("a.gguf")));
  }
  CausalLM model = load("families/llama_biases");
  expect_error(ErrorKind::format, "general.type", [&] { model.load_adapter(fixture("tiny_gqa.gguf"), "a"); });
}

// A folder with an adapter, to be damaged.
class Damaged : public ::testing::Test {
 protected:
  Damaged() { fs::copy(adapter_fixture("lora"), folder_.path() + "/a"); }
  std::string path(const std::string& name = "") const { return folder_.path() + "/a" + name; }
  void expect(ErrorKind kind, std::string_view mentions) {
    CausalLM model = load("families/llama_biases");
    expect_error(kind, mentions, [&] { model.load_adapter(path(), "a"); });
    EXPECT_TRUE(adapter_names(model).empty());
  }
  void change(const std::string& from, const std::string& to) {
    std::string text = testing::file_bytes(path("/adapter_config.json"));
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    std::ofstream(path("/adapter_config.json")) << text;
  }

  TemporaryFolder folder_;
};

TEST_F(Damaged, NoFolder) {
  fs::remove_all(path());
  expect(ErrorKind::not_found, "no such folder");
}
TEST_F(Damaged, NoConfig) {
  fs::remove(path("/adapter_config.json"));
  expect(ErrorKind::not_found, "adapter_config.json");
}
TEST_F(Damaged, NoTensors) {
  fs::remove(path("/adapter_model.safetensors"));
  expect(ErrorKind::not_found, "adapter_model.safetensors");
}
TEST_F(Damaged, BrokenJson) {
  fs::resize_file(path("/adapter_config.json"), 100);
  expect(ErrorKind::format, "adapter_config.json");
}
TEST_F(Damaged, CutTensors) {
  fs::resize_file(path("/adapter_model.safetensors"), fs::file_size(path("/adapter_model.safetensors")) - 8);
  expect(ErrorKind::format, "adapter_model.safetensors");
}
TEST_F(Damaged, AnotherRank) {
  change("\"r\": 4", "\"r\": 5");
  expect(ErrorKind::format, "[5, 24]");
}
TEST_F(Damaged, NoRank) {
  change("\"r\": 4", "\"r\": 0");
  expect(ErrorKind::range, "r");
}
TEST_F(Damaged, AnUnknownKind) {
  change("\"LORA\"", "\"VERA\"");
  expect(ErrorKind::unsupported, "VERA");
}
TEST_F(Damaged, AnOptionThatChangesTheArithmetic) {
  change("\"velora_config\": null", "\"velora_config\": {\"scale\": 2.0}");
  expect(ErrorKind::unsupported, "velora_config");
}
TEST_F(Damaged, AnOptionOfTheFuture) {
  change("\"use_rslora\": false", "\"use_rslora\": false, \"use_tomorrow\": true");
  expect(ErrorKind::unsupported, "use_tomorrow");
}
TEST_F(Damaged, MoreTargetsThanTensors) {
  change("\"v_proj\"", "\"v_proj\", \"o_proj\"");
  expect(ErrorKind::format, "o_proj");
}
TEST_F(Damaged, FewerTargetsThanTensors) {
  change(",\n    \"v_proj\"", "");
  expect(ErrorKind::format, "v_proj");
}
TEST_F(Damaged, NoSuchTargets) {
  change("\"q_proj\"", "\"q_projection\"");
  change("\"v_proj\"", "\"v_projection\"");
  expect(ErrorKind::not_found, "q_projection");
}
TEST_F(Damaged, ABrokenPattern) {
  change("\"target_modules\": [\n    \"q_proj\",\n    \"v_proj\"\n  ]", "\"target_modules\": \"(q_proj\"");
  expect(ErrorKind::format, "target_modules");
}

// Sessions have the adapter's logits, token by token and as a prompt.
class InSession : public ::testing::TestWithParam<AdapterCase> {};

TEST_P(InSession, HasTheLogitsOfTheWholeForward) {
  CausalLM model = GetParam().base();
  const Tensors expected = GetParam().expected();
  model.load_adapter(GetParam().folder(), "a");
  const std::vector<std::int64_t> ids = to_vector(expected["input_ids"]);
  Session session(model);
  const SequenceId sequence = session.create();
  EXPECT_EQ(session.length(sequence), 0);
  std::vector<at::Tensor> rows = {session.forward(sequence, std::span(ids).first(6), LogitsOf::all)};
  session.forward(sequence, std::span(ids).first(2), LogitsOf::none);
  session.truncate(sequence, 6);
  const SequenceId copy = session.fork(sequence);
  for (std::size_t i = 6; i < ids.size(); ++i) {
    rows.push_back(session.forward(copy, std::span(ids).subspan(i, 1), LogitsOf::all));
  }
  EXPECT_EQ(session.length(copy), static_cast<std::int64_t>(ids.size()));
  EXPECT_TRUE(close(concatenate(rows, 0), expected["logits"].squeeze(0), kLogitsTolerance));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, InSession, ::testing::ValuesIn(adapter_cases()), case_name);

TEST(Fresh, ChangesNothingUntilItLearns) {
  CausalLM model = load("tiny_gqa.gguf");
  const at::Tensor ids = to_tensor({3, 1, 4, 1, 5});
  const at::Tensor plain = model.forward(ids);
  model.add_adapter("a", {.rank = 4, .alpha = 8, .target_modules = {"all-linear"}});
  EXPECT_TRUE(close(model.forward(ids), plain, kSameF32));
  EXPECT_EQ(model.trainable_parameters().size(), adapter_tensors(model, "a").size());
  CausalLM other = load("tiny_gqa.gguf");
  other.add_adapter("a", {.rank = 4, .alpha = 8, .target_modules = {"all-linear"}});
  EXPECT_TRUE(adapter_tensors(model, "a")[0].second.equal(adapter_tensors(other, "a")[0].second)) << "one seed";
  EXPECT_FALSE(model.share().trainable_parameters().size() > 0) << "a share is the base";
  expect_error(ErrorKind::usage, "there already", [&] { model.add_adapter("a", LoraConfig{}); });
  expect_error(ErrorKind::not_found, "no module", [&] { model.add_adapter("b", {.target_modules = {"nothing"}}); });
  expect_error(ErrorKind::unsupported, "linear", [&] { model.add_adapter("b", {.target_modules = {"norm"}}); });
  expect_error(ErrorKind::range, "dropout", [&] { model.add_adapter("b", {.dropout = 1.5}); });
  expect_error(ErrorKind::not_found, "one of a", [&] { set_adapter(model, "c"); });
}

// What the base loses to the start is given back: the model is what it was, on any kind of weights.
TEST(Fresh, PissaBeginsAtTheBase) {
  for (const char* init : {"pissa", "pissa_niter_16", "olora"}) {
    for (const char* name : {"tiny_blocks", "tiny_blocks_q4_0.gguf"}) {
      CausalLM model = load(name);
      const at::Tensor ids = to_tensor({3, 1, 4, 1, 5});
      const at::Tensor plain = model.forward(ids);
      model.add_adapter("a", {.rank = 4, .alpha = 8, .init_lora_weights = init});
      EXPECT_TRUE(close(model.forward(ids), plain, 1e-4)) << init << " on " << name;
      EXPECT_GT(adapter_tensors(model, "a")[1].second.abs().max().item<float>(), 1e-3f);
    }
  }
}

TEST(Merging, OntoQuantizedWeights) {
  const at::Tensor ids = to_tensor({3, 1, 4, 1, 5});
  const auto adapted = [](const char* name) {
    CausalLM model = load(name);
    model.add_adapter("a",
                      {.rank = 2, .alpha = 8, .target_modules = {"q_proj", "down_proj"}, .init_lora_weights = "false"});
    return model;
  };
  CausalLM model = adapted("tiny_blocks_q4_0.gguf");
  const at::Tensor logits = model.forward(ids);
  merge_adapter(model);
  EXPECT_TRUE(close(model.forward(ids), logits, 1e-4));
  CausalLM rounded = adapted("tiny_blocks_q4_0.gguf");
  const MergeReport report = merge_adapter(rounded, {}, {.onto = MergeOnto::requantized});
  EXPECT_GT(report.largest_error, 0);
  EXPECT_GT(report.relative_error, 0);
  EXPECT_FALSE(close(rounded.forward(ids), logits, 1e-4));
  CausalLM exact = adapted("tiny_blocks_q4_0.gguf");
  merge_adapter(exact, {}, {.onto = MergeOnto::original, .original = fixture("tiny_blocks")});
  CausalLM whole = adapted("tiny_blocks");
  EXPECT_TRUE(close(exact.forward(ids), whole.forward(ids), 1e-4));
}

TEST(Merging, ThatIsRefusedLeavesTheWeights) {
  const auto adapted = [] {
    CausalLM model = CausalLM::from_pretrained(POWERHOUSE_FIXTURES "/training/q4_k.gguf", {.dtype = Dtype::f32});
    model.add_adapter("a", {.rank = 2, .alpha = 8, .target_modules = {"q_proj"}, .init_lora_weights = "false"});
    return model;
  };
  const at::Tensor ids = to_tensor({3, 1, 4, 1, 5});
  CausalLM model = adapted();
  const at::Tensor logits = model.forward(ids);
  expect_error(ErrorKind::unsupported, "Q4_K", [&] { merge_adapter(model, {}, {.onto = MergeOnto::requantized}); });
  EXPECT_TRUE(model.forward(ids).equal(logits));
  expect_error(ErrorKind::format, "no such tensor",
               [&] { merge_adapter(model, {}, {.onto = MergeOnto::original, .original = fixture("tiny_blocks")}); });
  EXPECT_TRUE(model.forward(ids).equal(logits));
}

}  // namespace
}  // namespace powerhouse
