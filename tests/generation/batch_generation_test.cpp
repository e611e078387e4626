// Texts of a batch are those that each prompt has alone, whatever runs beside it.
#include "powerhouse/batch_generation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "expect_error.h"
#include "model/fixture.h"

namespace powerhouse {
namespace {

using testing::expect_error;

class BatchGeneration : public ::testing::Test {
 protected:
  std::vector<GenerationRequest> requests() const {
    std::vector<GenerationRequest> all;
    const char* const prompts[] = {
        "1 + 2 = ", "7 + 7 = 14, 8 + 8 = ", "3", "9 + 9 = ", "12 + 34 = ", "5 + 5 = ", "0 + 0 = "};
    for (const char* prompt : prompts) {
      all.push_back({.ids = tokenizer_.encode(prompt),
                     .options = {.max_new_tokens = 9, .ignore_eos = true, .processors = {known}}});
    }
    all[1].options.temperature = 1.3f;
    all[1].options.seed = 5;
    all[2].options.temperature = 0.8f;
    all[2].options.seed = 6;
    all[2].options.sampling.typical_p = 0.8f;
    all[3].options.max_new_tokens = 3;
    all[4].options.sampling.guidance_scale = 1.5f;
    all[5].options.constraint = Constraint::from_regex(tokenizer_, "[0-9](?: [0-9]){1,3}");
    all[6].options.sampling.mirostat = 2;
    all[6].options.temperature = 1.0f;
    all[6].options.seed = 7;
    all[0].options.top_log_probs = 2;
    return all;
  }

  static void known(std::span<float> logits, const LogitsContext& /*context*/) {
    std::fill(logits.begin() + 73, logits.end(), -std::numeric_limits<float>::infinity());
    logits[0] = -std::numeric_limits<float>::infinity();
  }

  Tokenizer tokenizer_ = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/training/reward/tokenizer");
  CausalLM model_ = CausalLM::from_pretrained(testing::fixture("tiny_gqa"), {.numerics = Numerics::exact});
};

TEST_F(BatchGeneration, EachTextIsThatOfItsPromptAlone) {
  const std::vector<GenerationRequest> all = requests();
  for (const std::int64_t most : {1, 3, 32}) {
    const auto found = generate_batch(model_, tokenizer_, all, {.max_num_seqs = most});
    ASSERT_EQ(found.size(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      Session session(model_);
      const auto alone = generate(session, session.create(), tokenizer_, all[i].ids, all[i].options);
      EXPECT_EQ(found[i].ids, alone.ids) << i << " of " << most;
      EXPECT_EQ(found[i].text, alone.text);
      EXPECT_EQ(found[i].finish_reason, alone.finish_reason);
      EXPECT_EQ(found[i].prompt_tokens, alone.prompt_tokens);
      ASSERT_EQ(found[i].choices.size(), alone.choices.size());
      for (std::size_t k = 0; k < alone.choices.size(); ++k) {
        EXPECT_EQ(found[i].choices[k].chosen.log_prob, alone.choices[k].chosen.log_prob);
      }
    }
  }
}

TEST_F(BatchGeneration, EachEndsByItself) {
  std::vector<GenerationRequest> all = requests();
  std::stop_source stop;
  std::string streamed;
  all[0].options.cancel = stop.get_token();
  all[0].options.on_token = [&](std::string_view) { stop.request_stop(); };
  all[3].options.on_token = [&](std::string_view text) { streamed += text; };
  const auto found = generate_batch(model_, tokenizer_, all);
  EXPECT_EQ(found[0].finish_reason, FinishReason::cancelled);
  EXPECT_EQ(found[0].ids.size(), 1u);
  EXPECT_EQ(found[3].ids.size(), 3u);
  EXPECT_EQ(found[3].text, streamed);
  EXPECT_EQ(found[1].ids.size(), 9u);
  EXPECT_TRUE(generate_batch(model_, tokenizer_, std::vector<GenerationRequest>()).empty());
}

// Two contexts fill up under guidance, and the negative prompt's may be the first.
TEST_F(BatchGeneration, EndsWhereTheNegativePromptsContextIsFull) {
  const auto longest = static_cast<std::size_t>(longest_sequence(model_.config()));
  for (const std::size_t room : {0, 3}) {
    std::vector<GenerationRequest> all = requests();
    all[4].options.sampling.negative_prompt_ids.assign(longest - room, 3);
    const auto found = generate_batch(model_, tokenizer_, all);
    EXPECT_EQ(found[4].ids.size(), room + 1) << "the last token is not computed on";
    EXPECT_EQ(found[4].finish_reason, FinishReason::length);
    EXPECT_EQ(found[1].ids.size(), 9u);
    Session session(model_);
    const auto alone = generate(session, session.create(), tokenizer_, all[4].ids, all[4].options);
    EXPECT_EQ(alone.ids, found[4].ids);
    EXPECT_EQ(alone.finish_reason, FinishReason::length);
  }
}

TEST_F(BatchGeneration, WhatIsWrongNamesItsRequest) {
  const auto expect = [&](ErrorKind kind, const char* field, auto change, const BatchOptions& options = {}) {
    std::vector<GenerationRequest> all = requests();
    change(all[2]);
    expect_error(kind, field, [&] { generate_batch(model_, tokenizer_, all, options); });
  };
  expect(ErrorKind::usage, "top_p", [](auto& one) { one.options.top_p = 2; });
  expect(ErrorKind::usage, "request 2", [](auto& one) { one.options.top_p = 2; });
  expect(ErrorKind::usage, "prompt", [](auto& one) { one.ids.clear(); });
  expect(ErrorKind::usage, "cache_prompt", [](auto& one) { one.options.cache_prompt = true; });
  expect(ErrorKind::range, "ids", [](auto& one) { one.ids.assign(100'000, 3); });
  const auto guide = [](auto& one) {
    one.options.sampling.guidance_scale = 1.5f;
    one.options.sampling.negative_prompt_ids.assign(100'000, 3);
  };
  expect(ErrorKind::range, "negative_prompt_ids", guide);
  expect(ErrorKind::range, "request 2", guide);
  expect(ErrorKind::usage, "max_num_seqs", [](auto&) {}, {.max_num_seqs = 0});
}

}  // namespace
}  // namespace powerhouse
