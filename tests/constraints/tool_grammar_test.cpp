// Text held to calls of tools is read back by the same format, with arguments that follow the tools' schemas.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <optional>

#include "constraint_cases.h"
#include "expect_error.h"
#include "powerhouse/tool_calls.h"
#include "support/philox.h"
#include "text/token_texts.h"

namespace powerhouse {
namespace {

using testing::allowed_ids;
using testing::expect_error;

constexpr const char* kTools = R"([
  {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {
    "city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 9},
    "unit": {"type": "string", "enum": ["celsius", "kelvin"]}, "exact": {"type": "boolean"}},
    "required": ["city", "unit"], "additionalProperties": false}}},
  {"name": "now"}])";

struct Format {
  std::string name;
  ToolCallFormat format;
};

std::vector<Format> formats() {
  const Json all = Json::parse_file(POWERHOUSE_FIXTURES "/text/tool_calls.json");
  std::vector<Format> out;
  for (const Json& one : all.at("cases").as_array()) {
    if (one.at("messages").as_array().empty()) continue;
    out.push_back({one.at("name").as_string(), ToolCallFormat::from_template(ChatTemplate(
                                                   one.at("template").as_string(), all.at("special").dump()))});
  }
  return out;
}

// At random, but often what closes something, so that texts end.
std::string walk(const Constraint& constraint, std::uint64_t seed) {
  static const std::vector<std::string> texts = token_texts(constraint.tokenizer()).texts;
  const Random random(seed, RandomStream::sampling);
  ConstraintMatcher matcher(constraint, std::vector<std::int64_t>{});
  for (std::uint64_t step = 0; step < 4000 && !matcher.is_finished(); ++step) {
    auto ids = allowed_ids(matcher);
    if (ids.empty() || (matcher.is_complete() && random.uniform(3 * step) < 0.3)) break;
    std::vector<std::int64_t> closing;
    for (const std::int64_t id : ids) {
      if (texts[static_cast<std::size_t>(id)].find_first_of("\"]}<>/") != std::string::npos) closing.push_back(id);
    }
    if (!closing.empty() && random.uniform(3 * step + 1) < 0.7) ids = closing;
    matcher.accept(ids[static_cast<std::size_t>(random.uniform(3 * step + 2) * static_cast<double>(ids.size()))]);
  }
  return matcher.is_complete() ? constraint.tokenizer().decode(matcher.tokens(), {.skip_special_tokens = false})
                               : std::string();
}

TEST(ToolGrammar, RequiredCallsAreReadBack) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  for (const Format& one : formats()) {
    // Chance would never end a raw text.
    if (one.name != "object.jinja" && one.name != "named.jinja" && one.name != "array.jinja" &&
        one.name != "bare.jinja")
      continue;
    SCOPED_TRACE(one.name);
    const Constraint constraint = tool_constraint(tokenizer, one.format, kTools, {.required = true});
    int read = 0;
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      const std::string text = walk(constraint, seed);
      if (text.empty()) continue;
      const ParsedMessage found = one.format.parse(text, kTools);
      EXPECT_FALSE(found.calls.empty()) << text;
      EXPECT_EQ(found.content, "") << text;
      for (const ToolCall& call : found.calls) {
        const Json arguments = Json::parse(call.arguments, "arguments");
        if (call.name == "now") continue;
        EXPECT_EQ(call.name, "weather");
        EXPECT_TRUE(arguments.at("city").is_string()) << text;
        const std::string unit = arguments.at("unit").as_string();
        EXPECT_TRUE(unit == "celsius" || unit == "kelvin") << text;
        const std::int64_t days = arguments.integer_or("days", 1);
        EXPECT_TRUE(days >= 1 && days <= 9) << text;
        ++read;
      }
    }
    EXPECT_GT(read, 1);
  }
}

std::string complete(const Constraint& constraint, std::string_view text) {
  ConstraintMatcher matcher(constraint, std::vector<std::int64_t>{});
  for (const std::int64_t id : constraint.tokenizer().encode(text, {.add_special_tokens = false})) {
    if (!matcher.allows(id)) return "forbidden";
    matcher.accept(id);
  }
  return matcher.is_complete() ? "complete" : "open";
}

