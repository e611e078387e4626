// Rewards of texts, and the best of several completions by them.
#include "powerhouse/best_of_n.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>

#include "../expect_error.h"
#include "../temporary_folder.h"
#include "model/fixture.h"
#include "powerhouse/reward_model.h"

namespace powerhouse {
namespace {

using namespace testing;

constexpr LoadOptions kF32{.dtype = Dtype::f32};

// A token a character, with a chat template.
class BestOfN : public ::testing::Test {
 protected:
  static Tokenizer with_template(const TemporaryFolder& folder) {
    const std::string from = POWERHOUSE_FIXTURES "/training/reward/tokenizer";
    std::filesystem::copy(from, folder.file("tokenizer"));
    JsonObject config = Json::parse_file(from + "/tokenizer_config.json").as_object();
    config["chat_template"] =
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: "
        "{% endif %}";
    folder.write("tokenizer/tokenizer_config.json", Json(std::move(config)).dump());
    return Tokenizer::from_pretrained(folder.file("tokenizer"));
  }
  static SequenceClassifier judge() {
    return SequenceClassifier::from_causal_lm(fixture("tiny_gqa"), {.pad_token_id = 0, .initializer_range = 1}, kF32);
  }

  TemporaryFolder folder_;
  Tokenizer tokenizer_ = with_template(folder_);
  CausalLM model_ = load("tiny_gqa");
  SequenceClassifier judge_ = judge();
  BestOfNOptions options_{.n = 5,
                          .generation = {.max_new_tokens = 6, .temperature = 1.0f, .seed = 7, .processors = {known}}};

  /// What becomes of a completion of "abc" without its siblings.
  GenerationResult alone(std::int64_t index) const {
    GenerationOptions options = options_.generation;
    options.seed = 7 + index;
    return generate(model_, tokenizer_, "abc", options);
  }

  // Equal ones keep their order.
  static std::vector<double> in_order(std::span<const RankedCompletion> completions) {
    return std::vector<double>(completions.size(), 1.0);
  }

 private:
  // The model has more ids than the tokenizer.
  static void known(std::span<float> logits, const LogitsContext& /*context*/) {
    std::fill(logits.begin() + 73, logits.end(), -std::numeric_limits<float>::infinity());
  }
};

TEST_F(BestOfN, RewardsAreTheHeadsNumbers) {
  const std::vector<Message> talk = {{"user", "hi"}, {"assistant", "hello"}};
  TokenBatch batch;
  batch.add(tokenizer_.encode("user: hi\nassistant: hello\n"));
  const double by_hand = judge_.logits(batch).item<float>();
  EXPECT_EQ(reward(judge_, tokenizer_, {talk[0], talk[1]}), by_hand);
  // Whatever shares the pass.
  const std::vector<std::vector<Message>> talks = {talk, {{"user", "a longer one, of another end"}}, talk};
  for (const std::int64_t pass : {1, 60, 4096}) {
    const std::vector<double> all = rewards(judge_, tokenizer_, talks, pass);
    ASSERT_EQ(all.size(), 3U);
    EXPECT_NEAR(all[0], by_hand, 1e-5);
    EXPECT_NEAR(all[2], by_hand, 1e-5);
    EXPECT_NE(all[1], all[0]);
  }
  // Plain texts end in EOS, which is padding here and passed over.
  TokenBatch plain;
  plain.add(tokenizer_.encode("2 + 3: 5"));
  EXPECT_NEAR(reward(judge_, tokenizer_, "2 + 3: ", "5"), judge_.logits(plain).item<float>(), 1e-5);
}

TEST_F(BestOfN, AreRankedByTheRewardModel) {
  const std::vector<RankedCompletion> ranked =
      best_of_n(model_, tokenizer_, {{"user", "count"}}, judge_, tokenizer_, options_);
  ASSERT_EQ(ranked.size(), 5U);
  std::set<std::int64_t> indices;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    indices.insert(ranked[i].index);
    if (i > 0) {
      EXPECT_GE(ranked[i - 1].reward, ranked[i].reward);
    }
    EXPECT_EQ(ranked[i].reward,
              rewards(judge_, tokenizer_,
                      std::vector<std::vector<Message>>{{{"user", "count"}, {"assistant", ranked[i].text}}})
                  .front());
    // Each is what `generate` makes of its seed.
    GenerationOptions alone = options_.generation;
    alone.seed = 7 + ranked[i].index;
    EXPECT_EQ(chat(model_, tokenizer_, {{"user", "count"}}, alone).ids, ranked[i].ids);
  }
  EXPECT_EQ(indices.size(), 5U);
  EXPECT_GT(ranked.front().reward, ranked.back().reward);
  const std::vector<RankedCompletion> again =
      best_of_n(model_, tokenizer_, {{"user", "count"}}, judge_, tokenizer_, options_);
  EXPECT_EQ(again.front().ids, ranked.front().ids);
}

TEST_F(BestOfN, TakesAFunction) {
  const std::vector<std::int64_t> prompt = tokenizer_.encode("abc");
  const auto longest = [](std::span<const RankedCompletion> completions) {
    std::vector<double> out;
    for (const RankedCompletion& completion : completions) out.push_back(static_cast<double>(completion.ids.size()));
    return out;
  };
  const std::vector<RankedCompletion> ranked = best_of_n(model_, tokenizer_, prompt, longest, options_);
  ASSERT_EQ(ranked.size(), 5U);
  EXPECT_EQ(ranked.front().reward, static_cast<double>(ranked.front().ids.size()));
  const auto kept = best_of_n(model_, tokenizer_, prompt, in_order, options_);
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i].index, static_cast<std::int64_t>(i));
}

