// The fast way through a text against the slow one: WordScanner's words are the pieces of the plain splitters (which
// the fixtures hold to `tokenizers`), and an encoder that has seen millions of words gives the ids of one that has seen
// none.
#include "text/word_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "text/pre_tokenizer_steps.h"

namespace powerhouse {
namespace {

using Digits = WordRule::Digits;

// What the patterns look at, in all widths of UTF-8.
const std::vector<std::string> kCharacters = {"a",
                                              "Z",
                                              "s",
                                              "S",
                                              "t",
                                              "re",
                                              "LL",
                                              "ve",
                                              "'",
                                              "'s",
                                              "'LL",
                                              " ",
                                              " ",
                                              "  ",
                                              "\n",
                                              "\n",
                                              "\r",
                                              "\t",
                                              "\v",
                                              "1",
                                              "23",
                                              ".",
                                              "=",
                                              "-",
                                              "\"",
                                              "_",
                                              "\xC2\xA0",
                                              "\xE3\x80\x80",
                                              "\xE2\x80\x83",
                                              "\xC2\x85",
                                              "\xC3\xA9",
                                              "\xD0\xB6",
                                              "\xE4\xB8\xAD",
                                              "\xE2\x80\x99",
                                              "\xE2\x80\x94",
                                              "\xC2\xBD",
                                              "\xD9\xA3",
                                              "\xF0\x9F\x98\x80",
                                              "\xF0\x9D\x9F\x99",
                                              "\xC5\xBF",
                                              "\xCC\x81",
                                              "x"};

std::vector<std::string> slow(const WordRule& rule, const std::string& text) {
  std::vector<std::string> out;
  const auto cut = [&](std::string_view piece) {
    rule.pattern.split(piece, [&](std::string_view word) { out.emplace_back(word); });
  };
  rule.digits == Digits::in_pattern ? cut(text) : split_digits(text, rule.digits == Digits::one_by_one, cut);
  return out;
}

std::vector<std::string> fast(const WordRule& rule, const std::string& text, const MaskKernel& kernel) {
  std::vector<std::string> out;
  WordScanner words(rule, text, kernel);
  std::size_t begin = 0;
  for (auto ends = words.next(); !ends.empty(); ends = words.next()) {
    for (const std::size_t end : ends) {
      out.push_back(text.substr(begin, end - begin));
      begin = end;
    }
  }
  EXPECT_EQ(begin, text.size());
  return out;
}

std::vector<WordRule> rules() {
  using Kind = KnownPattern::Kind;
  std::vector<WordRule> out;
  for (const Digits digits : {Digits::in_pattern, Digits::one_by_one, Digits::in_runs}) {
    out.push_back({{}, digits});
    for (const std::size_t numbers : {1, 3, 1 << 30}) out.push_back({{Kind::cl100k, numbers, numbers == 1}, digits});
  }
  return out;
}

TEST(WordScanner, FindsThePiecesOfThePlainSplitters) {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    // Few kinds at a time give long runs; many give all neighbours.
    const std::size_t kinds = 1 + random() % (round % 3 == 0 ? 3 : kCharacters.size());
    std::vector<std::string> chosen;
    for (std::size_t i = 0; i < kinds; ++i) chosen.push_back(kCharacters[random() % kCharacters.size()]);
    std::string text;
    const std::size_t length = random() % (round % 100 == 0 ? 5000 : 200);
    for (std::size_t i = 0; i < length; ++i) text += chosen[random() % kinds];
    for (const WordRule& rule : rules()) {
      const std::vector<std::string> expected = slow(rule, text);
      for (const MaskKernel& kernel : mask_kernels())
        ASSERT_EQ(fast(rule, text, kernel), expected)
            << kernel.name << ", pattern " << static_cast<int>(rule.pattern.kind) << ", " << rule.pattern.max_numbers
            << ", digits " << static_cast<int>(rule.digits) << ", text " << ::testing::PrintToString(text);
    }
  }
}

// Line breaks after spaces join all white space before them: found again and again in one run.
TEST(WordScanner, TakesLinearTimeOnWhiteSpace) {
  for (const std::string unit : {" \n", "\n", "\n ", " ", "\xC2\xA0\n", "'", "1"}) {
    std::string text = ".";
    for (std::size_t i = 0; i < (std::size_t{1} << 23) / unit.size(); ++i) text += unit;
    for (const WordRule& rule : rules()) {
      WordScanner words(rule, text);
      std::size_t end = 0;
      for (auto ends = words.next(); !ends.empty(); ends = words.next()) end = ends.back();
      EXPECT_EQ(end, text.size());
    }
  }
}

}  // namespace
}  // namespace powerhouse
