// Beam search against transformers' generate, and its variants against references (tests/oracles/beam_search.py,
// beam_variants.py).
#include "powerhouse/beam_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "beam_cases.h"
#include "expect_error.h"
#include "model/fixture.h"

namespace powerhouse {
namespace {

using namespace testing;

const char* const kModels[] = {"tiny_gqa", "tiny_bias_llama3", "tiny_mqa_linear"};

Json cases(const std::string& file) { return Json::parse_file(POWERHOUSE_FIXTURES "/generation/" + file); }

void expect_all(const CausalLM& model, const Json& tests, std::size_t count) {
  ASSERT_EQ(tests.as_array().size(), count);
  for (const Json& test : tests.as_array()) {
    BeamSearchOptions options = to_beam_options(test.at("options"));
    options.num_return_sequences = std::ssize(test.at("hypotheses").as_array());
    Session session(model);
    const auto found = beam_search(session, session.create(), integers(test.at("prompt")), options);
    expect_hypotheses(found, test, 1e-5);
  }
}

TEST(BeamSearch, FindsWhatTransformersFinds) {
  const Json all = cases("beam_search.json");
  for (const char* name : kModels) expect_all(load(name), all.at(name), 20);
}

TEST(DiverseBeamSearch, FindsWhatTheReferenceFinds) {
  const Json all = cases("beam_variants.json");
  for (const char* name : kModels) expect_all(load(name), all.at(name).at("diverse"), 6);
}

TEST(ConstrainedBeamSearch, FindsWhatTheReferenceFinds) {
  const Json all = cases("beam_variants.json");
  for (const char* name : kModels) expect_all(load(name), all.at(name).at("constrained"), 7);
}

class Beams : public ::testing::Test {
 protected:
  std::vector<BeamHypothesis> run(const BeamSearchOptions& options) {
    return beam_search(session_, session_.create(), prompt_, options);
  }
  CausalLM model_ = load("tiny_gqa");
  Session session_{model_};
  std::vector<std::int64_t> prompt_ = {5, 17, 33, 8};
};

TEST_F(Beams, ScoreIsTheModelsOwn) {
  const auto found = run({.num_beams = 3,
                          .num_return_sequences = 3,
                          .length_penalty = 0.5,
                          .generation = {.max_new_tokens = 6, .eos_token_ids = {2}}});
  ASSERT_EQ(found.size(), 3u);
  for (const BeamHypothesis& one : found) {
    std::vector<std::int64_t> text = prompt_;
    text.insert(text.end(), one.ids.begin(), one.ids.end());
    const at::Tensor log_probs = model_.forward(to_tensor(text))[0].log_softmax(-1);
    double sum = 0;
    for (std::size_t i = prompt_.size(); i < text.size(); ++i) {
      sum += log_probs[static_cast<std::int64_t>(i) - 1][text[i]].item<double>();
    }
    EXPECT_NEAR(one.score, sum / std::sqrt(static_cast<double>(one.ids.size())), 1e-4);
  }
  EXPECT_GE(found[0].score, found[1].score);
  EXPECT_GE(found[1].score, found[2].score);
}

// As many beams as the vocabulary has tokens, for two steps: nothing is pruned.
TEST_F(Beams, EnoughOfThemFindTheBestText) {
  const std::int64_t vocabulary = model_.config().vocab_size;
  const auto found = run({.num_beams = vocabulary, .generation = {.max_new_tokens = 2, .ignore_eos = true}});
  const at::Tensor first = model_.forward(to_tensor(prompt_))[0][-1].log_softmax(-1);
  double best = -1e9;
  for (std::int64_t id = 0; id < vocabulary; ++id) {
    std::vector<std::int64_t> text = prompt_;
    text.push_back(id);
    const at::Tensor second = model_.forward(to_tensor(text))[0][-1].log_softmax(-1);
    best = std::max(best, first[id].item<double>() + second.max().item<double>());
  }
  EXPECT_NEAR(found.front().score, best / 2, 1e-5);
}

TEST_F(Beams, LeaveTheSequenceWithThePrompt) {
  const SequenceId sequence = session_.create();
  const BeamSearchOptions options{.num_beams = 4, .generation = {.max_new_tokens = 40, .ignore_eos = true}};
  const auto once = beam_search(session_, sequence, prompt_, options);
  EXPECT_EQ(session_.length(sequence), 4);
  const std::size_t bytes = session_.cache_bytes();
  BeamSearchOptions again = options;
  again.generation.cache_prompt = true;
  EXPECT_EQ(beam_search(session_, sequence, prompt_, again).front().ids, once.front().ids);
  EXPECT_EQ(session_.length(sequence), 4);
  EXPECT_EQ(session_.cache_bytes(), bytes);  // all pages of the beams came back
}

// 16 beams of 48 + 8 tokens would be 896 tokens of cache; 48 of them are shared by all.
TEST_F(Beams, ShareTheirCache) {
  prompt_.clear();
  for (std::int64_t i = 0; i < 48; ++i) prompt_.push_back(3 + i * 7 % 90);
  Session session(model_, {.page_tokens = 1});
  beam_search(session, session.create(), prompt_,
              {.num_beams = 16, .generation = {.max_new_tokens = 8, .ignore_eos = true}});
  EXPECT_LE(session.cache_bytes(), 512 * session.cache_bytes_per_token());
}

TEST_F(Beams, StayWithinTheContext) {
  const std::int64_t context = model_.config().max_position_embeddings;
  const auto found = run({.num_beams = 2, .generation = {.max_new_tokens = 1000, .ignore_eos = true}});
  EXPECT_EQ(std::ssize(found.front().ids), context - 4 + 1);
  EXPECT_EQ(found.front().finish_reason, FinishReason::length);
}

TEST_F(Beams, ProcessorsWorkOnLogProbabilities) {
  double sum = 0;
  const auto see = [&](std::span<float> row, const LogitsContext& context) {
    EXPECT_EQ(context.prompt_length, 4);
    if (context.ids.size() == 4) {
      for (const float value : row) sum += std::exp(double{value});
    }
    for (std::size_t id = 10; id < row.size(); ++id) row[id] = -std::numeric_limits<float>::infinity();
  };
  const auto found = run({.num_beams = 4,
                          .num_return_sequences = 4,
                          .generation = {.max_new_tokens = 5, .ignore_eos = true, .processors = {see}}});
  EXPECT_NEAR(sum, 1, 1e-5);
  for (const BeamHypothesis& one : found) EXPECT_LT(*std::max_element(one.ids.begin(), one.ids.end()), 10);
}

// One text is all that is left: no beam may stand in for another.
TEST_F(Beams, AreFewerWhereProcessorsLeaveFewer) {
  const auto one_alone = [](std::span<float> row, const LogitsContext& context) {
    for (std::size_t id = 0; id < row.size(); ++id) {
      if (id != context.ids.size()) row[id] = -std::numeric_limits<float>::infinity();
    }
  };
  const auto found = run({.num_beams = 3,
                          .num_return_sequences = 3,
                          .generation = {.max_new_tokens = 3, .ignore_eos = true, .processors = {one_alone}}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.front().ids, (std::vector<std::int64_t>{4, 5, 6}));
}

// All of few choices, each from its own beam; nothing is left to search for then.
TEST_F(Beams, KeepToAConstraint) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/gpt2");
  const std::vector<std::string> choices = {"ab", "acb", "b!"};
  for (const float temperature : {0.0f, 1.0f}) {
    const auto found = beam_search(session_, session_.create(), tokenizer, prompt_,
                                   {.num_beams = 4,
                                    .num_return_sequences = 4,
                                    .generation = {.max_new_tokens = 8,
                                                   .temperature = temperature,
                                                   .seed = 1,
                                                   .constraint = Constraint::from_choices(tokenizer, choices)}});
    std::set<std::string> texts;
    for (const BeamHypothesis& one : found) {
      texts.insert(one.text);
      EXPECT_EQ(one.finish_reason, FinishReason::stop);
    }
    EXPECT_EQ(texts, std::set<std::string>(choices.begin(), choices.end()));
    EXPECT_EQ(found.size(), 3u);
  }
}

TEST_F(Beams, CancelLeavesWhatThereIs) {
  std::stop_source stop;
  const auto after_five = [&](std::span<float>, const LogitsContext& context) {
    if (context.ids.size() == 9) stop.request_stop();
  };
  const auto found =
      run({.num_beams = 2,
           .num_return_sequences = 2,
           .generation = {
               .max_new_tokens = 30, .ignore_eos = true, .processors = {after_five}, .cancel = stop.get_token()}});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found.front().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(found.front().ids.size(), 6u);
  EXPECT_TRUE(run({.generation = {.cancel = stop.get_token()}}).empty());
}

TEST_F(Beams, BadOptionsAreNamed) {
  const auto expect = [&](std::string_view field, const BeamSearchOptions& options) {
    expect_error(ErrorKind::usage, field, [&] { run(options); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  expect("num_beams", {.num_beams = 0});
  expect("num_beams", {.num_beams = 5000});
  expect("num_return_sequences", {.num_beams = 3, .num_return_sequences = 4});
  expect("num_return_sequences", {.num_return_sequences = 0});
  expect("length_penalty", {.length_penalty = nan});
  expect("no_repeat_ngram_size", {.generation = {.sampling = {.no_repeat_ngram_size = -1}}});
  expect("guidance_scale", {.generation = {.sampling = {.guidance_scale = 2}}});
  expect("mirostat", {.generation = {.temperature = 1, .sampling = {.mirostat = 2}}});
  expect("dry_sequence_breakers", {.generation = {.sampling = {.dry_multiplier = 1}}});
  expect("stop_regex", {.generation = {.stop_regex = {"a"}}});
  expect("stop_token_ids", {.generation = {.stop_token_ids = {3}}});
  expect("max_time", {.generation = {.max_time = 1}});
  expect("thinking", {.generation = {.thinking = ThinkingOptions{}}});
  expect("top_log_probs", {.generation = {.top_log_probs = 1}});
  expect("num_beam_groups", {.num_beams = 4, .num_beam_groups = 3});
  expect("num_beam_groups", {.num_beam_groups = 0});
  expect("diversity_penalty", {.num_beam_groups = 2, .diversity_penalty = -1});
  expect("diversity_penalty", {.num_beam_groups = 1, .diversity_penalty = 1});
  expect("force_words_ids[0]", {.force_words_ids = {{}}});
  expect("force_words_ids[1]", {.force_words_ids = {{{3}}, {{4}, {}}}});
  expect("force_words_ids[0]", {.force_words_ids = {{{97}}}});
  expect("num_beam_groups", {.num_beam_groups = 2, .diversity_penalty = 1, .force_words_ids = {{{3}}}});
  expect("temperature", {.force_words_ids = {{{3}}}, .generation = {.temperature = 1}});
  expect("temperature", {.num_beam_groups = 2, .diversity_penalty = 1, .generation = {.temperature = 1}});
  expect("temperature", {.generation = {.temperature = -1}});
  expect("temperature", {.generation = {.sampling = {.order = SamplerOrder::llama_cpp}}});
  expect("temperature", {.generation = {.sampling = {.samplers = {"top_k", "temperature"}}}});
  expect("max_new_tokens", {.generation = {.max_new_tokens = 0}});
  expect("stop", {.generation = {.stop = {"x"}}});
  expect("on_token", {.generation = {.on_token = [](std::string_view) {}}});
  prompt_.clear();
  expect("prompt", {});
  expect_error(ErrorKind::usage, "early_stopping", [] { parse_early_stopping("maybe"); });
  EXPECT_EQ(parse_early_stopping("never"), EarlyStopping::never);
}

}  // namespace
}  // namespace powerhouse
