// Where two tokenizations of one text have a cut in common.
#include "training/span_alignment.h"

#include <gtest/gtest.h>

#include "text/token_ends.h"

namespace powerhouse::testing {
namespace {

TrainedText text(std::string bytes, std::vector<std::int64_t> ends, std::int64_t first_target = 0) {
  TrainedText out{.text = std::move(bytes), .ends = std::move(ends)};
  for (std::size_t i = 0; i < out.ends.size(); ++i) out.targets.push_back(first_target + static_cast<std::int64_t>(i));
  return out;
}

using Targets = std::vector<std::int64_t>;

TEST(SpanAlignment, EndsASpanWhereBothCut) {
  const Alignment found = align(text("abcdef", {1, 3, 4, 6}), text("abcdef", {2, 3, 5, 6}));
  ASSERT_TRUE(found.same_text);
  ASSERT_EQ(found.spans.size(), 2u);
  EXPECT_EQ(found.spans[0].student, (Targets{0, 1}));
  EXPECT_EQ(found.spans[0].teacher, (Targets{0, 1}));
  EXPECT_EQ(found.spans[1].student, (Targets{2, 3}));
  EXPECT_EQ(found.spans[1].teacher, (Targets{2, 3}));
}

TEST(SpanAlignment, NoCutInsideWhatIsHeldBack) {
  const Alignment found = align(text("aéb", {1, -1, 3, 4}), text("aéb", {3, 4}));
  ASSERT_EQ(found.spans.size(), 2u);
  EXPECT_EQ(found.spans[0].student, (Targets{0, 1, 2}));
  EXPECT_EQ(found.spans[1].teacher, (Targets{1}));
}

TEST(SpanAlignment, LeavesOutWhatNothingPredicts) {
  const Alignment found = align(text("abc", {1, 2, 3}, -1), text("abc", {1, 2, 3}));
  ASSERT_EQ(found.spans.size(), 2u);
  EXPECT_EQ(found.spans[0].student, (Targets{0}));
  EXPECT_EQ(found.spans[0].teacher, (Targets{1}));
}

TEST(SpanAlignment, BlanksAtTheEndsAreNoDifference) {
  const Alignment found = align(text(" ab c", {2, 3, 5}), text("ab c\n", {1, 2, 4, 5}));
  ASSERT_TRUE(found.same_text);
  ASSERT_GE(found.spans.size(), 3u);
  EXPECT_EQ(found.spans[0].student, (Targets{0}));  // " a" and "a"
  EXPECT_EQ(found.spans[2].teacher, (Targets{2}));
  EXPECT_FALSE(align(text("ab", {2}), text("a b", {3})).same_text);
  EXPECT_TRUE(align(text("", {}), text("", {})).spans.empty());
}

TEST(TokenEnds, CountBytes) {
  for (const char* name : {"gpt2", "llama3", "characters_fallback"}) {
    const Tokenizer tokenizer = Tokenizer::from_pretrained(std::string(POWERHOUSE_FIXTURES "/text/") + name);
    const std::string written = "a b\xC3\xA9 \xF0\x9F\x91\x8B c";
    const std::vector<std::int64_t> ids = tokenizer.encode(written, {.add_special_tokens = false});
    const TokenEnds found = token_ends(tokenizer, ids);
    EXPECT_EQ(found.text, tokenizer.decode(ids)) << name;
    ASSERT_EQ(found.ends.size(), ids.size());
    std::int64_t last = 0;
    for (const std::int64_t end : found.ends) {
      if (end < 0) continue;
      EXPECT_GE(end, last) << name;
      last = end;
    }
    EXPECT_EQ(last, static_cast<std::int64_t>(found.text.size())) << name;
    // What stands before a cut is what the tokens before it say.
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (found.ends[i] < 0) continue;
      EXPECT_EQ(token_ends(tokenizer, std::span(ids).first(i + 1)).text,
                found.text.substr(0, static_cast<std::size_t>(found.ends[i])))
          << name << " " << i;
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
