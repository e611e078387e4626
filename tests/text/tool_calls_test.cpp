// Calls of tools that transformers rendered are read back, through formats that were learned from the templates.
#include "powerhouse/tool_calls.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <stdexcept>

#include "expect_error.h"
#include "support/json.h"

namespace powerhouse {
namespace {

// Numbers as numbers: 2.0 is what some templates write of 2.0, others write 2.
bool same(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.as_double() == b.as_double();
  if (a.is_array() && b.is_array()) {
    const auto& x = a.as_array();
    const auto& y = b.as_array();
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), same);
  }
  if (!a.is_object() || !b.is_object()) return a.dump() == b.dump();
  if (a.as_object().size() != b.as_object().size()) return false;
  for (const auto& [key, value] : a.as_object()) {
    const Json* const other = b.as_object().find(key);
    if (other == nullptr || !same(value, *other)) return false;
  }
  return true;
}

struct Count {
  int understood = 0, partly = 0, refused = 0, silent = 0;
};

// Every message of a template that is understood must be read as it was meant; a template that writes calls and is not
// understood is an Error that says so.
Count expect_round_trips(const std::string& path, bool tell) {
  Count count;
  const Json all = Json::parse_file(path);
  const std::string special = all.at("special").dump(), tools = all.at("tools").dump();
  for (const Json& one : all.at("cases").as_array()) {
    const std::string& name = one.at("name").as_string();
    const auto& messages = one.at("messages").as_array();
    std::optional<ToolCallFormat> format;
    try {
      format = ToolCallFormat::from_template(ChatTemplate(one.at("template").as_string(), special));
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::unsupported || messages.empty()) << name << ": " << error.what();
      ++(messages.empty() ? count.silent : count.refused);
      if (!messages.empty()) std::cout << "refused " << name << ": " << error.what() << "\n";
      continue;
    }
    ++count.understood;
    if (tell) std::cout << name << ": " << format->describe() << "\n";
    for (const Json& message : messages) {
      const std::string& text = message.at("text").as_string();
      const auto& wanted = message.at("calls").as_array();
      try {
        const ParsedMessage found = format->parse(text, tools);
        EXPECT_EQ(found.calls.size(), wanted.size()) << name << ": " << text;
        for (std::size_t i = 0; i < std::min(found.calls.size(), wanted.size()); ++i) {
          EXPECT_EQ(found.calls[i].name, wanted[i].at("name").as_string()) << name << ": " << text;
          const Json arguments = Json::parse(found.calls[i].arguments, "arguments");
          EXPECT_TRUE(same(arguments, wanted[i].at("arguments"))) << name << ": " << text << "\n" << arguments.dump();
        }
      } catch (const Error& error) {
        if (error.kind() == ErrorKind::unsupported) {
          ++count.partly;
          std::cout << "partly " << name << ": " << error.what() << "\n";
          continue;
        }
        ADD_FAILURE() << name << ": " << error.what() << "\n" << text;
      }
    }
  }
  return count;
}

constexpr const char* kCases = POWERHOUSE_FIXTURES "/text/tool_calls.json";

ToolCallFormat format_of(std::string_view name) {
  const Json all = Json::parse_file(kCases);
  for (const Json& one : all.at("cases").as_array()) {
    if (one.at("name").as_string() != name) continue;
    return ToolCallFormat::from_template(ChatTemplate(one.at("template").as_string(), all.at("special").dump()));
  }
  throw std::runtime_error("no such template");
}

TEST(ToolCalls, OfEachKindComeBack) {
  const Count count = expect_round_trips(kCases, /*tell=*/false);
  EXPECT_EQ(count.understood, 8);
  EXPECT_EQ(count.partly, 0);
  EXPECT_EQ(count.silent, 1);
  testing::expect_error(ErrorKind::unsupported, "chat_template", [] { format_of("none.jinja"); });
}

TEST(ToolCalls, AreReadAsModelsWriteThem) {
  const ToolCallFormat format = format_of("object.jinja");
  const ParsedMessage found = format.parse(
      "I look it up.\n<tool_call>{ \"arguments\": {\"a\": [1, {\"b\": \"}\"}]},\n \"name\":\"f\" }\n\n</tool_call> "
      "<tool_call>\n{\"name\": \"g\", \"arguments\": \"{\\\"c\\\": 2}\"}\n</tool_call><|im_end|>\n");
  EXPECT_EQ(found.content, "I look it up.");
  ASSERT_EQ(found.calls.size(), 2u);
  EXPECT_EQ(found.calls[0].name, "f");
  EXPECT_TRUE(same(Json::parse(found.calls[0].arguments, "a"), Json::parse(R"({"a":[1,{"b":"}"}]})", "b")));
  EXPECT_EQ(found.calls[1].arguments, R"({"c": 2})");
  // What is no call is content; the end of the turn may be cut off.
  EXPECT_EQ(format.parse(" Just text, and {\"name\": 1}.<|im_end|>").content, "Just text, and {\"name\": 1}.");
  EXPECT_EQ(format.parse("<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n").calls.size(), 1u);
  EXPECT_EQ(format_of("bare.jinja").parse("{\"weather\": \"fine\"}").content, "{\"weather\": \"fine\"}");
  EXPECT_EQ(format_of("array.jinja")
                .parse("[CALLS][{\"name\": \"f\", \"arguments\": {}, \"id\": \"abcdefghi\"}]</s>")
                .calls[0]
                .id,
            "abcdefghi");
}