// Each completion as if it were alone: what ends one does not end its siblings.
TEST_F(BestOfN, StopStringsEndTheirCompletionAlone) {
  options_.generation.max_new_tokens = 40;
  options_.generation.stop = {"a", "7"};
  options_.n = 8;
  const auto ranked = best_of_n(model_, tokenizer_, tokenizer_.encode("abc"), in_order, options_);
  ASSERT_EQ(ranked.size(), 8U);
  std::int64_t stopped = 0;
  for (const RankedCompletion& one : ranked) {
    const GenerationResult expected = alone(one.index);
    EXPECT_EQ(one.ids, expected.ids);
    EXPECT_EQ(one.text, expected.text);
    EXPECT_EQ(one.finish_reason, expected.finish_reason);
    stopped += one.finish_reason == FinishReason::stop ? 1 : 0;
  }
  EXPECT_GT(stopped, 0);
}

// Tokens are shown with blanks between them.
TEST_F(BestOfN, AConstraintEndsItsCompletionAlone) {
  options_.generation.max_new_tokens = 40;
  options_.generation.constraint =
      Constraint::from_choices(tokenizer_, std::vector<std::string>{"y e s", "n o", "n e v e r"});
  options_.n = 8;
  const auto ranked = best_of_n(model_, tokenizer_, tokenizer_.encode("abc"), in_order, options_);
  ASSERT_EQ(ranked.size(), 8U);
  for (const RankedCompletion& one : ranked) {
    const GenerationResult expected = alone(one.index);
    EXPECT_EQ(one.ids, expected.ids);
    EXPECT_EQ(one.finish_reason, expected.finish_reason);
    EXPECT_EQ(one.finish_reason, FinishReason::stop) << one.text;
  }
}

TEST_F(BestOfN, OneGreedyCompletionIsFine) {
  const BestOfNOptions greedy{.n = 1,
                              .generation = {.max_new_tokens = 5, .processors = options_.generation.processors}};
  const auto ranked = best_of_n(model_, tokenizer_, tokenizer_.encode("abc"), in_order, greedy);
  EXPECT_EQ(ranked.front().ids, generate(model_, tokenizer_, "abc", greedy.generation).ids);
}

