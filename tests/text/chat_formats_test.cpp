// The named formats, byte for byte as the programs write them that they come from (tests/oracles/chat_formats.py), and
// the linter.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "expect_error.h"
#include "powerhouse/chat.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;

TEST(ChatFormats, AreWrittenAsTheirOriginals) {
  const Json fixture = Json::parse_file(POWERHOUSE_FIXTURES "/text/chat_formats.json");
  std::set<std::string> seen;
  for (const Json& entry : fixture.at("cases").as_array()) {
    const std::string& name = entry.at("format").as_string();
    seen.insert(name);
    const RenderOptions options{.add_generation_prompt = entry.bool_or("add_generation_prompt", false)};
    EXPECT_EQ(ChatTemplate::from_format(name).render(entry.at("messages").dump(), options),
              entry.at("expected").as_string())
        << name << " " << entry.at("messages").dump();
  }
  const auto names = chat_format_names();
  EXPECT_EQ(seen, std::set<std::string>(names.begin(), names.end()));
}

TEST(ChatFormats, MarkTheAssistantsTexts) {
  const char* messages = R"([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A b"}])";
  for (const std::string& name : chat_format_names()) {
    const RenderedChat chat = ChatTemplate::from_format(name).render_with_spans(messages);
    ASSERT_EQ(chat.assistant_spans.size(), 1u) << name;
    const auto [begin, end] = chat.assistant_spans[0];
    const std::string text = chat.text.substr(begin, end - begin);
    EXPECT_NE(text.find("A b"), std::string::npos) << name;
    EXPECT_GT(text.size(), 3u) << name << ": the end of the turn belongs to it";
    EXPECT_EQ(chat.text.find("Q", begin), std::string::npos) << name;
  }
}

TEST(ChatFormats, TakeATokenizersSpecialTokens) {
  EXPECT_EQ(ChatTemplate::from_format("mistral", R"({"bos_token": "[B]", "eos_token": "[E]"})")
                .render(R"([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}])"),
            "[B][INST] Q [/INST] A[E]");
  expect_error(ErrorKind::not_found, "alpaca, chatml, gemma", [] { ChatTemplate::from_format("nonsense"); });
}

std::vector<std::string> lint(const std::string& source) { return lint_chat_template(ChatTemplate(source)); }

void expect_one(const std::vector<std::string>& warnings, std::string_view what) {
  ASSERT_EQ(warnings.size(), 1u) << ::testing::PrintToString(warnings);
  EXPECT_NE(warnings[0].find(what), std::string::npos) << warnings[0];
}

TEST(ChatLint, FindsNothingInGoodTemplates) {
  for (const std::string& name : chat_format_names()) {
    EXPECT_EQ(lint_chat_template(ChatTemplate::from_format(name)), std::vector<std::string>{}) << name;
  }
}

TEST(ChatLint, TellsWhatATemplateIgnores) {
  expect_one(lint("{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}</s>{% endif %}"
                  "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"),
             "the system message is ignored");
  expect_one(lint("{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"),
             "add_generation_prompt is ignored");
  expect_one(lint("{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
                  "{% if add_generation_prompt %}<assistant>{% endif %}"),
             "nothing ends the assistant's turn");
  expect_one(lint("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
                  "<{{ m.role }}>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"),
             "a system message is refused: chat template, line 1: no system");
  expect_one(lint("{{ messages[0].parts[0] }}"), "a single user message cannot be rendered");
  const auto lost = lint("{{ messages[0].content }}</s>");
  EXPECT_GE(lost.size(), 2u);
}

TEST(ChatLint, AsksTheTokenizer) {
  const testing::TemporaryFolder folder;
  std::filesystem::copy(POWERHOUSE_FIXTURES "/text/llama3/tokenizer.json", folder.path());
  folder.write("tokenizer_config.json", R"({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})");
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  const std::string special = tokenizer.special_tokens_json();
  const std::string turns =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
      "{% if add_generation_prompt %}<assistant>{% endif %}";
  const auto warnings = [&](const std::string& source) {
    return lint_chat_template(ChatTemplate(source, special), &tokenizer);
  };
  expect_one(warnings(turns), "the template writes none");
  expect_one(warnings("{{ bos_token }}" + turns), "template and tokenizer both write BOS");
  const auto twice = warnings("{{ bos_token }}{{ bos_token }}" + turns);
  EXPECT_TRUE(std::any_of(twice.begin(), twice.end(),
                          [](const auto& one) { return one.find("BOS 2 times") != std::string::npos; }));
  const auto endless = warnings("{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}<assistant>");
  EXPECT_TRUE(std::any_of(endless.begin(), endless.end(), [](const auto& one) {
    return one.find("no end-of-generation token") != std::string::npos;
  })) << ::testing::PrintToString(endless);
}

}  // namespace
}  // namespace powerhouse