TEST(ToolCalls, ValuesBetweenMarksKeepWhatIsTheirs) {
  const ToolCallFormat format = format_of("tagged.jinja");
  const auto value = [&](const std::string& written, const char* tools) {
    const auto calls = format.parse("<invoke name=\"f\">\n" + written + "\n</invoke></turn>", tools).calls;
    return calls.at(0).arguments;
  };
  const auto argument = [](const std::string& key, const std::string& text, const std::string& value) {
    return "<parameter name=\"" + key + "\" text=\"" + text + "\">" + value + "</parameter>";
  };
  EXPECT_EQ(value(argument("a", "true", "7") + argument("b", "false", "7"), ""), R"({"a":"7","b":7})");
  EXPECT_EQ(value(argument("a", "true", " x</parameter>y ") + "\n" + argument("b", "false", "[true]"), ""),
            R"({"a":" x</parameter>y ","b":[true]})");
  // The schema's word counts for more than the mark that a model chose.
  EXPECT_EQ(
      value(argument("a", "true", "7"), R"([{"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}])"),
      R"({"a":7})");
  EXPECT_EQ(
      value(argument("a", "true", "7"), R"([{"name": "f", "parameters": {"properties": {"a": {"enum": [7, 8]}}}}])"),
      R"({"a":7})");
  // Where the marks are the same, only the schema tells texts from numbers: a type, or what its values are.
  const auto same_marks = [](const char* schema) {
    const std::string tools = R"([{"name": "f", "parameters": {"properties": {"a": )" + std::string(schema) + "}}}]";
    return format_of("lines.jinja")
        .parse("\n<call>\n<function=f>\n<parameter=a>\n7\n</parameter>\n</function>\n</call><|im_end|>", tools)
        .calls.at(0)
        .arguments;
  };
  EXPECT_EQ(same_marks("{}"), R"({"a":7})");
  EXPECT_EQ(same_marks(R"({"type": "string"})"), R"({"a":"7"})");
  EXPECT_EQ(same_marks(R"({"enum": ["7", "8"]})"), R"({"a":"7"})");
}

TEST(ToolCalls, ArgumentsOfSeveralTypesAreWhatTheyReadAs) {
  const auto value = [](const char* schema, const std::string& written) {
    const std::string tools =
        R"([{"name": "f", "parameters": {"$defs": {"n": {"type": "null"}}, "properties": {"a": )" +
        std::string(schema) + "}}}]";
    return format_of("lines.jinja")
        .parse("\n<call>\n<function=f>\n<parameter=a>\n" + written + "\n</parameter>\n</function>\n</call>", tools)
        .calls.at(0)
        .arguments;
  };
  const char* const maybe = R"({"anyOf": [{"type": "string"}, {"$ref": "#/$defs/n"}]})";
  EXPECT_EQ(value(maybe, "null"), R"({"a":null})");
  EXPECT_EQ(value(maybe, "nullable"), R"({"a":"nullable"})");
  EXPECT_EQ(value(maybe, "7"), R"({"a":"7"})");
  EXPECT_EQ(value(R"({"type": ["string", "integer"]})", "7"), R"({"a":7})");
  EXPECT_EQ(value(R"({"type": ["string", "integer"]})", "7 days"), R"({"a":"7 days"})");
  EXPECT_EQ(value(R"({"type": ["string", "integer"]})", "7.5"), R"({"a":"7.5"})");
  EXPECT_EQ(value(R"({"type": ["integer", "null"]})", "null"), R"({"a":null})");
}

