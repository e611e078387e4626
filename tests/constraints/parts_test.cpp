// Sets of characters and their bytes, numbers between bounds, machines: against counting through all of them.
#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "constraint_cases.h"
#include "constraints/code_points.h"
#include "constraints/number_machine.h"
#include "constraints/regex_parser.h"
#include "constraints/text_machine.h"
#include "expect_error.h"
#include "support/utf8.h"

namespace powerhouse {
namespace {

using constraints::CodePoints;
using constraints::Decimal;
using testing::takes;

bool spelled_by(const std::vector<constraints::ByteSequence>& sequences, std::string_view bytes) {
  int count = 0;
  for (const auto& sequence : sequences) {
    bool fits = sequence.length == bytes.size();
    for (std::size_t i = 0; fits && i < bytes.size(); ++i) {
      const auto byte = static_cast<unsigned char>(bytes[i]);
      fits = sequence.bytes[i].low <= byte && byte <= sequence.bytes[i].high;
    }
    count += fits ? 1 : 0;
  }
  EXPECT_LE(count, 1);
  return count == 1;
}

TEST(CodePoints, AreSpelledByTheirSequencesAlone) {
  const CodePoints sets[] = {CodePoints::all(),
                             {{'a', 'z'}, {0x7E, 0x811}},
                             {{0x41, 0x10FFFE}},
                             {{0xD700, 0xE001}},
                             CodePoints({{0x800, 0xFFFF}, {0x10000, 0x10000}}).complement()};
  for (const CodePoints& set : sets) {
    const auto sequences = utf8_sequences(set);
    for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 61) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      std::string bytes;
      append_utf8(bytes, c);
      ASSERT_EQ(spelled_by(sequences, bytes), set.contains(c)) << static_cast<std::uint32_t>(c);
    }
    EXPECT_EQ(set.complement().complement(), set);
    EXPECT_TRUE(set.intersected(set.complement()).empty());
    EXPECT_EQ(set.united(set.complement()), CodePoints::all());
  }
  EXPECT_FALSE(spelled_by(utf8_sequences(CodePoints::all()), "\xED\xA0\x80"));  // a surrogate
}

constraints::Automaton numbers(const constraints::NumberBounds& bounds) {
  constraints::Grammar grammar;
  grammar.root = grammar.add_rule("number");
  grammar.define(grammar.root, number_between(grammar, bounds));
  return constraints::Automaton(grammar);
}

constraints::Bound bound(const char* number, bool exclusive) {
  return {Decimal::of(Json::parse(number, "bound")), exclusive};
}

TEST(NumberMachine, TakesWhatLiesBetween) {
  const char* const ends[] = {"-120", "-99.5", "-1", "-0.25", "0", "0.05", "0.5", "7", "10", "99", "100.01", "1234"};
  for (const char* low : ends) {
    for (const char* high : ends) {
      for (const bool open : {false, true}) {
        const auto from = bound(low, open), to = bound(high, open);
        const auto order = compare(from.value, to.value);
        if (order > 0 || (order == 0 && open)) continue;
        SCOPED_TRACE(std::string(low) + " to " + high + (open ? ", open" : ""));
        const constraints::Automaton automaton = numbers({.low = from, .high = to});
        for (int hundredths = -13000; hundredths <= 13000; hundredths += hundredths % 100 == 0 ? 5 : 19) {
          char text[16];
          std::snprintf(text, sizeof(text), "%s%d.%02d", hundredths < 0 ? "-" : "", std::abs(hundredths) / 100,
                        std::abs(hundredths) % 100);
          const Decimal value = Decimal::of(Json::parse(text, "value"));
          const auto above = compare(value, from.value), below = compare(value, to.value);
          const bool inside = (above > 0 || (above == 0 && !open)) && (below < 0 || (below == 0 && !open));
          ASSERT_EQ(takes(automaton, text), inside) << text;
        }
      }
    }
  }
}

TEST(NumberMachine, WholeNumbersAndMultiples) {
  for (const std::int64_t multiple : {1, 3, 7, 10}) {
    const constraints::Automaton automaton =
        numbers({.low = bound("-52.5", false), .high = bound("1003", true), .whole = true, .multiple_of = multiple});
    for (int n = -200; n < 1200; ++n) {
      EXPECT_EQ(takes(automaton, std::to_string(n)), n > -53 && n < 1003 && n % multiple == 0) << n;
    }
    EXPECT_FALSE(takes(automaton, "-0"));
    EXPECT_FALSE(takes(automaton, "007"));
    EXPECT_FALSE(takes(automaton, "5.0"));
    EXPECT_FALSE(takes(automaton, ""));
  }
  EXPECT_TRUE(takes(numbers({.low = bound("99999999999999999999", false), .whole = true}), "100000000000000000000"));
}

TEST(TextMachine, ComplementsAndIntersections) {
  const auto a = constraints::regex_machine("^a.*b$", constraints::RegexDialect::within, false);
  const auto not_a = complement(a);
  const auto short_a = both(a, constraints::lengths_machine(3, 4));
  const std::vector<std::string> texts{"ab", "axb", "", "a\u00e9\u00e9b", "aaaab", "ba", "b\u4e16"};
  for (const std::string& text : texts) {
    const bool matches = text.size() > 1 && text.front() == 'a' && text.back() == 'b';
    EXPECT_EQ(a.matches(text), matches) << text;
    EXPECT_EQ(not_a.matches(text), !matches) << text;
  }
  EXPECT_FALSE(short_a.matches("ab"));
  EXPECT_TRUE(short_a.matches("a\u00e9\u00e9b"));  // characters, not bytes
  EXPECT_FALSE(short_a.matches("aaaab"));
  EXPECT_FALSE(both(a, not_a).possible());
  const auto words = constraints::texts_machine(texts);
  EXPECT_TRUE(words.matches("b\u4e16") && words.matches("") && !words.matches("b"));
}

// Python's \w has hundreds of ranges, and a short pattern half a million steps by it.
TEST(TextMachine, StepsShareTheirSets) {
  const auto bytes = [](const constraints::TextMachine& machine) {
    std::map<const void*, std::size_t> sets;
    for (const auto& state : machine.states) {
      for (const auto& step : state.steps) sets[step.set.ranges().data()] = step.set.ranges().size() * 8;
    }
    return std::accumulate(sets.begin(), sets.end(), std::size_t{0},
                           [](auto sum, auto one) { return sum + one.second; });
  };
  const auto words = constraints::regex_machine("(\\w?){200}", constraints::RegexDialect::python, true);
  const auto letters = constraints::regex_machine("(\\p{L}|\\d)*", constraints::RegexDialect::python, true);
  const auto shared = both(words, letters);
  EXPECT_GT(words.states.size(), 200u);
  EXPECT_LT(bytes(words), 20'000u);
  EXPECT_LT(bytes(shared), 40'000u);
  EXPECT_LT(bytes(complement(constraints::regex_machine("\\w{0,200}", constraints::RegexDialect::python, true))),
            40'000u);
  EXPECT_TRUE(shared.matches("a\u00e9\u0663"));
  EXPECT_FALSE(shared.matches("a_"));
}

TEST(ConstraintErrors, StepsOfPatternsAreBounded) {
  const auto grammar = [](const char* schema) { constraints::json_schema_grammar(schema, {}); };
  testing::expect_error(ErrorKind::range, "explodes", [&] {
    grammar(R"({"type":"object","patternProperties":{"^(\\w?){1100}$":{}},"additionalProperties":{"type":"null"}})");
  });
}

}  // namespace
}  // namespace powerhouse