TEST(ToolGrammar, FreeTextMayCallOrNot) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  for (const Format& one : formats()) {
    if (one.name != "object.jinja") continue;
    const Constraint constraint = tool_constraint(tokenizer, one.format, kTools);
    const std::string call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    EXPECT_EQ(complete(constraint, "Only text, with < and {\"name\": 1}"), "complete");
    EXPECT_EQ(complete(constraint, "I look." + call), "complete");
    EXPECT_EQ(complete(constraint, "I look." + call + call), "complete");
    EXPECT_EQ(complete(constraint, "I look." + call + " and then"), "forbidden");
    EXPECT_EQ(complete(constraint, "I look.<tool_call>\n{\"name\": \"never\""), "forbidden");
    EXPECT_EQ(complete(tool_constraint(tokenizer, one.format, kTools, {.required = true}), "I look."), "forbidden");
    EXPECT_EQ(complete(tool_constraint(tokenizer, one.format, kTools, {.parallel = false}), call + call), "forbidden");
    const Constraint named = tool_constraint(tokenizer, one.format, kTools, {.required = true, .name = "weather"});
    EXPECT_EQ(complete(named, call), "forbidden");
    expect_error(ErrorKind::usage, "name",
                 [&] { tool_constraint(tokenizer, one.format, kTools, {.required = true, .name = "never"}); });
    expect_error(ErrorKind::usage, "tools", [&] { tool_constraint(tokenizer, one.format, "[]"); });
  }
}

TEST(ToolGrammar, ArgumentsBetweenMarksFollowTheirSchemas) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  for (const Format& one : formats()) {
    if (one.name != "tagged.jinja") continue;
    const Constraint constraint = tool_constraint(tokenizer, one.format, kTools, {.required = true});
    const std::string open = "<invoke name=\"weather\">", close = "</invoke>";
    const auto argument = [](const std::string& key, bool text, const std::string& value) {
      return "<parameter name=\"" + key + "\" text=\"" + (text ? "true" : "false") + "\">" + value + "</parameter>";
    };
    const std::string city = argument("city", true, "a \"<b>\"\n</param>"), unit = argument("unit", true, "kelvin");
    EXPECT_EQ(complete(constraint, open + city + unit + close), "complete");
    EXPECT_EQ(complete(constraint, open + city + argument("days", false, "7") + unit + close), "complete");
    EXPECT_EQ(complete(constraint, open + city + argument("days", false, "12") + unit + close), "forbidden");
    EXPECT_EQ(complete(constraint, open + city + argument("unit", true, "furlong") + close), "forbidden");
    EXPECT_EQ(complete(constraint, open + unit + close), "forbidden");
    EXPECT_EQ(complete(constraint, "<invoke name=\"now\"></invoke>"), "complete");
    const auto calls = one.format.parse(open + city + unit + close, kTools).calls;
    ASSERT_EQ(calls.size(), 1u);
    EXPECT_EQ(Json::parse(calls[0].arguments, "a").at("city").as_string(), "a \"<b>\"\n</param>");
  }
}

// What a template makes of calls is among what its format forces. Its message may begin with an end of the prompt, and
// end with an end of the turn. Returns how many are not.
int rendered_calls_forbidden(const std::string& path) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  const Json all = Json::parse_file(path);
  const std::string tools = all.at("tools").dump();
  int forbidden = 0;
  for (const Json& one : all.at("cases").as_array()) {
    std::optional<Constraint> constraint;
    try {
      const auto format =
          ToolCallFormat::from_template(ChatTemplate(one.at("template").as_string(), all.at("special").dump()));
      constraint = tool_constraint(tokenizer, format, tools, {.required = true});
    } catch (const Error& error) {
      std::cout << one.at("name").as_string() << ": " << error.what() << "\n";
      EXPECT_EQ(error.kind(), ErrorKind::unsupported);
      continue;
    }
    for (const Json& message : one.at("messages").as_array()) {
      const std::string& text = message.at("text").as_string();
      bool taken = false;
      for (std::size_t begin = 0; !taken && begin < std::min<std::size_t>(text.size(), 100); ++begin) {
        if ((static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) continue;  // within a character
        ConstraintMatcher matcher(*constraint, std::vector<std::int64_t>{});
        for (const std::int64_t id : tokenizer.encode(text.substr(begin), {.add_special_tokens = false})) {
          if (matcher.is_complete()) taken = true;
          if (taken || !matcher.allows(id)) break;
          matcher.accept(id);
        }
        taken = taken || matcher.is_complete();
      }
      if (taken) continue;
      ++forbidden;
      std::cout << one.at("name").as_string() << ": forbidden: " << text << "\n";
    }
  }
  return forbidden;
}

TEST(ToolGrammar, AllowsWhatTemplatesWrite) {
  EXPECT_EQ(rendered_calls_forbidden(POWERHOUSE_FIXTURES "/text/tool_calls.json"), 0);
}

TEST(ToolGrammar, AllowsWhatOthersTemplatesWrite) {
  const char* const path = std::getenv("POWERHOUSE_TEST_TOOL_CALLS");
  if (path == nullptr) GTEST_SKIP() << "POWERHOUSE_TEST_TOOL_CALLS names no cases (tests/oracles/tool_calls.py)";
  // Of the templates beside llama.cpp: one call of DeepSeek R1's lacks the end that two have, two templates write one
  // more line break where there are no arguments, and LFM2.5's writes a text with the mark that ends it.
  EXPECT_LE(rendered_calls_forbidden(path), 11);
}