TEST(ToolCalls, OwnNotationsAreReadAsModelsWriteThem) {
  const ToolCallFormat python = format_of("python.jinja"), marked = format_of("marked.jinja");
  constexpr const char* kTools =
      R"([{"name": "f", "parameters": {"properties": {"a": {"type": "array"}, "s": {"type": "string"}}}}])";
  const auto in_python = [&](const std::string& value, const char* tools) {
    return python.parse("<call>\n<function=f>\n<parameter=a>" + value + "</parameter>\n</function>\n</call>", tools)
        .calls.at(0)
        .arguments;
  };
  for (const char* const tools : {kTools, ""}) {
    EXPECT_EQ(in_python(R"(["it's", 'a\'b\\\x41\u00e9\101', True, None, -1.5])", tools),
              R"({"a":["it's","a'b\\AéA",true,null,-1.5]})");
    EXPECT_EQ(in_python("[ '</parameter>',\n {'k': [] } ]", tools), R"({"a":["</parameter>",{"k":[]}]})");
    EXPECT_EQ(in_python(R"([true, null, "x"])", tools), R"({"a":[true,null,"x"]})");
  }
  const auto in_marks = [&](const std::string& arguments, const char* tools) {
    return marked.parse("<call>run:f{" + arguments + "}</call>", tools).calls.at(0).arguments;
  };
  for (const char* const tools : {kTools, ""}) {
    EXPECT_EQ(in_marks("a:[<|q|>x, \"y\"]}<|q|>, {b c: 1}, true],s:<|q|>[1]<|q|>", tools),
              R"({"a":["x, \"y\"]}",{"b c":1},true],"s":"[1]"})");
  }
}

TEST(ToolCalls, ThatAreBrokenNameThePlace) {
  const ToolCallFormat format = format_of("object.jinja"), tagged = format_of("tagged.jinja");
  const auto expect = [](const ToolCallFormat& by, const char* place, const char* text) {
    testing::expect_error(ErrorKind::format, place, [&] { by.parse(text); });
  };
  expect(format, "byte 12", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\"");
  expect(format, "byte 12", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\" 1}}\n</tool_call>");
  expect(format, "byte 12", "<tool_call>\n{\"arguments\": {}}\n</tool_call>");
  expect(format, "byte 12", "<tool_call>\n{\"name\": \"f\", \"arguments\": [1]}\n</tool_call>");
  expect(format, "byte 12", "<tool_call>\n{\"name\": \"f\", \"arguments\": \"none\"}\n</tool_call>");
  expect(format, "byte 42", "<tool_call>\n{\"name\": \"f\", \"arguments\": {}} and so on");
  expect(tagged, "byte 50", "<invoke name=\"f\">\n<parameter name=\"a\" text=\"true\">no end");
}

// Wherever a text is cut off, what is told of it is whole: calls as they were meant, and no mark of one in the content.
TEST(ToolCalls, ThatAreCutOffAreLeftUnfinished) {
  const Json all = Json::parse_file(kCases);
  const std::string tools = all.at("tools").dump(), special = all.at("special").dump();
  for (const Json& one : all.at("cases").as_array()) {
    if (one.at("messages").as_array().empty()) continue;
    const std::string& name = one.at("name").as_string();
    const auto format = ToolCallFormat::from_template(ChatTemplate(one.at("template").as_string(), special));
    for (const Json& message : one.at("messages").as_array()) {
      const std::string& text = message.at("text").as_string();
      const auto& wanted = message.at("calls").as_array();
      std::size_t most = 0;
      for (std::size_t size = 0; size <= text.size(); ++size) {
        const ParsedMessage found = format.parse(std::string_view(text).substr(0, size), tools, /*cut_off=*/true);
        EXPECT_EQ(found.content, "") << name << ": " << text.substr(0, size);
        ASSERT_LE(found.calls.size(), wanted.size()) << name << ": " << text.substr(0, size);
        EXPECT_GE(found.calls.size(), most) << name << ": " << text.substr(0, size);
        most = found.calls.size();
        for (std::size_t i = 0; i < most; ++i) {
          EXPECT_EQ(found.calls[i].name, wanted[i].at("name").as_string()) << name << ": " << text.substr(0, size);
          EXPECT_TRUE(same(Json::parse(found.calls[i].arguments, "arguments"), wanted[i].at("arguments")))
              << name << ": " << text.substr(0, size);
        }
      }
      EXPECT_EQ(most, wanted.size()) << name;
    }
  }
}

TEST(ToolCalls, OfOthersTemplates) {
  const char* const path = std::getenv("POWERHOUSE_TEST_TOOL_CALLS");
  if (path == nullptr) GTEST_SKIP() << "POWERHOUSE_TEST_TOOL_CALLS names no cases (tests/oracles/tool_calls.py)";
  const Count count = expect_round_trips(path, /*tell=*/true);
  std::cout << count.understood << " understood (" << count.partly << " messages not), " << count.refused
            << " refused, " << count.silent << " without calls\n";
}

}  // namespace
}  // namespace powerhouse
