// The tokenizer's parts by themselves: splitters against PCRE2, merging against its definition, normal forms, patterns.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "expect_error.h"
#include "support/utf8.h"
#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/normalizer.h"
#include "text/regex.h"
#include "text/regex_syntax.h"
#include "text/splitters.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using testing::expect_error;

std::string random_text(std::mt19937& draw, std::size_t length) {
  static const char32_t kCommon[] = {U' ', U' ',  U'\n', U'\r',  U'\t', U'\'', U's',   U'S',    U'l',
                                     U'L', U'v',  U'e',  U'T',   U'a',  U'1',  U'2',   U'!',    U'.',
                                     0xE9, 0x17F, 0xA0,  0x2028, 0x301, 0xBD,  0x4E00, 0x1F600, 0x85};
  std::string text;
  for (std::size_t i = 0; i < length; ++i) {
    char32_t code = kCommon[draw() % std::size(kCommon)];
    // Below U+1000 both engines' Unicode versions agree.
    if (draw() % 8 == 0) code = draw() % 0x370 + 1;
    append_utf8(text, code);
  }
  return text;
}

template <typename Split>
std::vector<std::string> pieces_of(Split split) {
  std::vector<std::string> pieces;
  split([&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

TEST(Splitters, GiveTheMatchesOfTheirPatterns) {
  const std::string tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::string head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  for (const std::string& pattern :
       {std::string(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"),
        head + R"(\p{N}{1,3})" + tail, head + R"(\p{N})" + tail, head + R"(\p{N}+)" + tail}) {
    const auto known = find_known_pattern(pattern);
    ASSERT_TRUE(known) << pattern;
    const Regex regex(pattern);
    std::mt19937 draw(5);
    for (int round = 0; round < 3000; ++round) {
      const std::string text = random_text(draw, draw() % 24);
      std::vector<std::string> expected;
      for (const MatchRange& match : regex.find_all(text))
        expected.push_back(text.substr(match.start, match.end - match.start));
      EXPECT_EQ(pieces_of([&](PieceSink sink) { known->split(text, sink); }), expected) << pattern << "\n" << text;
    }
  }
  EXPECT_FALSE(find_known_pattern(R"(\p{L}+)"));
}

TEST(Splitters, Digits) {
  const auto split = [](std::string_view text, bool individual) {
    return pieces_of([&](PieceSink sink) { split_digits(text, individual, sink); });
  };
  EXPECT_EQ(split("a12 ½b", true), (std::vector<std::string>{"a", "1", "2", " ", "½", "b"}));
  EXPECT_EQ(split("a12 ½b", false), (std::vector<std::string>{"a", "12", " ", "½", "b"}));
  EXPECT_TRUE(split("", true).empty());
}

// A vocabulary of random merges over a few letters, and merging by the definition: lowest rank first, leftmost first.
struct RandomBpe {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;

  explicit RandomBpe(unsigned seed) {
    std::mt19937 draw(seed);
    std::vector<std::string> tokens{"a", "b", "c", "d"};
    while (merges.size() < 60) {
      const std::string left = tokens[draw() % tokens.size()];
      const std::string right = tokens[draw() % tokens.size()];
      if (left.size() + right.size() > 24) continue;
      if (std::find(merges.begin(), merges.end(), std::pair(left, right)) != merges.end()) continue;
      merges.emplace_back(left, right);
      if (std::find(tokens.begin(), tokens.end(), left + right) == tokens.end()) tokens.push_back(left + right);
    }
    vocabulary.reserve(tokens.size(), 1000);
    for (std::size_t id = 0; id < tokens.size(); ++id) vocabulary.add(tokens[id], static_cast<std::int64_t>(id));
  }

  Bpe bpe() const {
    MergeLoader loader(vocabulary, merges.size(), MergeLoader::Repeated::last_wins);
    for (const auto& [left, right] : merges) loader.add(left, right);
    return Bpe(vocabulary, loader.take(), {});
  }

  std::vector<std::int64_t> by_definition(const std::string& text) const {
    std::vector<std::string> parts;
    for (const char c : text) parts.emplace_back(1, c);
    for (;;) {
      std::size_t best = merges.size();
      std::size_t where = 0;
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto rank = static_cast<std::size_t>(
            std::find(merges.begin(), merges.end(), std::pair(parts[i], parts[i + 1])) - merges.begin());
        if (rank < best) {
          best = rank;
          where = i;
        }
      }
      if (best == merges.size()) break;
      parts[where] += parts[where + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
    }
    std::vector<std::int64_t> ids;
    for (const std::string& part : parts) ids.push_back(*vocabulary.find(part));
    return ids;
  }
};

TEST(Bpe, MergesAsDefinedInShortAndLongPieces) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    const RandomBpe random(seed);
    const Bpe bpe = random.bpe();
    std::mt19937 draw(seed);
    for (const std::size_t length : {1u, 2u, 3u, 7u, 30u, 63u, 64u, 65u, 66u, 130u, 300u}) {
      std::string text;
      // Runs of one letter make many equal ranks.
      while (text.size() < length) text.append(1 + draw() % 6, static_cast<char>('a' + draw() % 4));
      text.resize(length);
      std::vector<std::int64_t> ids;
      bpe.encode_bytes(text, ids);
      EXPECT_EQ(ids, random.by_definition(text)) << text;
      ids.clear();
      bpe.encode_characters(text, ids);
      EXPECT_EQ(ids, random.by_definition(text)) << text;
    }
  }
}

// Quadratic merging would take hours here.
TEST(Bpe, OneWordOfTenMegabytes) {
  const RandomBpe random(3);
  const Bpe bpe = random.bpe();
  std::string text(10'000'000, 'a');
  for (std::size_t i = 0; i < text.size(); i += 7) text[i] = static_cast<char>('a' + i % 4);
  std::vector<std::int64_t> ids;
  bpe.encode_bytes(text, ids);
  std::string again;
  for (const std::int64_t id : ids) again += random.vocabulary.text(id);
  EXPECT_EQ(again, text);
}

TEST(ByteLevel, SpellsEveryByteAndBack) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  std::string spelled;
  append_byte_level(spelled, bytes);
  EXPECT_FALSE(find_invalid_utf8(spelled));
  std::string back;
  append_from_byte_level(back, spelled);
  EXPECT_EQ(back, bytes);
  back.clear();
  append_from_byte_level(back, "Ġa b");  // the blank is outside the alphabet: the token stands as it is
  EXPECT_EQ(back, "Ġa b");
}

TEST(Normalizer, OrdersAMillionMarksInTime) {
  std::string text = "a";
  for (int i = 0; i < 500000; ++i) text += "\u0301\u0323";  // classes 230 and 220, by turns
  Normalizer normalizer;
  normalizer.append(NormalizationForm::nfd);
  std::string storage;
  const std::string_view normal = normalizer.apply(text, storage);
  EXPECT_EQ(normal.size(), text.size());
  EXPECT_EQ(normal.substr(0, 5), "a\u0323\u0323");
  EXPECT_TRUE(normal.ends_with("\u0301\u0301"));
}

TEST(Unicode, Classes) {
  EXPECT_EQ(unicode::classify(U'a'), unicode::Class::letter);
  EXPECT_EQ(unicode::classify(U'½'), unicode::Class::number);
  EXPECT_EQ(unicode::classify(0x85), unicode::Class::space);
  EXPECT_EQ(unicode::classify(0x180E), unicode::Class::other);  // no white space since Unicode 6.3
  EXPECT_EQ(unicode::classify(0x301), unicode::Class::other);
  EXPECT_EQ(unicode::category(0x10FFFF), unicode::kCn);
  EXPECT_EQ(unicode::category(0x105C0), unicode::kLo);  // Unicode 16
  EXPECT_TRUE(unicode::is_word(0x24B6));
  EXPECT_TRUE(unicode::is_word(U'_'));
  EXPECT_FALSE(unicode::is_word(U'-'));
}

TEST(Regex, MeansWhatOnigurumaMeans) {
  const auto matches = [](const char* pattern, std::string_view text) { return Regex(pattern).find_all(text).size(); };
  EXPECT_EQ(matches(R"(\s)", "a\u180Eb\u0085"), 1u);   // PCRE2's own \s holds U+180E
  EXPECT_EQ(matches(R"(\w)", "a\u0301_1\u2160"), 5u);  // marks and letter numbers belong to words
  EXPECT_EQ(matches(R"(\h)", "f g"), 1u);              // a hexadecimal digit, no blank
  EXPECT_EQ(matches(R"(^a$)", "a\nb\na"), 2u);
  EXPECT_EQ(matches(R"(\b)", "ab cd"), 4u);
  EXPECT_EQ(matches(R"(x*)", "axa"), 3u);  // before a, x, at the end; none right after x
  for (const char* pattern :
       {R"([a&&b])", R"([a[bc]])", R"([[:alpha:]])", R"(\R)", R"((?m:a))", R"((?<n>a))", R"(a{2}+)", R"([^\W])"}) {
    expect_error(ErrorKind::unsupported, "pattern", [&] { Regex{pattern}; });
  }
}

TEST(Regex, RefusesWhatDoesNotCompileOrEnd) {
  for (const char* pattern : {"(", "[a", "a{2147483648}", "(?:a{60000}){60000}", "*", "\\"}) {
    SCOPED_TRACE(pattern);
    try {
      const Regex regex(pattern);
      ADD_FAILURE() << "compiled";
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::format || error.kind() == ErrorKind::unsupported) << error.what();
    }
  }
  expect_error(ErrorKind::range, "too long", [] { Regex("(?:a|aa)+[bc]").find_all(std::string(4000, 'a')); });
  // Nothing matches, and each start reads to the end: one call over all starts takes half a minute.
  const RegexTime time(1 << 16);
  expect_error(ErrorKind::range, "too long", [] { Regex("(?=[a-z]+[0-9])[a-z]+").find_all(std::string(300000, 'a')); });
}

// Starts are tried some hundreds a call.
TEST(Regex, FindsMatchesFarBehindEachOther) {
  std::string text;
  std::vector<std::size_t> starts;
  for (const std::size_t gap : {0, 1, 127, 128, 129, 255, 256, 257, 600, 5000}) {
    for (std::size_t i = 0; i < gap; ++i) text += "\u00e9";
    starts.push_back(text.size());
    text += "xy";
  }
  const auto found = Regex("(?<=\\A|\u00e9)xy|xy(?=\u00e9|\\z)").find_all(text);
  ASSERT_EQ(found.size(), starts.size());
  for (std::size_t i = 0; i < starts.size(); ++i) {
    EXPECT_EQ(found[i].start, starts[i]);
    EXPECT_EQ(found[i].end, starts[i] + 2);
  }
  EXPECT_EQ(Regex("x*").find_all(std::string(1000, 'a')).size(), 1001u);
}

}  // namespace
}  // namespace powerhouse