TEST_F(BestOfN, CancelLeavesWhatIsComplete) {
  std::stop_source stop;
  options_.generation.max_new_tokens = 1000;
  options_.generation.cancel = stop.get_token();
  std::int64_t tokens = 0;
  options_.generation.processors.push_back([&](std::span<float>, const LogitsContext&) {
    if (++tokens == 40) stop.request_stop();
  });
  const auto ranked = best_of_n(model_, tokenizer_, tokenizer_.encode("abc"), in_order, options_);
  EXPECT_LE(ranked.size(), 5U);
  for (const RankedCompletion& one : ranked) EXPECT_EQ(one.finish_reason, FinishReason::eos);
  EXPECT_LT(tokens, 60);
  stop.request_stop();
  EXPECT_TRUE(best_of_n(model_, tokenizer_, tokenizer_.encode("abc"), in_order, options_).empty());
}

// What ended before, whatever ended it.
TEST_F(BestOfN, CancelLeavesWhatAConstraintOrTheContextEnded) {
  std::stop_source stop;
  options_.n = 16;
  options_.generation.max_new_tokens = 1000;
  options_.generation.cancel = stop.get_token();
  std::int64_t tokens = 0, until = 40;
  options_.generation.processors.push_back([&](std::span<float>, const LogitsContext&) {
    if (++tokens == until) stop.request_stop();
  });
  options_.generation.constraint =
      Constraint::from_choices(tokenizer_, std::vector<std::string>{"c", "b b b b b b b b b b b b"});
  const auto ranked = best_of_n(model_, tokenizer_, tokenizer_.encode("abc"), in_order, options_);
  EXPECT_GT(ranked.size(), 0U);
  EXPECT_LT(ranked.size(), 16U);
  for (const RankedCompletion& one : ranked) {
    EXPECT_EQ(one.text, "c");
    EXPECT_EQ(one.finish_reason, FinishReason::stop);
  }
  // The last token of all.
  stop = std::stop_source();
  options_.generation.cancel = stop.get_token();
  options_.generation.constraint.reset();
  options_.generation.ignore_eos = true;
  tokens = 0;
  until = 16 * (longest_sequence(model_.config()) - 3 + 1);
  const auto full = best_of_n(model_, tokenizer_, tokenizer_.encode("abc"), in_order, options_);
  EXPECT_TRUE(stop.stop_requested());
  ASSERT_EQ(full.size(), 16U);
  for (const RankedCompletion& one : full) EXPECT_EQ(one.finish_reason, FinishReason::length);
}

TEST_F(BestOfN, BadInputIsAnError) {
  const std::vector<std::int64_t> prompt = tokenizer_.encode("abc");
  expect_error(ErrorKind::usage, "on_token", [&] {
    best_of_n(model_, tokenizer_, prompt, in_order, {.n = 1, .generation = {.on_token = [](std::string_view) {}}});
  });
  expect_error(ErrorKind::range, "max_new_tokens",
               [&] { best_of_n(model_, tokenizer_, prompt, in_order, {.n = 1, .generation = {.max_new_tokens = 0}}); });
  const auto by = [&](const CompletionRewards& rewards, const BestOfNOptions& options) {
    return [&, rewards, options] { best_of_n(model_, tokenizer_, prompt, rewards, options); };
  };
  const CompletionRewards nan = [](std::span<const RankedCompletion> completions) {
    return std::vector<double>(completions.size(), std::numeric_limits<double>::quiet_NaN());
  };
  const CompletionRewards none = [](std::span<const RankedCompletion>) { return std::vector<double>(); };
  expect_error(ErrorKind::numeric, "rewards[0]", by(nan, options_));
  expect_error(ErrorKind::usage, "rewards", by(none, options_));
  expect_error(ErrorKind::range, "n", by(nan, {.n = 0}));
  expect_error(ErrorKind::usage, "temperature", by(nan, {.n = 2, .generation = {}}));
  const SequenceClassifier two = SequenceClassifier::from_causal_lm(fixture("tiny_gqa"), {.num_labels = 2}, kF32);
  expect_error(ErrorKind::usage, "num_labels", [&] { reward(two, tokenizer_, "a", "b"); });
  judge_.model().parameter("score.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  expect_error(ErrorKind::numeric, "not finite", [&] { reward(judge_, tokenizer_, "a", "b"); });
  const Tokenizer plain = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/training/reward/tokenizer");
  expect_error(ErrorKind::not_found, "template", [&] { reward(judge_, plain, {{"user", "hi"}}); });
}

}  // namespace
}  // namespace powerhouse
