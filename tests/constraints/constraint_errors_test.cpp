// What is malformed, can't be met or explodes is an Error that names the place.
#include <gtest/gtest.h>

#include "constraint_cases.h"
#include "expect_error.h"

namespace powerhouse {
namespace {

using testing::expect_error;

void compile(const constraints::Grammar& grammar) { (void)constraints::Automaton(grammar); }
void schema(std::string_view text) { compile(constraints::json_schema_grammar(text, {})); }
void gbnf(std::string_view text) { compile(constraints::parse_gbnf(text, nullptr)); }
void regex(std::string_view text) { compile(constraints::regex_grammar(text)); }

auto failing(void (*make)(std::string_view text)) {
  return [make](ErrorKind kind, std::string_view text, std::string_view mentions) {
    SCOPED_TRACE(text);
    expect_error(kind, mentions, [&] { make(text); });
  };
}

TEST(ConstraintErrors, GbnfNamesLineAndColumn) {
  const auto malformed = [](std::string_view text, std::string_view mentions) {
    failing(gbnf)(ErrorKind::format, text, mentions);
  };
  malformed("", "root");
  malformed("other ::= \"a\"", "root");
  malformed("root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1");
  malformed("root ::= \"a", "line 1, column 10");
  malformed("root ::= a b\na ::= \"x\"", "line 1, column 12");
  malformed("root = \"a\"", "line 1, column 6");
  malformed("root ::= (\"a\"", "line 1, column 10");
  malformed("root ::= \"a\")", "line 1, column 13");
  malformed("root ::= [a", "line 1, column 10");
  malformed("root ::= [z-a]", "line 1, column 11");
  malformed("root ::= []", "line 1, column 10");
  malformed("root ::= \"\u00e9\u00e9\" \"\\q\"", "line 1, column 16");
  malformed("root ::= \"\\x4\"", "column 11");
  malformed("root ::= \"\\U00110000\"", "column 11");
  malformed("root ::= * \"a\"", "column 10");
  malformed("root ::= \"a\"{2,1}", "column 13");
  malformed("root ::= \"a\"{,2}", "column 14");
  malformed("root ::= <think>", "column 10");
  malformed("root ::= \"a\" \"\xff\"", "line 1");
}

TEST(ConstraintErrors, GbnfNamesTheRule) {
  expect_error(ErrorKind::format, "rule list", [] { gbnf("root ::= \"(\" list\nlist ::= list \"a\" | \"a\""); });
  expect_error(ErrorKind::format, "left recursive", [] { gbnf("root ::= a\na ::= [x]* b\nb ::= a \"y\" | \"z\""); });
  expect_error(ErrorKind::format, "rule root", [] { gbnf("root ::= \"a\" root"); });
  // What comes to nothing by itself is not recursion.
  gbnf("root ::= (\"a\"* | \"b\"?)* \"c\"");
}

TEST(ConstraintErrors, RepetitionsAreBounded) {
  expect_error(ErrorKind::range, "line 1, column 13", [] { gbnf("root ::= \"a\"{1000000}"); });
  expect_error(ErrorKind::range, "line 1, column 13", [] { gbnf("root ::= \"a\"{9999999999999999999999,}"); });
  gbnf("root ::= ((\"ab\"{1000}){1000}){1000}");  // a rule that calls rules: no explosion
  expect_error(ErrorKind::range, "character 2", [] { regex("a{1000000}"); });
  expect_error(ErrorKind::range, "explodes", [] { regex("((a{1000}){1000}){1000}"); });
}

TEST(ConstraintErrors, RegexNamesTheCharacter) {
  const auto fails = failing(regex);
  fails(ErrorKind::format, "a(b", "character 2");
  fails(ErrorKind::format, "a)b", "character 2");
  fails(ErrorKind::format, "ab[c", "character 3");
  fails(ErrorKind::format, "*a", "character 1");
  fails(ErrorKind::format, "a**", "character 3");
  fails(ErrorKind::format, "a{3,2}", "character 2");
  fails(ErrorKind::format, "[b-a]", "character 2");
  fails(ErrorKind::format, "a\\", "character 3");
  fails(ErrorKind::format, "\\q", "character 1");
  fails(ErrorKind::format, "\\x1", "character 1");
  fails(ErrorKind::unsupported, "(a)\\1", "reference back");
  fails(ErrorKind::unsupported, "a(?=b)", "lookaround");
  fails(ErrorKind::unsupported, "a(?<!b)", "lookaround");
  fails(ErrorKind::unsupported, "\\bword", "word boundary");
  fails(ErrorKind::unsupported, "a++", "possessive");
  fails(ErrorKind::unsupported, "(?i)a", "(?i");
  fails(ErrorKind::unsupported, "\\p{Greek}", "Greek");
}

TEST(ConstraintErrors, SchemasNameTheirPath) {
  const auto fails = failing(schema);
  fails(ErrorKind::format, "{", "JSON");
  fails(ErrorKind::format, "[]", "#");
  fails(ErrorKind::format, R"({"type":"text"})", "#/type");
  fails(ErrorKind::format, R"({"properties":{"a/b":{"type":3}}})", "#/properties/a~1b/type");
  fails(ErrorKind::format, R"({"properties":{"a":{"minLength":-1}}})", "#/properties/a/minLength");
  fails(ErrorKind::format, R"({"items":{"pattern":"(a"}})", "#/items/pattern");
  fails(ErrorKind::format, R"({"required":"a"})", "#/required");
  fails(ErrorKind::format, R"({"enum":1})", "#/enum");
  fails(ErrorKind::format, R"({"anyOf":[]})", "#/anyOf");
  fails(ErrorKind::format, R"({"minimum":"1"})", "#/minimum");
  fails(ErrorKind::not_found, R"({"properties":{"a":{"$ref":"#/$defs/none"}}})", "#/properties/a/$ref");
  fails(ErrorKind::unsupported, R"({"properties":{"a":{"$ref":"https://example.com/s"}}})", "#/properties/a/$ref");
  fails(ErrorKind::format, R"({"$ref":"#"})", "without end");
  fails(ErrorKind::unsupported, R"({"items":{"pattern":"(a)\\1"}})", "#/items/pattern");
  fails(ErrorKind::unsupported, R"({"items":{"type":"string","not":{"const":"a"}}})", "#/items/not");
  fails(ErrorKind::unsupported, R"({"type":"number","multipleOf":0.1})", "#/multipleOf");
  fails(ErrorKind::unsupported, R"({"type":"array","contains":{"type":"null"}})", "#/contains");
  fails(ErrorKind::unsupported, R"({"type":"array","uniqueItems":true})", "#/uniqueItems");
  fails(ErrorKind::unsupported, R"({"type":"string","format":"regex"})", "#/format");
  fails(ErrorKind::unsupported, R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "#/oneOf");
  // Python's \\d takes more digits than ECMAScript's: what only one of them tells apart is not told apart.
  fails(ErrorKind::unsupported, R"({"type":"string","oneOf":[{"pattern":"^\\d$"},{"pattern":"^[^0-9]$"}]})", "#/oneOf");
  fails(ErrorKind::unsupported, R"({"oneOf":[{"type":"string","pattern":"^\\d$"},{"const":"\u0663"}]})", "#/oneOf");
  fails(ErrorKind::unsupported,
        R"({"type":"object","oneOf":[{"patternProperties":{"^\\d$":{"type":"string"}}},)"
        R"({"properties":{"\u0663":{"type":"integer"}},"required":["\u0663"]}]})",
        "#/oneOf");
  schema(R"({"type":"string","oneOf":[{"pattern":"^\\d$"},{"pattern":"^[a-z]$"}]})");
}

// A value may meet two branches of anyOf, and then both speak of its members: {"a":1,"b":1} meets either schema here.
TEST(ConstraintErrors, UnevaluatedMembersOfAnyOfTellNothingApart) {
  failing(schema)(ErrorKind::unsupported,
                  R"({"type":"object","oneOf":[{"anyOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}],)"
                  R"("unevaluatedProperties":false},{"properties":{"a":{},"b":{}},"required":["a","b"]}]})",
                  "#/oneOf");
  schema(R"({"type":"object","oneOf":[{"properties":{"a":{}},"unevaluatedProperties":false},)"
         R"({"properties":{"b":{}},"required":["b"]}]})");
}

// What Python's re and ECMAScript read in two ways, and what of them is right by one alone.
TEST(ConstraintErrors, PatternsOfSchemasMeanOneThing) {
  const auto refused = [](const std::string& pattern) {
    const Json text(pattern);
    failing(schema)(ErrorKind::unsupported, R"({"type":"string","pattern":)" + text.dump() + "}", "#/pattern");
    regex(pattern);
  };
  for (const char* pattern : {"^a{,2}$", "^a{,}$", "\\Aa", "a\\Z", "a\\z", "\\a", "[\\a]", "\\U00000041"})
    refused(pattern);
  schema(R"({"type":"string","pattern":"^a{x}\\012\\0$"})");
}

TEST(ConstraintErrors, SchemasThatNothingMeets) {
  const auto fails = [](std::string_view text, std::string_view mentions) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::format, mentions, [&] { schema(text); });
  };
  fails("false", "#");
  fails(R"({"type":"object","properties":{"a":{"type":"string","enum":[1,2]}},"required":["a"]})", "#/properties/a");
  fails(R"({"type":"integer","minimum":3,"maximum":2})", "#");
  fails(R"({"type":"string","minLength":3,"pattern":"^ab?$"})", "#");
  fails(R"({"allOf":[{"type":"string"},{"type":"null"}]})", "#");
  fails(R"({"type":"object","properties":{"n":{"$ref":"#"}},"required":["n"]})", "#");
  fails(R"({"type":"object","additionalProperties":false,"required":["a"]})", "#/additionalProperties");
  fails(R"({"type":"array","items":false,"minItems":1})", "#/items");
  fails(R"({"type":"object","unevaluatedProperties":false,"required":["a"]})", "#/unevaluatedProperties");
  fails(R"({"$ref":"#/$defs/b","unevaluatedProperties":false,"$defs":{"b":{"type":"object","required":["id"]}}})", "#");
  fails(R"({"type":"object","properties":{"b":{}},"required":["b"],)"
        R"("allOf":[{"properties":{"a":{}},"unevaluatedProperties":false}]})",
        "#/allOf/0/unevaluatedProperties");
  fails(R"({"type":"array","prefixItems":[{}],"minItems":2,"unevaluatedItems":false})", "#/unevaluatedItems");
  fails(R"({"type":"object","propertyNames":{"type":"integer"},"required":["a"]})", "#");
}

TEST(ConstraintErrors, SchemasThatExplode) {
  std::string text = R"({"allOf":[)";
  for (int i = 0; i < 12; ++i) {
    text += std::string(i > 0 ? "," : "") + R"({"anyOf":[{"minimum":)" + std::to_string(i) + R"(},{"maximum":)" +
            std::to_string(100 - i) + "}]}";
  }
  expect_error(ErrorKind::range, "#/allOf", [&] { schema(text + "]}"); });
  expect_error(ErrorKind::range, "#", [] { schema(R"({"type":"array","minItems":100000000})"); });
  expect_error(ErrorKind::range, "#/pattern", [] { schema(R"({"type":"string","pattern":"(a{1000}){1000}"})"); });
}

}  // namespace
}  // namespace powerhouse