std::string tool_of(const std::string& city, const std::string& more = {}) {
  return R"([{"name": "f", "parameters": {"type": "object", "properties": {"city": )" + city +
         R"(}, "required": ["city"])" + more + "}}]";
}

TEST(ToolGrammar, TextsBetweenMarksFollowTheirSchemasToo) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  for (const Format& one : formats()) {
    const bool lines = one.name == "lines.jinja";
    if (!lines && one.name != "tagged.jinja") continue;
    SCOPED_TRACE(one.name);
    const auto call = [&](const std::string& city) {
      return lines ? "\n<call>\n<function=f>\n<parameter=city>\n" + city + "</parameter>\n</function>\n</call>"
                   : "<invoke name=\"f\"><parameter name=\"city\" text=\"true\">" + city + "</parameter></invoke>";
    };
    const std::string end = lines ? "\n" : "";
    const auto result = [&](const std::string& schema, const std::string& city) {
      return complete(tool_constraint(tokenizer, one.format, tool_of(schema), {.required = true}), call(city));
    };
    EXPECT_EQ(result(R"({"type": "string", "maxLength": 4})", "Oslo" + end), "complete");
    EXPECT_EQ(result(R"({"type": "string", "maxLength": 4})", "Paris" + end), "forbidden");
    EXPECT_EQ(result(R"({"type": "string", "minLength": 5})", "Oslo" + end), "forbidden");
    EXPECT_EQ(result(R"({"type": "string", "pattern": "^[A-Z]"})", "oslo" + end), "forbidden");
    EXPECT_EQ(result(R"({"type": "string", "format": "date"})", "2026-11-27" + end), "complete");
    EXPECT_EQ(result(R"({"type": "string", "format": "date"})", "tomorrow" + end), "forbidden");
    EXPECT_EQ(result(R"({"type": "string", "const": "Oslo"})", "Paris" + end), "forbidden");
    EXPECT_EQ(result(R"({"enum": ["Oslo", "Paris"]})", "Paris" + end), "complete");
    // A reader takes the text to end at the first mark, with blanks before it or without: there is none in the text.
    const std::string plain = R"({"type": "string"})", mark = "</parameter>";
    EXPECT_EQ(result(plain, "a" + mark + "b" + end), "forbidden");
    const Constraint constraint = tool_constraint(tokenizer, one.format, tool_of(plain), {.required = true});
    for (const std::string city : {"Oslo", "Os\nlo", " Oslo ", "</param", ""}) {
      EXPECT_EQ(complete(constraint, call(city + end)), "complete");
      const auto calls = one.format.parse(call(city + end), tool_of(plain)).calls;
      ASSERT_EQ(calls.size(), 1u);
      EXPECT_EQ(Json::parse(calls[0].arguments, "a").at("city").as_string(), city);
    }
    EXPECT_EQ(result(plain, "Oslo"), "complete");
  }
}

std::string tools_with(const std::string& parameters) { return R"([{"name": "f", "parameters": )" + parameters + "}]"; }

TEST(ToolGrammar, ArgumentsOfSeveralTypesReadBackAsTheyWereMeant) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  for (const Format& one : formats()) {
    if (one.name != "lines.jinja") continue;
    const auto result = [&](const std::string& schema, const std::string& value) {
      return complete(tool_constraint(tokenizer, one.format, tool_of(schema), {.required = true}),
                      "\n<call>\n<function=f>\n<parameter=city>\n" + value + "\n</parameter>\n</function>\n</call>");
    };
    const std::string maybe = R"({"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]})";
    EXPECT_EQ(result(maybe, "Oslo"), "complete");
    EXPECT_EQ(result(maybe, "null"), "complete");
    EXPECT_EQ(result(maybe, "Oslo and Rome"), "forbidden");
    // A text is never what would be read as something else that there may be.
    const std::string either = R"({"type": ["string", "integer"], "minLength": 2, "maximum": 12})";
    EXPECT_EQ(result(either, "7"), "complete");
    EXPECT_EQ(result(either, "70"), "forbidden");
    EXPECT_EQ(result(either, "70 days"), "complete");
    EXPECT_EQ(result(R"({"enum": ["north", 7, null]})", "7"), "complete");
    EXPECT_EQ(result(R"({"enum": ["north", 7, null]})", "north"), "complete");
    EXPECT_EQ(result(R"({"enum": ["north", 7, null]})", "8"), "forbidden");
  }
}

