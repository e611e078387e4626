// Continuations that share their prompt's rows: the log-probabilities and gradients of separate documents.
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "../expect_error.h"
#include "branches.h"
#include "fixture.h"
#include "ops/rope.h"

namespace powerhouse {
namespace {

using namespace testing;

TEST(TokenBatchBranches, StandBehindOnePrompt) {
  TokenBatch batch;
  batch.add(std::vector<std::int64_t>{1, 2, 3});
  EXPECT_TRUE(batch.prefixes.empty());
  const std::vector<std::int64_t> prompt{4, 5, 6}, first{7, 8}, second{9}, labels{kIgnoredTarget, 8};
  batch.add_branches(prompt, {{first, labels}, {second}});
  batch.add(std::vector<std::int64_t>{1, 2});
  using Row = std::vector<std::int64_t>;
  constexpr std::int64_t kNone = kIgnoredTarget;
  EXPECT_EQ(batch.input_ids, (Row{1, 2, 3, 4, 5, 6, 7, 8, 6, 9, 1, 2}));
  EXPECT_EQ(batch.position_ids, (Row{0, 1, 2, 0, 1, 2, 3, 4, 2, 3, 0, 1}));
  EXPECT_EQ(batch.targets, (Row{2, 3, kNone, kNone, kNone, kNone, 8, kNone, 9, kNone, 2, kNone}));
  EXPECT_EQ(batch.cu_seqlens, (Row{0, 3, 5, 8, 10, 12}));
  EXPECT_EQ(batch.prefixes, (Row{-1, -1, 1, 1, -1}));

  TokenBatch labelled;
  labelled.add_branches(prompt, {{first}}, prompt);
  EXPECT_EQ(labelled.targets, (Row{5, 6, 7, 8, kNone}));
  TokenBatch single;  // nothing to share, and a branch without tokens
  single.add_branches(std::vector<std::int64_t>{4}, {{first}, {}});
  EXPECT_EQ(single.input_ids, (Row{4, 7, 8, 4}));
  EXPECT_EQ(single.targets, (Row{7, 8, kNone, kNone}));
  EXPECT_EQ(single.prefixes, (Row{-1, -1}));

  const TokenBatch before = batch;
  expect_error(ErrorKind::usage, "empty prompt", [&] { batch.add_branches({}, {{first}}); });
  expect_error(ErrorKind::usage, "continuation", [&] { batch.add_branches(prompt, {}); });
  expect_error(ErrorKind::usage, "label", [&] { batch.add_branches(prompt, {{second}, {first, second}}); });
  expect_error(ErrorKind::usage, "label", [&] { batch.add_branches(prompt, {{first}}, first); });
  EXPECT_EQ(batch.input_ids, before.input_ids);
  EXPECT_EQ(batch.prefixes, before.prefixes);
}

bool turns_by_length(const ModelConfig& config) {
  return std::any_of(config.layers.begin(), config.layers.end(), [](const Block& block) {
    return block.position == PositionKind::rope && ops::depends_on_length(block.rope);
  });
}

class Branches : public ::testing::TestWithParam<std::string> {
 protected:
  CausalLM model_ = load("families/" + GetParam());
  // Keys that depend on the length are shared by continuations of one length.
  SharedPrompts prompts_{model_.config().vocab_size, turns_by_length(model_.config())};
};

TEST_P(Branches, AreSeparateDocuments) { expect_same_scores(model_, prompts_.shared(), prompts_.apart(), {}); }

TEST_P(Branches, AreSeparateDocumentsWhereLayersRunAgain) {
  expect_same_scores(model_, prompts_.shared(), prompts_.apart(), {.checkpointed_layers = -1});
}

TEST_P(Branches, AreSeparateDocumentsWithoutAutograd) {
  const c10::AutoGradMode no_grad(false);
  const at::Tensor shared = model_.score(prompts_.shared()).log_probs;
  EXPECT_LT(shared.sub(model_.score(prompts_.apart()).log_probs).abs().max().item<float>(), 2e-5f);
}

TEST_P(Branches, PromptTargetsCountOnce) {
  const TokenBatch shared = prompts_.shared(true);
  const TokenScores scores = model_.score(shared);
  TokenBatch whole;
  whole.add(prompts_.prompts[0]);
  const at::Tensor expected = model_.score(whole).log_probs;
  // Where the length turns keys, a prompt alone is another.
  if (!turns_by_length(model_.config())) {
    EXPECT_LT(scores.log_probs.narrow(0, 0, expected.numel()).sub(expected).abs().max().item<float>(), 2e-5f);
  }
  EXPECT_EQ(scores.log_probs.numel(), shared.target_count());
}

INSTANTIATE_TEST_SUITE_P(Family, Branches, ::testing::ValuesIn(family_names()),
                         [](const auto& info) { return info.param; });

TEST(BranchesInBf16, AreSeparateDocuments) {
  for (const char* name : {"families/llama_llama3", "families/gemma2_caps", "families/gpt_oss_sinks"}) {
    CausalLM model = load(name, Dtype::bf16);
    const SharedPrompts prompts(model.config().vocab_size);
    expect_same_scores(model, prompts.shared(), prompts.apart(), {}, 3e-2);
  }
}

TEST(BranchesInExactNumerics, HaveTheBitsOfSeparateDocuments) {
  for (const char* name : {"tiny_gqa", "families/mistral_window", "families/gemma2_caps"}) {
    CausalLM model = CausalLM::from_pretrained(fixture(name), {.dtype = Dtype::f32, .numerics = Numerics::exact});
    const SharedPrompts prompts(model.config().vocab_size);
    for (const bool grad : {false, true}) {
      model.set_requires_grad(grad);
      EXPECT_TRUE(model.score(prompts.shared()).log_probs.equal(model.score(prompts.apart()).log_probs)) << name;
    }
  }
}

TEST(BranchesErrors, NameWhatIsWrong) {
  const CausalLM model = load("families/llama_longrope");
  const auto ids = [](std::int64_t count) { return std::vector<std::int64_t>(static_cast<std::size_t>(count), 5); };
  const std::vector<std::int64_t> prompt = ids(8), shorter = ids(4), longer = ids(5), longest = ids(57);
  TokenBatch batch;
  batch.add_branches(prompt, {{longer}, {longest}});
  expect_error(ErrorKind::range, "found 65", [&] { model.score(batch); });
  batch = {};
  batch.add_branches(prompt, {{longer}, {shorter}});  // 13 and 12 tokens, where 12 are the original context
  expect_error(ErrorKind::unsupported, "RoPE", [&] { model.score(batch); });
  batch = {};
  batch.add_branches(prompt, {{longer}, {longer}});
  EXPECT_TRUE(model.score(batch).log_probs.defined());
  batch = {};
  batch.add(prompt);
  batch.add(prompt);
  for (const std::vector<std::int64_t>& prefixes : {std::vector<std::int64_t>{-1}, {1, -1}, {-1, 1}, {-1, -3}}) {
    batch.prefixes = prefixes;
    expect_error(ErrorKind::usage, "prefixes", [&] { model.score(batch); });
  }
}

}  // namespace
}  // namespace powerhouse
