// Generation on a tiny model: what options do from token to token.
#include <gtest/gtest.h>

#include <algorithm>

#include "expect_error.h"
#include "generation/sample_many.h"
#include "model/fixture.h"
#include "powerhouse/generation.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse {
namespace {

using namespace testing;

// A token a character; the model has more ids than the tokenizer.
class GenerateOptions : public ::testing::Test {
 protected:
  static constexpr std::int64_t kTokens = 73;

  static void known(std::span<float> logits, const LogitsContext& /*context*/) {
    std::fill(logits.begin() + kTokens, logits.end(), -std::numeric_limits<float>::infinity());
    logits[0] = -std::numeric_limits<float>::infinity();  // </s>, which is not shown
  }
  GenerationResult run(const GenerationOptions& options, std::string_view prompt = "1 + 2 = ") {
    Session session(model_);
    return generate(session, session.create(), tokenizer_, tokenizer_.encode(prompt), options);
  }

  Tokenizer tokenizer_ = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/training/reward/tokenizer");
  CausalLM model_ = load("tiny_gqa");
  GenerationOptions options_{
      .max_new_tokens = 12, .temperature = 1.0f, .seed = 7, .ignore_eos = true, .processors = {known}};
};

// The token is that of both texts' logits, whichever way they were computed.
TEST_F(GenerateOptions, GuidanceComparesTwoTexts) {
  const std::vector<std::int64_t> prompt = tokenizer_.encode("1 + 2 = ");
  for (const bool named : {true, false}) {
    options_.temperature = 0;
    options_.sampling.guidance_scale = 2.5f;
    options_.sampling.negative_prompt_ids = named ? tokenizer_.encode("zebra") : std::vector<std::int64_t>();
    std::vector<std::int64_t> ours = prompt;
    std::vector<std::int64_t> theirs =
        named ? options_.sampling.negative_prompt_ids : std::vector<std::int64_t>{prompt.back()};
    const GenerationResult result = run(options_);
    ASSERT_EQ(result.ids.size(), 12u);
    for (const std::int64_t id : result.ids) {
      const auto last = [&](const std::vector<std::int64_t>& ids) {
        const at::Tensor row = model_.forward(to_tensor(ids)).select(0, 0).select(0, -1).contiguous();
        const auto* const values = row.const_data_ptr<float>();
        return std::vector<float>(values, values + row.numel());
      };
      std::vector<float> row = last(ours);
      processors::guide(row, last(theirs), 2.5f);
      known(row, {});
      EXPECT_EQ(id, std::max_element(row.begin(), row.end()) - row.begin());
      ours.push_back(id);
      theirs.push_back(id);
    }
  }
  options_.sampling.guidance_scale = 1;
  options_.sampling.negative_prompt_ids.clear();
  const GenerationResult plain = run(options_);
  options_.sampling.guidance_scale = 2.5f;
  EXPECT_NE(run(options_).ids, plain.ids);
}

// State and random numbers belong to one text, whatever else is in the batch.
TEST_F(GenerateOptions, AreEachTextsOwnInABatch) {
  options_.sampling.dry_multiplier = 0.8f;
  options_.sampling.xtc_probability = 0.5f;
  options_.sampling.xtc_threshold = 0.02f;
  for (const std::int64_t mirostat : {0, 1, 2}) {
    options_.sampling.mirostat = mirostat;
    options_.sampling.xtc_probability = mirostat == 0 ? 0.5f : 0.0f;
    const auto one = [&](std::uint64_t seed) {
      GenerationOptions alone = options_;
      alone.seed = seed;
      return run(alone).ids;
    };
    GenerationOptions together = options_;
    together.seed.reset();
    const std::vector<std::vector<std::int64_t>> prompts = {tokenizer_.encode("a b"), tokenizer_.encode("1 + 2 = ")};
    const auto all = sample_many(model_, tokenizer_, prompts, together,
                                 {.per_prompt = 3, .seed = [](std::size_t i) { return 40 + i; }});
    for (std::size_t i = 3; i < 6; ++i) EXPECT_EQ(all[i].ids, one(40 + i)) << "mirostat " << mirostat;
    EXPECT_NE(all[3].ids, all[4].ids);
  }
}

TEST_F(GenerateOptions, ProcessorsStartAnewForEachText) {
  options_.processors.push_back([calls = 0](std::span<float> logits, const LogitsContext& context) mutable {
    EXPECT_EQ(calls++, context.new_tokens());
    if (calls == 3) logits[5] += 100;
  });
  for (int text = 0; text < 2; ++text) EXPECT_EQ(run(options_).ids[2], 5);
}

TEST_F(GenerateOptions, LengthsHoldTheEndBackAndForceIt) {
  options_.ignore_eos = false;
  options_.eos_token_ids = {4};
  options_.sampling.logit_bias = {{.id = 4, .bias = 50}};
  EXPECT_EQ(run(options_).ids.size(), 1u);
  options_.sampling.min_new_tokens = 5;
  EXPECT_EQ(run(options_).ids.size(), 6u);
  EXPECT_EQ(run(options_).finish_reason, FinishReason::eos);
  options_.sampling = {.forced_eos_token_id = {4}};
  options_.eos_token_ids = {9999};
  EXPECT_EQ(run(options_).ids.size(), 12u);
  EXPECT_EQ(run(options_).ids.back(), 4);
}

}  // namespace
}  // namespace powerhouse
