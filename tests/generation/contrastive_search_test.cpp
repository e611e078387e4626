// Contrastive search against a reference in numpy (tests/oracles/contrastive_search.py).
#include "powerhouse/contrastive_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "beam_cases.h"
#include "expect_error.h"
#include "model/fixture.h"

namespace powerhouse {
namespace {

using namespace testing;

class Contrastive : public ::testing::Test {
 protected:
  Tokenizer tokenizer_ = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/gpt2");  // of more ids than the models
  CausalLM model_ = load("tiny_gqa");
  Session session_{model_};
  std::vector<std::int64_t> prompt_ = {5, 17, 33, 8};

  GenerationResult run(const ContrastiveSearchOptions& options) {
    return contrastive_search(session_, tokenizer_, prompt_, options);
  }
};

TEST_F(Contrastive, ChoosesWhatTheReferenceChooses) {
  const Json all = Json::parse_file(POWERHOUSE_FIXTURES "/generation/contrastive_search.json");
  for (const char* name : {"tiny_gqa", "tiny_bias_llama3", "tiny_mqa_linear"}) {
    const CausalLM model = load(name);
    ASSERT_EQ(all.at(name).as_array().size(), 7u);
    for (const Json& test : all.at(name).as_array()) {
      const Json& given = test.at("options");
      const std::vector<std::int64_t> expected = integers(test.at("ids"));
      Session session(model);
      const auto found = contrastive_search(
          session, tokenizer_, integers(test.at("prompt")),
          {.penalty_alpha = static_cast<float>(given.at("penalty_alpha").as_double()),
           .top_k = given.at("top_k").as_integer(),
           .generation = {.max_new_tokens = std::ssize(expected),
                          .repetition_penalty = static_cast<float>(given.at("repetition_penalty").as_double()),
                          .ignore_eos = true}});
      EXPECT_EQ(found.ids, expected) << name << ' ' << given.dump();
    }
  }
}

TEST_F(Contrastive, HiddenStatesAreThoseBehindTheFinalNorm) {
  const Tensors expected(fixture("tiny_gqa/expected.safetensors"));
  const std::vector<std::int64_t> ids = to_vector(expected["input_ids"][0]);
  at::Tensor by_hook;
  CausalLM hooked = model_.share();
  hooked.add_hook({HookPoint::final_norm, -1}, [&](const at::Tensor& x, const HookContext&) {
    by_hook = x.clone();
    return at::Tensor();
  });
  hooked.forward(to_tensor(ids));
  const SequenceInput input{session_.create(), ids, LogitsOf::all};
  at::Tensor hidden;
  const at::Tensor logits = session_.forward_with_hidden({&input, 1}, hidden);
  EXPECT_TRUE(close(logits, expected["single_logits"], kLogitsTolerance));
  EXPECT_TRUE(close(hidden, by_hook, kSameF32));
  const SequenceInput last{session_.create(), ids};
  session_.forward_with_hidden({&last, 1}, hidden);
  EXPECT_TRUE(close(hidden, by_hook.narrow(0, std::ssize(ids) - 1, 1), kSameF32));
}

TEST_F(Contrastive, OneCandidateIsGreedy) {
  const GenerationOptions generation{.max_new_tokens = 12, .ignore_eos = true};
  const auto greedy = generate(session_, session_.create(), tokenizer_, prompt_, generation);
  EXPECT_EQ(run({.top_k = 1, .generation = generation}).ids, greedy.ids);
  EXPECT_EQ(run({.penalty_alpha = 0, .top_k = 5, .generation = generation}).ids, greedy.ids);
  const auto contrastive = run({.penalty_alpha = 0.8f, .top_k = 5, .generation = generation});
  EXPECT_NE(contrastive.ids, greedy.ids);
  EXPECT_EQ(contrastive.text, tokenizer_.decode(contrastive.ids, {.skip_special_tokens = true}));
}

TEST_F(Contrastive, EndsByEosStopAndContext) {
  const auto free = run({.generation = {.max_new_tokens = 1000, .ignore_eos = true}});
  EXPECT_EQ(std::ssize(free.ids), model_.config().max_position_embeddings - 4);
  EXPECT_EQ(free.finish_reason, FinishReason::length);
  const auto ended = run({.generation = {.max_new_tokens = 1000, .eos_token_ids = {free.ids[5]}}});
  EXPECT_EQ(ended.finish_reason, FinishReason::eos);
  EXPECT_EQ(ended.ids.back(), free.ids[5]);
  EXPECT_LE(ended.ids.size(), 6u);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(run({.generation = {.cancel = stop.get_token()}}).finish_reason, FinishReason::cancelled);
}

TEST_F(Contrastive, KeepsToAConstraint) {
  const std::vector<std::string> choices = {"ab", "acb", "b!"};
  const auto found = run({.generation = {.constraint = Constraint::from_choices(tokenizer_, choices)}});
  EXPECT_EQ(std::count(choices.begin(), choices.end(), found.text), 1) << found.text;
  EXPECT_EQ(found.finish_reason, FinishReason::stop);
}

TEST_F(Contrastive, BadOptionsAreNamed) {
  const auto expect = [&](std::string_view field, const ContrastiveSearchOptions& options) {
    expect_error(ErrorKind::usage, field, [&] { run(options); });
  };
  expect("penalty_alpha", {.penalty_alpha = -0.1f});
  expect("penalty_alpha", {.penalty_alpha = std::numeric_limits<float>::quiet_NaN()});
  expect("top_k", {.top_k = 0});
  expect("top_k", {.top_k = 98});
  expect("temperature", {.generation = {.temperature = 1}});
  expect("generation.top_k", {.generation = {.top_k = 3}});
  expect("top_p", {.generation = {.top_p = 0.5f}});
  expect("min_p", {.generation = {.min_p = 0.5f}});
  expect("typical_p", {.generation = {.sampling = {.typical_p = 0.5f}}});
  expect("epsilon_cutoff", {.generation = {.sampling = {.epsilon_cutoff = 0.1f}}});
  expect("eta_cutoff", {.generation = {.sampling = {.eta_cutoff = 0.1f}}});
  expect("top_h", {.generation = {.sampling = {.top_h = 0.5f}}});
  expect("top_n_sigma", {.generation = {.sampling = {.top_n_sigma = 1}}});
  expect("xtc_probability", {.generation = {.sampling = {.xtc_probability = 0.5f}}});
  expect("dynatemp_range", {.generation = {.sampling = {.dynatemp_range = 0.5f}}});
  expect("sampler_order", {.generation = {.sampling = {.order = SamplerOrder::llama_cpp}}});
  expect("samplers", {.generation = {.sampling = {.samplers = {"top_k"}}}});
  expect("guidance_scale", {.generation = {.sampling = {.guidance_scale = 2}}});
  expect("max_time", {.generation = {.max_time = 1}});
  expect("thinking", {.generation = {.thinking = ThinkingOptions{}}});
  expect("top_log_probs", {.generation = {.top_log_probs = 1}});
  expect("cache_prompt", {.generation = {.cache_prompt = true}});
  prompt_.clear();
  expect("prompt", {});
}

}  // namespace
}  // namespace powerhouse
