// Votes, and the completions that take part in them.
#include "powerhouse/self_consistency.h"

#include <gtest/gtest.h>

#include <map>

#include "expect_error.h"
#include "model/fixture.h"

namespace powerhouse {
namespace {

using namespace testing;

std::optional<std::string> last_word(std::string_view text) {
  const auto blank = text.rfind(' ');
  if (blank == std::string_view::npos) return std::nullopt;
  return std::string(text.substr(blank + 1));
}

TEST(Vote, IsWonByTheMost) {
  std::vector<RankedCompletion> completions;
  for (const char* text : {"is 7", "none", "so 42", "is 9", "hence 42", "I say 9", "it is 42"}) {
    completions.push_back({.text = text, .index = std::ssize(completions)});
  }
  const auto answers = vote(completions, last_word);
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0].answer, "42");
  EXPECT_EQ(answers[0].completions, (std::vector<std::int64_t>{2, 4, 6}));
  EXPECT_EQ(answers[1].answer, "9");
  EXPECT_EQ(answers[2].answer, "7");
  // Of equal ones the first.
  EXPECT_EQ(vote(std::span(completions).first(4), last_word).front().answer, "7");
  EXPECT_TRUE(vote(std::span(completions).subspan(1, 1), last_word).empty());
  EXPECT_TRUE(vote({}, last_word).empty());
  expect_error(ErrorKind::usage, "extract", [&] { vote(completions, {}); });
}

TEST(SelfConsistency, LetsSampledCompletionsVote) {
  const CausalLM model = load("tiny_gqa");
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/gpt2");
  const std::vector<std::int64_t> prompt = {5, 17, 33, 8};
  const auto first = [](std::string_view text) { return std::optional<std::string>(text.substr(0, 1)); };
  const BestOfNOptions options{.n = 12, .generation = {.max_new_tokens = 3, .temperature = 0.7f, .seed = 1}};
  const SelfConsistency result = self_consistency(model, tokenizer, prompt, first, options);
  ASSERT_EQ(result.completions.size(), 12u);
  std::map<std::string, std::size_t> counts;
  for (std::size_t i = 0; i < 12; ++i) {
    const RankedCompletion& one = result.completions[i];
    EXPECT_EQ(one.index, static_cast<std::int64_t>(i));
    ++counts[one.text.substr(0, 1)];
    GenerationOptions alone = options.generation;
    alone.seed = 1 + i;
    Session session(model);
    EXPECT_EQ(generate(session, session.create(), tokenizer, prompt, alone).ids, one.ids);
  }
  ASSERT_EQ(result.answers.size(), counts.size());
  ASSERT_GT(counts.size(), 1u);
  for (const VotedAnswer& one : result.answers) {
    EXPECT_EQ(one.completions.size(), counts[one.answer]);
    EXPECT_LE(one.completions.size(), result.answers.front().completions.size());
  }
  expect_error(ErrorKind::usage, "extract", [&] { self_consistency(model, tokenizer, prompt, {}, options); });
  expect_error(ErrorKind::range, "n", [&] { self_consistency(model, tokenizer, prompt, first, {.n = 0}); });
}

}  // namespace
}  // namespace powerhouse
