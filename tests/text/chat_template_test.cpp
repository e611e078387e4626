// ChatTemplate as programs use it: messages and variables in, errors with a place out, hostile templates stopped, and
// SmolLM2's own template over whole conversations.
#include "powerhouse/chat.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "expect_error.h"
#include "repeated.h"
#include "support/json.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::repeated;

std::string render(std::string_view source, std::string_view messages = "[]", const RenderOptions& options = {}) {
  return ChatTemplate(source).render(messages, options);
}

TEST(ChatTemplate, RendersPlainMessages) {
  const ChatTemplate chat(
      "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m['content'] }}\n{% endfor %}"
      "{% if add_generation_prompt %}assistant:{% endif %}",
      R"({"bos_token": "<s>"})");
  const std::vector<Message> messages = {{"user", "Hi"}, {"assistant", "Grüße"}};
  EXPECT_EQ(chat.render(messages), "<s>user: Hi\nassistant: Grüße\n");
  EXPECT_EQ(chat.render(messages, {.add_generation_prompt = true}), "<s>user: Hi\nassistant: Grüße\nassistant:");
}

TEST(ChatTemplate, SharesTheCompiledFormBetweenCopiesAndThreads) {
  const ChatTemplate chat("{% for m in messages %}{{ m.content | upper }}{% endfor %}");
  const ChatTemplate copy = chat;  // NOLINT(performance-unnecessary-copy-initialization): the copy is the test
  std::vector<std::thread> threads;
  threads.reserve(4);
  std::vector<int> wrong(4, 0);
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([&, id] {
      const std::vector<Message> messages = {{"user", "t" + std::to_string(id)}};
      for (int i = 0; i < 200; ++i) {
        wrong[static_cast<std::size_t>(id)] += copy.render(messages) == "T" + std::to_string(id) ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(ChatTemplate, DefinesAbsentToolsAndDocumentsAsNone) {
  EXPECT_EQ(render("{{ tools is none }}{{ documents is none }}{{ tools is defined }}"), "TrueTrueTrue");
  EXPECT_EQ(render("{{ tools[0].name }}{{ documents[0].title }}", "[]",
                   {.tools = R"([{"name": "f"}])", .documents = R"([{"title": "T"}])"}),
            "fT");
}

TEST(ChatTemplate, TakesFurtherVariables) {
  EXPECT_EQ(render("{{ enable_thinking }}{{ n + 1 }}", "[]", {.variables = R"({"enable_thinking": false, "n": 2})"}),
            "False3");
  const ChatTemplate chat("{{ bos_token }}", R"({"bos_token": "<s>"})");
  EXPECT_EQ(chat.render("[]", {.variables = R"({"bos_token": "<t>"})"}), "<t>");
  expect_error(ErrorKind::usage, "messages", [] { render("", "[]", {.variables = R"({"messages": []})"}); });
}

TEST(ChatTemplate, KeepsIntegersBeyond64Bits) {
  const char* variables =
      R"({"a": 123456789012345678901234567890, "b": [18446744073709551615, -9223372036854775809], "c": 1e30})";
  EXPECT_EQ(render("{{ a }} {{ a + 1 }} {{ a is integer }} {{ b }} {{ b | tojson }} {{ c }} {{ [a] | tojson }}", "[]",
                   {.variables = variables}),
            "123456789012345678901234567890 123456789012345678901234567891 True "
            "[18446744073709551615, -9223372036854775809] [18446744073709551615, -9223372036854775809] 1e+30 "
            "[123456789012345678901234567890]");
}

// transformers 5 shows the same thoughts under every name that templates know.
TEST(ChatTemplate, AliasesTheFieldsOfReasoning) {
  EXPECT_EQ(render("{{ messages[0] }}", R"([{"role": "assistant", "reasoning": "r", "content": "c"}])"),
            "{'thinking': 'r', 'role': 'assistant', 'reasoning': 'r', 'content': 'c', 'reasoning_content': 'r'}");
  EXPECT_EQ(render("{{ messages[0] }}", R"([{"thinking": "t", "reasoning_content": null}])"),
            "{'thinking': 't', 'reasoning_content': 't'}");
}

TEST(ChatTemplate, NamesLineAndColumnOfASyntaxError) {
  expect_error(ErrorKind::format, "line 2, column 4", [] { ChatTemplate("a\n{{ ) }}"); });
  expect_error(ErrorKind::format, "line 3, column 6", [] { ChatTemplate("\n\nöö{{ 'x }}{{ y"); });
  expect_error(ErrorKind::format, "'if' is never closed",
               [] { ChatTemplate("{% if x %}{% for a in b %}{% endfor %}"); });
}

TEST(ChatTemplate, NamesTheLineOfARunTimeError) {
  expect_error(ErrorKind::format, "line 3: 'x' is undefined", [] { render("a\n\n{{ x.y }}\n"); });
  expect_error(ErrorKind::format, "line 2: roles must alternate", [] {
    render("{% for m in messages %}\n{{ raise_exception('roles must alternate') }}{% endfor %}", "[{}]");
  });
  expect_error(ErrorKind::format, "line 4",
               [] { render("{% macro f(a) %}\n{{ a }}\n{% endmacro %}\n{{ f(1) + 1 }}"); });
}

TEST(ChatTemplate, RefusesBadInput) {
  expect_error(ErrorKind::format, "messages", [] { render("", "{}"); });
  expect_error(ErrorKind::format, "messages[1]", [] { render("", R"([{}, "x"])"); });
  expect_error(ErrorKind::format, "messages", [] { render("", "[{"); });
  expect_error(ErrorKind::format, "messages", [] { render("", ""); });
  expect_error(ErrorKind::format, "tools", [] { render("", "[]", {.tools = "{}"}); });
  expect_error(ErrorKind::format, "variables", [] { render("", "[]", {.variables = "[]"}); });
  expect_error(ErrorKind::format, "special_tokens", [] { ChatTemplate("", "[]"); });
  expect_error(ErrorKind::format, "UTF-8", [] { ChatTemplate("a\xff"); });
  const std::vector<Message> messages = {{"user", "ok"}, {"user", "\xc3"}};
  expect_error(ErrorKind::format, "messages[1], byte 0", [&] { ChatTemplate("").render(messages); });
  expect_error(ErrorKind::range, "4 MiB", [] { ChatTemplate(std::string(5 << 20, 'x')); });
}

TEST(ChatTemplate, NamesWhatIsNotBuilt) {
  for (const char* source : {"{% include 'x' %}", "{% block a %}{% endblock %}", "{% extends 'a' %}",
                             "{{ 'a' | wordwrap }}", "{{ cycler(1) }}", "{{ 'a'.encode() }}", "{{ (-2) ** 0.5 }}",
                             "{{ range }}", "{{ [1] | map('string') }}", "{{ '\\N{BULLET}' }}"}) {
    expect_error(ErrorKind::unsupported, "line 1", [&] { render(source); });
  }
}

TEST(ChatTemplate, FormatsTheDate) {
  EXPECT_EQ(render("{{ strftime_now('%Y') | length }}{{ strftime_now('%Y') | int > 2020 }}"), "4True");
  expect_error(ErrorKind::range, "4096", [] { render("{{ strftime_now('" + repeated("%A", 2000) + "') }}"); });
}

// Every one of these would run for hours or take all memory in a plain interpreter.
TEST(ChatTemplate, StopsHostileTemplates) {
  const std::string loops = "{% for a in range(100000) %}{% for b in range(100000) %}";
  const std::vector<std::pair<ErrorKind, std::string>> hostile = {
      {ErrorKind::range, loops + "{% endfor %}{% endfor %}"},
      {ErrorKind::range, loops + "x{% endfor %}{% endfor %}"},
      {ErrorKind::memory, "{{ 'x' * 10 ** 12 }}"},
      {ErrorKind::memory, "{{ [1] * 10 ** 12 }}"},
      {ErrorKind::memory, "{{ 'x'.center(10 ** 12) }}"},
      {ErrorKind::memory, "{{ '%1000000000000d' % 1 }}"},
      {ErrorKind::memory, "{{ '{:1000000000000}'.format(1) }}"},
      {ErrorKind::memory, "{{ 'a\\nb' | indent(10 ** 12) }}"},
      {ErrorKind::memory, "{{ [1] | tojson(indent=10 ** 12) }}"},
      {ErrorKind::memory,
       "{% set n = namespace(s='xxxx') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}"},
      {ErrorKind::memory,
       "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}"},
      {ErrorKind::range,
       "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(99) %}{% set n.a = [n.a, n.a] %}"
       "{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}"},
      {ErrorKind::range, "{% set n = namespace(s=[1]) %}{% for i in range(999) %}{% set n.s = [n.s] %}{% endfor %}"},
      {ErrorKind::range,
       "{% set n = namespace() %}{% for i in range(9999) %}{% set n.s = namespace(s=n.s) %}{% endfor %}"
       "{{ n }}"},
      {ErrorKind::range, "{% set n = namespace() %}{% set n.n = n %}{{ n }}"},
      {ErrorKind::range,
       "{% set n = namespace(g=[1]) %}{% for i in range(9999) %}{% set n.g = n.g | map('abs') %}"
       "{% endfor %}{{ n.g | list }}"},
      {ErrorKind::range, "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"},
      {ErrorKind::range,
       "{% macro f() %}{{ caller() }}{% call f() %}{% endcall %}{% endmacro %}{% call f() %}{% endcall %}"},
      {ErrorKind::range, "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}"},
      {ErrorKind::range,
       "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{% set x = s.rfind(s[1:] ~ 'b') %}"
       "{% endfor %}"},
      {ErrorKind::range, "{% set s = 'é' * 1000000 %}{% for i in range(100000) %}{{ s[999999] }}{% endfor %}"},
      {ErrorKind::range,
       "{% set s = ['a' * 1000000] * 1000 %}{% for i in range(1000) %}{{ (s | min)[:1] }}{% endfor %}"},
  };
  for (const auto& [kind, source] : hostile) {
    SCOPED_TRACE(source);
    expect_error(kind, "line ", [&source = source] { render(source); });
  }
}

TEST(ChatTemplate, BoundsTheDepthOfTheParser) {
  for (const std::string& source :
       {"{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}",
        "{{ " + repeated("[", 5000) + repeated("]", 5000) + " }}", "{{ " + repeated("not ", 5000) + "1 }}",
        "{{ " + repeated("-", 5000) + "1 }}", "{{ 1" + repeated(" + 1", 5000) + " }}",
        "{{ 1" + repeated(".a", 5000) + " }}", "{{ 1" + repeated(" | abs", 5000) + " }}",
        "{{ 1" + repeated(" if 1 else 2", 5000) + " }}", repeated("{% if 1 %}", 5000) + repeated("{% endif %}", 5000),
        "{% set " + repeated("(", 5000) + "a" + repeated(")", 5000) + " = 1 %}"}) {
    expect_error(ErrorKind::format, "line 1, column", [&] { ChatTemplate chat(source); });
  }
  // What people write fits with room to spare.
  EXPECT_EQ(render("{{ " + repeated("(", 60) + "1" + repeated(")", 60) + " }}"), "1");
  EXPECT_EQ(render("{{ 1" + repeated(" + 1", 300) + " }}"), "301");
  std::string chain = "{% if false %}";
  for (int i = 0; i < 3000; ++i) chain += "{% elif n == " + std::to_string(i) + " %}" + std::to_string(i);
  EXPECT_EQ(render(chain + "{% endif %}", "[]", {.variables = R"({"n": 2999})"}), "2999");
}

TEST(ChatTemplate, RendersLongConversations) {
  std::vector<Message> messages;
  messages.reserve(2000);
  for (int i = 0; i < 2000; ++i) messages.push_back({i % 2 == 0 ? "user" : "assistant", std::string(500, 'x')});
  const ChatTemplate chat(
      "{% for m in messages %}{% if m.role == 'user' and not messages[loop.index:] | selectattr('role', 'eq', 'user') "
      "| "
      "list %}last {% endif %}{{ m.content | trim }}\n{% endfor %}");
  EXPECT_EQ(chat.render(messages).size(), 2000u * 501 + 5);
}

TEST(ChatTemplate, RendersSmolLm2AsTransformersDoes) {
  const char* path = std::getenv("POWERHOUSE_TEST_MODEL");
  if (path == nullptr) GTEST_SKIP() << "SKIPPED: set POWERHOUSE_TEST_MODEL to SmolLM2-135M-Instruct.Q4_1.gguf";
  const ChatTemplate chat = ChatTemplate::from_tokenizer(Tokenizer::from_pretrained(path));
  const Json cases = Json::parse_file(POWERHOUSE_FIXTURES "/text/smollm2_chat.json");
  ASSERT_GE(cases.at("cases").as_array().size(), 20u);
  for (const Json& entry : cases.at("cases").as_array()) {
    const RenderOptions options{.add_generation_prompt = entry.bool_or("add_generation_prompt", false)};
    EXPECT_EQ(chat.render(entry.at("messages").dump(), options), entry.at("expected").as_string());
    std::vector<Message> messages;
    for (const Json& message : entry.at("messages").as_array()) {
      messages.push_back({message.at("role").as_string(), message.at("content").as_string()});
    }
    EXPECT_EQ(chat.render(messages, options), entry.at("expected").as_string());
  }
}

}  // namespace
}  // namespace powerhouse