TEST(ToolGrammar, ReferencesAreToTheParameters) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  const std::string tools = tools_with(
      R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 3},
          "boss": {"$ref": "#/properties/name"}, "more": {"type": "array", "items": {"$ref": "#"}}},
          "additionalProperties": false})");
  for (const Format& one : formats()) {
    const auto result = [&](const std::string& text) {
      return complete(tool_constraint(tokenizer, one.format, tools, {.required = true}), text);
    };
    if (one.name == "object.jinja") {
      const auto call = [](const std::string& arguments) {
        return "<tool_call>\n{\"name\": \"f\", \"arguments\": " + arguments + "}\n</tool_call>";
      };
      EXPECT_EQ(result(call(R"({"name": "a", "boss": "b", "more": [{"boss": "c"}]})")), "complete");
      EXPECT_EQ(result(call(R"({"boss": "f is long"})")), "forbidden");
      EXPECT_EQ(result(call(R"({"more": [{"name": "f", "arguments": {}}]})")), "forbidden");
    } else if (one.name == "tagged.jinja") {
      const auto call = [](const std::string& key, bool text, const std::string& value) {
        return "<invoke name=\"f\"><parameter name=\"" + key + "\" text=\"" + (text ? "true" : "false") + "\">" +
               value + "</parameter></invoke>";
      };
      EXPECT_EQ(result(call("boss", true, "b")), "complete");
      EXPECT_EQ(result(call("boss", true, "long")), "forbidden");
      EXPECT_EQ(result(call("more", false, R"([{"boss": "c"}])")), "complete");
    }
  }
}

TEST(ToolGrammar, OwnNotationsFollowSchemasToo) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  const std::string tools = tools_with(
      R"({"type": "object", "properties": {
          "z": {"type": "array", "maxItems": 2, "items": {"anyOf": [{"type": "string", "maxLength": 4}, {"type": "null"}]}},
          "a": {"type": "object", "properties": {"x y": {"type": "boolean"}, "k": {"enum": ["it's", 2]}},
                "additionalProperties": false}}})");
  for (const Format& one : formats()) {
    const Constraint constraint = tool_constraint(tokenizer, one.format, tools, {.required = true});
    const auto expect = [&](const std::string& text, const char* found, const char* arguments = "") {
      EXPECT_EQ(complete(constraint, text), found) << text;
      if (std::string_view(found) != "complete") return;
      EXPECT_EQ(one.format.parse(text, tools).calls.at(0).arguments, arguments) << text;
    };
    if (one.name == "marked.jinja") {
      const auto call = [](const std::string& arguments) { return "<call>run:f{" + arguments + "}</call>"; };
      expect(call("a:{k:<|q|>it's<|q|>,x y:true},z:[<|q|>\"]}<|q|>,None]"), "complete",
             R"({"a":{"k":"it's","x y":true},"z":["\"]}",null]})");
      expect(call("z:[<|q|>longer<|q|>]"), "forbidden");
      expect(call("z:[None,None,None]"), "forbidden");
      expect(call("z:[7]"), "forbidden");
      expect(call("a:{x y:7}"), "forbidden");
    } else if (one.name == "python.jinja") {
      const auto call = [](const std::string& key, const std::string& value) {
        return "<call>\n<function=f>\n<parameter=" + key + ">" + value + "</parameter>\n</function>\n</call>";
      };
      expect(call("z", R"(['a\'"b', None])"), "complete", R"({"z":["a'\"b",null]})");
      expect(call("z", R"(['\x41\u00e9\n\\'])"), "complete", R"({"z":["Aé\n\\"]})");
      expect(call("a", R"({'x y': True, 'k': "it's"})"), "complete", R"({"a":{"x y":true,"k":"it's"}})");
      expect(call("a", R"({'x y': true})"), "forbidden");
      expect(call("z", "['longer']"), "forbidden");
      expect(call("z", "[null]"), "forbidden");
    }
  }
}

TEST(ToolGrammar, WhatMarksCannotHoldIsNamed) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  for (const Format& one : formats()) {
    if (one.name != "tagged.jinja") continue;
    const auto refused = [&](const char* field, const std::string& tools) {
      expect_error(ErrorKind::unsupported, field, [&] { tool_constraint(tokenizer, one.format, tools); });
    };
    refused("f.minProperties", tool_of(R"({"type": "string"})", R"(, "minProperties": 1)"));
    refused("f.city", R"([{"name": "f", "parameters": {"required": ["city"]}}])");
    refused("two words", R"([{"name": "two words"}])");
    refused("f.two words", R"([{"name": "f", "parameters": {"properties": {"two words": {"type": "string"}}}}])");
  }
}

}  // namespace
}  // namespace powerhouse
