// Generation on a tiny model: what options do from token to token.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "expect_error.h"
#include "generation/sample_many.h"
#include "model/fixture.h"
#include "powerhouse/explanation.h"
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

// The penalty outgrows float32: the end is as likely as can be said, and a constraint still forbids it.
TEST_F(GenerateOptions, LengthDecayBesideAConstraint) {
  std::string text = "b";  // 30 of them, shown with blanks between them
  for (int i = 1; i < 30; ++i) text += " b";
  options_.max_new_tokens = 40;
  options_.ignore_eos = false;
  options_.processors.clear();
  options_.constraint = Constraint::from_choices(tokenizer_, {&text, 1});
  options_.sampling.exponential_decay_length_penalty = LengthDecay{.start = 0, .factor = 100};
  for (const float temperature : {0.0f, 0.5f, 1.0f}) {
    options_.temperature = temperature;
    EXPECT_EQ(run(options_).text, text);
  }
  options_.constraint = Constraint::from_regex(tokenizer_, "b(?: b){29,34}");
  for (const float temperature : {0.0f, 0.5f, 1.0f}) {
    options_.temperature = temperature;
    const GenerationResult ended = run(options_);
    EXPECT_EQ(ended.text, text) << "where the end may come it comes";
    EXPECT_EQ(ended.finish_reason, FinishReason::eos);
  }
}

TEST(ExponentialDecay, OutgrowsNoFloat) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const processors::ExponentialDecay decay{.decay = {.start = 0, .factor = 1.5f}, .ids = {1, 2}};
  // transformers leaves 3.0535e38 at 218, and infinity at 219, where a logit of 0 is NaN; at 2000 it throws.
  for (const auto& [count, wanted] : {std::pair{218, 3.0535e38f}, {219, kMost}, {2000, kMost}}) {
    std::vector<float> row = {2.5f, 1.25f, 0.0f, kMost};
    const std::vector<std::int64_t> ids(static_cast<std::size_t>(count), 3);
    decay(row, {.ids = ids});
    EXPECT_NEAR(row[1] / wanted, 1, 1e-4) << count;
    EXPECT_EQ(row[2], 0.0f) << count;
    EXPECT_EQ(row[0], 2.5f);
  }
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

TEST_F(GenerateOptions, StopTokensEndTheTextUnshown) {
  const GenerationResult free = run(options_);
  options_.stop_token_ids = {free.ids[4]};
  const GenerationResult stopped = run(options_);
  const auto first = std::find(free.ids.begin(), free.ids.end(), free.ids[4]) + 1;
  EXPECT_EQ(stopped.ids, std::vector<std::int64_t>(free.ids.begin(), first));
  EXPECT_EQ(stopped.finish_reason, FinishReason::stop);
  EXPECT_EQ(stopped.text, tokenizer_.decode(std::span(stopped.ids).first(stopped.ids.size() - 1)));
  for (const std::int64_t id : {-1, 97}) {  // none of the vocabulary would ever end a text
    options_.stop_token_ids = {id};
    testing::expect_error(ErrorKind::range, "stop_token_ids", [&] { run(options_); });
  }
}

TEST_F(GenerateOptions, PatternsEndTheTextUnshown) {
  const GenerationResult free = run(options_);
  ASSERT_EQ(free.text.size(), 23u);  // this tokenizer puts blanks between its tokens
  options_.stop_regex = {"never", std::string("[\\s\\S][") + free.text[14] + "]"};
  std::string streamed;
  options_.on_token = [&](std::string_view text) { streamed += text; };
  const GenerationResult stopped = run(options_);
  EXPECT_EQ(stopped.finish_reason, FinishReason::stop);
  EXPECT_EQ(stopped.text, free.text.substr(0, free.text.find(free.text[14], 1) - 1));
  EXPECT_EQ(streamed, stopped.text);
}

TEST_F(GenerateOptions, TimeRunsOut) {
  options_.max_time = 1e-9;
  const GenerationResult result = run(options_);
  EXPECT_EQ(result.ids.size(), 1u);
  EXPECT_EQ(result.finish_reason, FinishReason::time);
  options_.max_time = 1e9;
  EXPECT_EQ(run(options_).finish_reason, FinishReason::length);
}

TEST_F(GenerateOptions, ThoughtsEndWhereTheirBudgetIsUsedUp) {
  const auto ids = [&](std::string_view text) { return tokenizer_.encode(text); };
  const auto forbid = [&](std::string_view tag) {
    options_.sampling.logit_bias.push_back({.id = ids(tag).front(), .bias = -std::numeric_limits<float>::infinity()});
  };
  forbid("q");
  forbid("z");
  options_.thinking = ThinkingOptions{.start = "q", .end = "z", .budget = 3, .message = "ab"};
  const auto part = [](const GenerationResult& result, std::size_t first) {
    return std::vector<std::int64_t>(result.ids.begin() + static_cast<std::ptrdiff_t>(first),
                                     result.ids.begin() + static_cast<std::ptrdiff_t>(first) + 3);
  };
  const GenerationResult thought = run(options_, "1 + 2 = q");
  EXPECT_EQ(part(thought, 3), ids("abz"));
  EXPECT_EQ(std::count(thought.ids.begin(), thought.ids.end(), ids("z").front()), 1);
  options_.thinking->budget = 0;
  EXPECT_EQ(part(run(options_, "1 + 2 = q"), 0), ids("abz"));
  // The prompt's thought has ended; and none has begun.
  for (const std::string_view prompt : {"q 1 z + 2 = ", "1 + 2 = "}) {
    const GenerationResult answer = run(options_, prompt);
    EXPECT_EQ(std::count(answer.ids.begin(), answer.ids.end(), ids("z").front()), 0);
  }
  // The model ends it by itself.
  options_.thinking->budget = 3;
  options_.sampling.logit_bias = {{.id = ids("z").front(), .bias = 100}};
  EXPECT_EQ(part(run(options_, "1 + 2 = q"), 0), ids("zzz"));
}

