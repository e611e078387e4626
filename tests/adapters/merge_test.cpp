// Merging, unmerging and combining adapters: PEFT's weights and logits.
#include <gtest/gtest.h>

#include "adapter_fixture.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

class Merge : public ::testing::TestWithParam<AdapterCase> {};

std::vector<AdapterCase> merged_cases() {
  std::vector<AdapterCase> cases;
  for (const AdapterCase& one : adapter_cases()) {
    if (one.merged) cases.push_back(one);
  }
  return cases;
}

TEST_P(Merge, GivesPeftsWeightsAndTakesThemBack) {
  CausalLM model = GetParam().base();
  const Tensors expected = GetParam().expected();
  const at::Tensor ids = expected["input_ids"];
  const at::Tensor plain = model.forward(ids);
  model.load_adapter(GetParam().folder(), "a");
  EXPECT_GT(merge_adapter(model).tensors, 0);
  EXPECT_TRUE(close(model.forward(ids), expected["logits"], kLogitsTolerance));
  EXPECT_TRUE(close(model.share().forward(ids), expected["logits"], kLogitsTolerance)) << "the weights hold it all";
  int compared = 0;
  for (const auto& [name, tensor] : expected.all()) {
    if (!name.starts_with("merged.")) continue;
    // PiSSA's base is what a decomposition left of the weights, whose last bits depend on the processor.
    const double bar = std::string_view(GetParam().name) == "pissa" ? 2e-5 : 2e-6;
    EXPECT_TRUE(close(model.parameter(name.substr(7)).flatten(), tensor.flatten(), bar)) << name;
    ++compared;
  }
  EXPECT_GT(compared, 0);
  unmerge_adapters(model);
  // What PiSSA and OLoRA take from the base at the start, PEFT's base goes without.
  const bool keeps_base = GetParam().name != "pissa" && GetParam().name != "olora";
  for (const auto& [name, tensor] : expected.all()) {
    if (!keeps_base || !name.starts_with("unmerged.")) continue;
    EXPECT_TRUE(close(model.parameter(name.substr(9)).flatten(), tensor.flatten(), 1e-5)) << name;
  }
  EXPECT_TRUE(close(model.forward(ids), expected["logits"], kLogitsTolerance)) << "active again";
  disable_adapters(model);
  EXPECT_TRUE(close(model.forward(ids), plain, 1e-3));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Merge, ::testing::ValuesIn(merged_cases()), case_name);

TEST(Merging, IsRefusedWhereItMakesNoSense) {
  CausalLM model = load("families/gemma_hub");
  expect_error(ErrorKind::usage, "no adapter is merged", [&] { unmerge_adapters(model); });
  model.load_adapter(adapter_fixture("tied_head"), "head");
  expect_error(ErrorKind::unsupported, "one tensor", [&] { merge_adapter(model); });
  disable_adapters(model);
  expect_error(ErrorKind::usage, "nothing to merge", [&] { merge_adapter(model); });
}

TEST(Merging, KeepsAMergedAdapterUntilItIsTakenOut) {
  CausalLM model = load("families/llama_biases");
  model.load_adapter(adapter_fixture("lora"), "a");
  merge_adapter(model);
  expect_error(ErrorKind::usage, "merged", [&] { delete_adapter(model, "a"); });
  unmerge_adapters(model);
  delete_adapter(model, "a");
  EXPECT_TRUE(adapter_names(model).empty());
}

class Combined : public ::testing::Test {
 protected:
  Combined() {
    model_.load_adapter(adapter_fixture("combined/first"), "first");
    model_.load_adapter(adapter_fixture("combined/second"), "second");
  }
  void expect(const std::string& name) {
    EXPECT_TRUE(close(model_.forward(expected_["input_ids"]), expected_["logits." + name], kLogitsTolerance)) << name;
  }

  CausalLM model_ = load("families/llama_biases");
  Tensors expected_{adapter_fixture("combined/expected.safetensors")};
  const std::vector<AdapterWeight> parts_ = {{"first", 0.7}, {"second", -0.4}};
};

TEST_F(Combined, AddUpWhereBothAreActive) {
  set_adapters(model_, std::vector<AdapterWeight>{{"first"}, {"second"}});
  expect("both");
}

TEST_F(Combined, AreLinearCatAndSvd) {
  add_weighted_adapter(model_, "linear", parts_, {.combination = Combination::linear});
  expect("linear");
  add_weighted_adapter(model_, "cat", parts_, {.combination = Combination::cat});
  expect("cat");
  add_weighted_adapter(model_, "svd", parts_, {.combination = Combination::svd});
  expect("svd");
  const TemporaryFolder folder;
  model_.save_adapter("cat", folder.path());
  CausalLM again = load("families/llama_biases");
  again.load_adapter(folder.path(), "cat");
  EXPECT_TRUE(close(again.forward(expected_["input_ids"]), expected_["logits.cat"], kLogitsTolerance));
}

TEST_F(Combined, ArePrunedAndElected) {
  using C = Combination;
  const std::pair<const char*, CombineOptions> kinds[] = {
      {"ties", {.combination = C::ties, .density = 0.6}},
      {"ties_svd", {.combination = C::ties_svd, .density = 0.3, .majority_sign = MajoritySign::frequency}},
      {"magnitude_prune", {.combination = C::magnitude_prune, .density = 0.4}},
      {"magnitude_prune_svd", {.combination = C::magnitude_prune_svd, .rank = 2, .density = 0.2}},
      {"dare_linear", {.combination = C::dare_linear, .density = 0.5, .seed = 11}},
      {"dare_linear_svd", {.combination = C::dare_linear_svd, .density = 0.75, .seed = 11}},
      {"dare_ties",
       {.combination = C::dare_ties, .density = 0.5, .majority_sign = MajoritySign::frequency, .seed = 11}},
      {"dare_ties_svd", {.combination = C::dare_ties_svd, .density = 0.5, .seed = 11}},
  };
  for (const auto& [name, options] : kinds) {
    add_weighted_adapter(model_, name, parts_, options);
    expect(name);
  }
}

TEST_F(Combined, SayWhatIsKept) {
  const auto refused = [&](ErrorKind kind, const CombineOptions& options) {
    expect_error(kind, "density", [&] { add_weighted_adapter(model_, "x", parts_, options); });
  };
  refused(ErrorKind::usage, {.combination = Combination::ties});
  refused(ErrorKind::usage, {.combination = Combination::svd, .density = 0.5});
  refused(ErrorKind::range, {.combination = Combination::ties, .density = 1.5});
  refused(ErrorKind::range, {.combination = Combination::magnitude_prune, .density = -0.5});
  refused(ErrorKind::range, {.combination = Combination::dare_linear, .density = 0.0});
  refused(ErrorKind::range, {.combination = Combination::dare_ties, .density = std::nan("")});
  // All that is kept of one is as it was.
  add_weighted_adapter(model_, "whole", parts_, {.combination = Combination::dare_linear, .density = 1.0});
  expect("linear");
}

TEST_F(Combined, WeightsAreThoseOfCat) {
  set_adapters(model_, parts_);
  expect("cat");
}

}  // namespace
}  // namespace powerhouse
