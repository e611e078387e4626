// What happens to the inputs before a template sees them, and which template is taken: as transformers'
// apply_chat_template does (tests/oracles/chat_inputs.py).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "expect_error.h"
#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
namespace fs = std::filesystem;

const Json& chat_input_cases() {
  static const Json loaded = Json::parse_file(POWERHOUSE_FIXTURES "/text/chat_inputs.json");
  return loaded;
}

// The text, or nothing where an Error was thrown; what it said goes to `error`.
template <typename Body>
std::optional<std::string> attempt(std::string& error, Body body) {
  try {
    return body();
  } catch (const Error& failure) {
    error = failure.what();
    return std::nullopt;
  }
}

template <typename Body>
void expect_as_transformers(const Json& expected, Body body) {
  std::string error;
  const std::optional<std::string> text = attempt(error, body);
  if (const Json* refusal = expected.get("raises")) {
    EXPECT_FALSE(text) << "should fail with " << refusal->as_string() << ", gave " << *text;
  } else {
    ASSERT_TRUE(text) << error;
    EXPECT_EQ(*text, expected.at("expected").as_string());
  }
}

TEST(ChatInputs, ContinueTheFinalMessage) {
  ASSERT_GE(chat_input_cases().at("continue").as_array().size(), 20u);
  for (const Json& entry : chat_input_cases().at("continue").as_array()) {
    SCOPED_TRACE(entry.dump());
    expect_as_transformers(entry, [&] {
      const RenderOptions options{.continue_final_message = entry.at("key").as_string(), .omit_null = true};
      return ChatTemplate(entry.at("template").as_string()).render(entry.at("messages").dump(), options);
    });
  }
  const ChatTemplate chat("{{ messages[0].content }}");
  expect_error(ErrorKind::usage, "no message", [&] { chat.render("[]", {.continue_final_message = "content"}); });
  expect_error(ErrorKind::usage, "add_generation_prompt", [&] {
    chat.render(R"([{"content": "x"}])", {.add_generation_prompt = true, .continue_final_message = "content"});
  });
}

TEST(ChatInputs, OmitNullWhereAsked) {
  for (const Json& entry : chat_input_cases().at("omit_null").as_array()) {
    expect_as_transformers(entry, [&] {
      return ChatTemplate(entry.at("template").as_string())
          .render(entry.at("messages").dump(), RenderOptions{.omit_null = true});
    });
  }
  EXPECT_EQ(ChatTemplate("{{ messages }}").render(R"([{"content": null}])"), "[{'content': None}]");
}

TEST(ChatInputs, TemplatesAreFoundWhereverTheyAreStored) {
  for (const Json& entry : chat_input_cases().at("folders").as_array()) {
    SCOPED_TRACE(entry.at("name").as_string());
    const testing::TemporaryFolder folder;
    fs::copy(POWERHOUSE_FIXTURES "/text/smollm/tokenizer.json", folder.path());
    for (const auto& [name, content] : entry.at("files").as_object()) {
      const fs::path file = fs::path(folder.path()) / name;
      fs::create_directories(file.parent_path());
      std::ofstream(file) << content.as_string();
    }
    const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
    const std::string messages = R"([{"role": "user", "content": "Hi"}])";
    const std::string tools = R"([{"type": "function", "function": {"name": "f", "parameters": {}}}])";
    expect_as_transformers(entry.at("plain"), [&] { return ChatTemplate::from_tokenizer(tokenizer).render(messages); });
    expect_as_transformers(entry.at("tools"), [&] {
      return ChatTemplate::from_tokenizer(tokenizer).render(messages, RenderOptions{.tools = tools});
    });
    expect_as_transformers(entry.at("rag"),
                           [&] { return ChatTemplate::from_tokenizer(tokenizer, "rag").render(messages); });
  }
}

// A processor's chat_template.json, which a tokenizer of transformers leaves to the processor.
TEST(ChatInputs, AProcessorsTemplateCountsWhereThereIsNoOther) {
  const testing::TemporaryFolder folder;
  fs::copy(POWERHOUSE_FIXTURES "/text/smollm/tokenizer.json", folder.path());
  std::ofstream(fs::path(folder.path()) / "chat_template.json") << R"({"chat_template": "legacy"})";
  EXPECT_EQ(Tokenizer::from_pretrained(folder.path()).chat_template(), "legacy");
  std::ofstream(fs::path(folder.path()) / "chat_template.jinja") << "newer";
  EXPECT_EQ(Tokenizer::from_pretrained(folder.path()).chat_template(), "newer");
  EXPECT_EQ(Tokenizer::from_pretrained(folder.path()).chat_template_names(), std::vector<std::string>{"default"});
}

}  // namespace
}  // namespace powerhouse
