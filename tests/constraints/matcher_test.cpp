// Masks are what each token alone would do; texts go forward, back and apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "constraint_cases.h"
#include "expect_error.h"
#include "support/philox.h"

namespace powerhouse {
namespace {

using testing::allowed_ids;
using testing::expect_error;

Tokenizer tokenizer(const std::string& name) {
  return Tokenizer::from_pretrained(std::string(POWERHOUSE_FIXTURES) + "/text/" + name);
}

// Walks at random, and asks for each token alone on the way.
void expect_masks_of_single_tokens(const Constraint& constraint, std::uint64_t seed, int steps) {
  const Random random(seed, RandomStream::sampling);
  ConstraintMatcher matcher(constraint);
  const auto vocabulary = static_cast<std::int64_t>(constraint.tokenizer().vocab_size());
  for (int step = 0; step < steps && !matcher.is_finished(); ++step) {
    const auto ids = allowed_ids(matcher);
    std::vector<std::int64_t> alone;
    for (std::int64_t id = 0; id < vocabulary; ++id) {
      if (matcher.allows(id)) alone.push_back(id);
    }
    ASSERT_EQ(ids, alone) << "step " << step;
    ASSERT_FALSE(ids.empty());
    const auto pick =
        static_cast<std::size_t>(random.uniform(static_cast<std::uint64_t>(step)) * static_cast<double>(ids.size()));
    matcher.accept(ids[pick]);
  }
}

constexpr const char* kSchema =
    R"({"type":"object","properties":{"name":{"type":"string","pattern":"^[A-Z\u00c0-\u00de]\\w*$"},)"
    R"("n":{"type":["integer","null"],"minimum":-3,"maximum":120},"tree":{"$ref":"#/$defs/tree"}},"required":["name","tree"],)"
    R"("$defs":{"tree":{"type":"array","items":{"$ref":"#/$defs/tree"},"maxItems":2}}})";

TEST(ConstraintMatcher, MasksAreThoseOfSingleTokens) {
  for (const char* name :
       {"smollm", "llama3", "gguf/smollm.gguf", "gguf_models/spm.gguf", "gguf_models/spm_no_prefix.gguf"}) {
    SCOPED_TRACE(name);
    const Tokenizer one = tokenizer(name);
    const std::vector<std::string> choices{"yes", "no", "n\u00f3", " maybe"};
    expect_masks_of_single_tokens(Constraint::from_json_schema(one, kSchema), 1, 60);
    expect_masks_of_single_tokens(Constraint::from_regex(one, "(?:[^a-y]|\u00e9+){3,40}"), 2, 30);
    expect_masks_of_single_tokens(Constraint::from_choices(one, choices), 3, 10);
    expect_masks_of_single_tokens(
        Constraint::from_gbnf(one, "root ::= item+\nitem ::= \"(\" item* \")\" | [a-c]+ \"\\n\""), 4, 40);
  }
}

TEST(ConstraintMatcher, EndsExactlyWhereTheTextIsComplete) {
  const Tokenizer one = tokenizer("smollm");
  const std::vector<std::int64_t> ends{0};
  const auto ids = one.encode("ab", {.add_special_tokens = false});
  ConstraintMatcher matcher(Constraint::from_regex(one, "(ab)+"), ends);
  EXPECT_FALSE(matcher.allows(0));
  EXPECT_FALSE(matcher.is_complete());
  expect_error(ErrorKind::usage, "end", [&] { matcher.accept(0); });
  for (const auto id : ids) matcher.accept(id);
  EXPECT_TRUE(matcher.is_complete());
  EXPECT_FALSE(matcher.is_finished());
  EXPECT_TRUE(matcher.allows(0));
  matcher.accept(0);
  EXPECT_TRUE(matcher.is_finished());
  EXPECT_FALSE(matcher.allows(ids[0]));
  expect_error(ErrorKind::usage, "ended", [&] { matcher.accept(0); });
  matcher.rollback(1);
  EXPECT_TRUE(matcher.allows(ids[0]));
  EXPECT_FALSE(matcher.is_finished());

  ConstraintMatcher whole(Constraint::from_regex(one, "ab"), ends);
  for (const auto id : ids) whole.accept(id);
  EXPECT_TRUE(whole.is_finished());
}

TEST(ConstraintMatcher, CopiesAndRollbacksGoTheirOwnWays) {
  const Tokenizer one = tokenizer("smollm");
  const Constraint constraint = Constraint::from_json_schema(one, kSchema);
  const Random random(7, RandomStream::sampling);
  ConstraintMatcher matcher(constraint);
  std::vector<std::vector<std::int64_t>> allowed;
  for (std::uint64_t step = 0; step < 40 && !matcher.is_finished(); ++step) {
    allowed.push_back(allowed_ids(matcher));
    const auto& ids = allowed.back();
    matcher.accept(ids[static_cast<std::size_t>(random.uniform(step) * static_cast<double>(ids.size()))]);
  }
  const ConstraintMatcher copy = matcher;
  ASSERT_GT(allowed.size(), 5u);
  for (std::size_t left = allowed.size(); left-- > 0;) {
    matcher.rollback(1);
    EXPECT_EQ(allowed_ids(matcher), allowed[left]);
  }
  EXPECT_EQ(copy.tokens().size(), allowed.size());
  expect_error(ErrorKind::usage, "fewer", [&] { matcher.rollback(1); });
}

TEST(ConstraintMatcher, SpecialTokensAreNoText) {
  const Tokenizer one = tokenizer("smollm");
  ConstraintMatcher matcher(Constraint::from_gbnf(one, "root ::= .*"), std::vector<std::int64_t>{});
  for (std::int64_t id = 0; id < static_cast<std::int64_t>(one.vocab_size()); ++id) {
    EXPECT_FALSE(one.is_special(id) && matcher.allows(id)) << one.id_to_token(id);
  }
}

TEST(ConstraintMatcher, TokensOfTheGrammarMatchThemselves) {
  const Tokenizer one = tokenizer("smollm");
  std::int64_t special = -1;
  for (std::int64_t id = 0; special < 0; ++id) special = one.is_special(id) ? id : -1;
  const std::string name = one.id_to_token(special);
  const auto letters = one.encode("a", {.add_special_tokens = false});
  const std::string id = "<[" + std::to_string(special) + "]>";
  for (const std::string& spelled : {id, name}) {
    ConstraintMatcher matcher(Constraint::from_gbnf(one, "root ::= " + spelled + " \"a\" !" + spelled),
                              std::vector<std::int64_t>{});
    EXPECT_EQ(allowed_ids(matcher), std::vector<std::int64_t>{special});
    matcher.accept(special);
    EXPECT_EQ(allowed_ids(matcher), letters);
    matcher.accept(letters[0]);
    EXPECT_FALSE(matcher.allows(special));
    EXPECT_TRUE(matcher.allows(letters[0]));
    matcher.accept(letters[0]);
    EXPECT_TRUE(matcher.is_finished());
  }
}

// gpt-oss ends a call with <|call|>, which ends the text too.
TEST(ConstraintMatcher, EndsThatTheGrammarNamesAreSteps) {
  const Tokenizer one = tokenizer("smollm");
  const std::int64_t end = *one.token_to_id("<|im_end|>"), other = *one.token_to_id("<|endoftext|>");
  const std::vector<std::int64_t> ends{end, other};
  const auto letter = one.encode("a", {.add_special_tokens = false})[0];
  ConstraintMatcher matcher(Constraint::from_gbnf(one, "root ::= \"a\" <|im_end|> \"a\""), ends);
  matcher.accept(letter);
  EXPECT_EQ(allowed_ids(matcher), std::vector<std::int64_t>{end});
  EXPECT_TRUE(matcher.allows(end));
  EXPECT_FALSE(matcher.allows(other));
  std::vector<float> logits(one.vocab_size(), 0.0f);
  matcher.mask(logits);
  EXPECT_EQ(logits[static_cast<std::size_t>(end)], 0.0f);
  matcher.accept(end);
  EXPECT_FALSE(matcher.is_complete());
  EXPECT_EQ(allowed_ids(matcher), std::vector<std::int64_t>{letter});
  matcher.accept(letter);
  EXPECT_TRUE(matcher.is_finished());
  EXPECT_EQ(allowed_ids(matcher), (std::vector<std::int64_t>{std::min(end, other), std::max(end, other)}));
  matcher.rollback(2);
  EXPECT_TRUE(matcher.allows(end));

  ConstraintMatcher last(Constraint::from_gbnf(one, "root ::= \"a\" <|im_end|>"), ends);
  last.accept(letter);
  last.accept(end);
  EXPECT_TRUE(last.is_finished());

  // A negated name means other tokens of the text, not its end.
  ConstraintMatcher negated(Constraint::from_gbnf(one, "root ::= \"a\" !<|im_start|>"), ends);
  negated.accept(letter);
  EXPECT_FALSE(negated.allows(end));
}

// Where an end has a text, the text alone does not make it a step: the caller says that it ends.
TEST(ConstraintMatcher, EndsWithTextsStayEnds) {
  const Tokenizer one = tokenizer("smollm");
  const auto ids = one.encode("ab", {.add_special_tokens = false});
  ConstraintMatcher matcher(Constraint::from_regex(one, "(ab)+"), ids);
  EXPECT_TRUE(std::none_of(ids.begin(), ids.end(), [&](std::int64_t id) { return matcher.allows(id); }));
}

TEST(ConstraintMatcher, ForbidsLogitsBeyondTheVocabulary) {
  const Tokenizer one = tokenizer("smollm");
  ConstraintMatcher matcher(Constraint::from_regex(one, "a+"));
  std::vector<float> logits(one.vocab_size() + 70, 1.0f);
  matcher.mask(logits);
  const auto letter = static_cast<std::size_t>(one.encode("a", {.add_special_tokens = false})[0]);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    EXPECT_EQ(std::isfinite(logits[i]), matcher.allows(static_cast<std::int64_t>(i))) << i;
  }
  EXPECT_EQ(logits[letter], 1.0f);
}

TEST(ConstraintMatcher, SaysWhereNoTokenGoesOn) {
  const Tokenizer one = tokenizer("characters_unknown");  // has no such character
  ConstraintMatcher matcher(Constraint::from_regex(one, "\u4e16+"));
  std::vector<float> logits(one.vocab_size(), 0.0f);
  expect_error(ErrorKind::unsupported, "no token", [&] { matcher.mask(logits); });
}

// Nested ever deeper, a text meets ever new states; what was forgotten is found again.
TEST(StateSpace, ForgetsStatesThatTakeTooMuchRoom) {
  const constraints::Automaton automaton(constraints::parse_gbnf("root ::= \"[\" root \"]\" | \"x\"", nullptr));
  constraints::StateSpace states(automaton, 10'000);
  const auto epoch = states.epoch();
  auto state = states.start();
  for (int depth = 0; depth < 1000; ++depth) state = states.step(state, '[');
  EXPECT_GT(states.size(), 1000u);
  EXPECT_EQ(states.epoch(), epoch);
  states.clear_if_full();
  EXPECT_NE(states.epoch(), epoch);
  EXPECT_LT(states.size(), 10u);
  EXPECT_TRUE(states.accepts(states.step_text(states.start(), "[[x]]")));
}

}  // namespace
}  // namespace powerhouse