TEST_F(GenerateOptions, LogProbabilitiesAreTheModelsOwn) {
  options_.sampling.typical_p = 0.9f;
  options_.temperature = 1.7f;
  options_.top_log_probs = 3;
  const std::vector<std::int64_t> prompt = tokenizer_.encode("1 + 2 = ");
  const GenerationResult result = run(options_);
  std::vector<std::int64_t> ids = prompt;
  ids.insert(ids.end(), result.ids.begin(), result.ids.end());
  const at::Tensor log_probs = model_.forward(to_tensor(ids)).select(0, 0).log_softmax(-1);
  ASSERT_EQ(result.choices.size(), result.ids.size());
  for (std::size_t i = 0; i < result.ids.size(); ++i) {
    const TokenChoice& choice = result.choices[i];
    const at::Tensor row = log_probs.select(0, std::ssize(prompt) - 1 + static_cast<std::int64_t>(i)).contiguous();
    std::vector<float> values(row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel());
    EXPECT_EQ(choice.chosen.id, result.ids[i]);
    EXPECT_NEAR(choice.chosen.log_prob, values[static_cast<std::size_t>(choice.chosen.id)], 1e-5);
    ASSERT_EQ(choice.best.size(), 3u);
    std::sort(values.begin(), values.end(), std::greater<>());
    for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(choice.best[k].log_prob, values[k], 1e-5);
  }
  options_.top_log_probs = 0;
  EXPECT_TRUE(run(options_).choices.front().best.empty());
  options_.top_log_probs.reset();
  EXPECT_TRUE(run(options_).choices.empty());
}

TEST_F(GenerateOptions, APageShowsEachTokenAndTheOthers) {
  options_.max_new_tokens = 3;
  options_.top_log_probs = 2;
  const GenerationResult result = run(options_);
  const std::vector<std::int64_t> layers = {11, 22, 33};
  const std::string page = to_html(result, tokenizer_, {.prompt = "1 < 2", .premature_layers = layers});
  EXPECT_THAT(page, ::testing::HasSubstr("1 &lt; 2"));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    EXPECT_THAT(page, ::testing::HasSubstr("  layer " + std::to_string(layers[i])));
    EXPECT_THAT(page, ::testing::HasSubstr("<td>" + std::to_string(result.ids[i]) + "</td>"));
    for (const TokenLogProb& token : result.choices[i].best) {
      char percent[32];
      const double value = 100 * std::exp(double{token.log_prob});
      std::snprintf(percent, sizeof percent, value < 0.1 ? " %.1e %%&emsp;" : " %.1f %%&emsp;", value);
      EXPECT_THAT(page, ::testing::HasSubstr(percent));
    }
  }
  EXPECT_EQ(page.find("<script"), std::string::npos);
  expect_error(ErrorKind::usage, "premature_layers",
               [&] { to_html(result, tokenizer_, {.premature_layers = std::span(layers).first(2)}); });
  options_.top_log_probs.reset();
  expect_error(ErrorKind::usage, "top_log_probs", [&] { to_html(run(options_), tokenizer_); });
}

TEST_F(GenerateOptions, AreRefusedWhereTheyHaveNoMeaning) {
  const auto refuse = [&](std::string_view field, const GenerationOptions& options) {
    expect_error(ErrorKind::usage, field, [&] {
      sample_many(model_, tokenizer_, {{1, 2}}, options, {.seed = [](std::size_t) { return 1; }});
    });
  };
  const GenerationOptions plain{.max_new_tokens = 2, .temperature = 1.0f};
  const auto with = [&](auto change) {
    GenerationOptions options = plain;
    change(options);
    return options;
  };
  refuse("guidance_scale", with([](auto& options) { options.sampling.guidance_scale = 2; }));
  refuse("stop_regex", with([](auto& options) { options.stop_regex = {"a"}; }));
  refuse("stop_token_ids", with([](auto& options) { options.stop_token_ids = {1}; }));
  refuse("max_time", with([](auto& options) { options.max_time = 1; }));
  refuse("thinking", with([](auto& options) { options.thinking = ThinkingOptions{}; }));
  refuse("top_log_probs", with([](auto& options) { options.top_log_probs = 1; }));
}

}  // namespace
}  // namespace powerhouse
