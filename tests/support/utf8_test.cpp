// Expected values: Unicode 15, section 3.9, tables 3-7 to 3-10, and Python's bytes.decode("utf-8", "replace").
#include "support/utf8.h"

#include <gtest/gtest.h>

namespace powerhouse {
namespace {

TEST(Utf8, RoundTripsEveryScalarValue) {
  for (char32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code_point);
    const Utf8Step step = decode_utf8(text);
    ASSERT_TRUE(step.valid);
    ASSERT_EQ(step.code_point, code_point);
    ASSERT_EQ(step.length, text.size());
  }
}

TEST(Utf8, ReplacesEachMaximalInvalidPrefixOnce) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(replace_invalid_utf8("a\xC0\xAF"
                                 "b"),
            "a" + r + r + "b");
  EXPECT_EQ(replace_invalid_utf8("\xE0\x9F\x80"), r + r + r);
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x98"), r);
  EXPECT_EQ(replace_invalid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(replace_invalid_utf8("h\xC3\xA9"), "h\xC3\xA9");
}

TEST(Utf8, TellsAnUnfinishedSequenceFromAWrongOne) {
  EXPECT_TRUE(decode_utf8("\xF0\x9F\x98").incomplete);
  EXPECT_TRUE(decode_utf8("\xC3").incomplete);
  EXPECT_FALSE(decode_utf8("\xC3\x41").incomplete);
  EXPECT_FALSE(decode_utf8("\xE0\x9F").incomplete);
  EXPECT_FALSE(decode_utf8("\xFF").incomplete);
}

TEST(Utf8, TakesFromATextWhatActsOnATerminal) {
  std::string out = "> ";
  append_printable(out, "gr\u00fc\u00df\n\x1b[31m\x7f\u009b2J\u00a0\t\xc2");
  EXPECT_EQ(out, "> gr\u00fc\u00df\\n?[31m??2J\u00a0?\xc2");
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8("abc"), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("ab\xFF"), 2u);
  EXPECT_EQ(find_invalid_utf8("\xC3\xA9\xE2\x82"), 2u);
}

}  // namespace
}  // namespace powerhouse
