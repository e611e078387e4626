// {% generation %} blocks: spans and token masks as transformers' apply_chat_template makes them, edges included
// (tests/oracles/chat_masks.py).
#include <gtest/gtest.h>

#include <map>

#include "expect_error.h"
#include "powerhouse/chat.h"
#include "powerhouse/log.h"
#include "support/json.h"

namespace powerhouse {
namespace {

using testing::expect_error;

const Json& chat_mask_cases() {
  static const Json loaded = Json::parse_file(POWERHOUSE_FIXTURES "/text/chat_masks.json");
  return loaded;
}

template <typename Number>
std::vector<Number> numbers(const Json& json) {
  std::vector<Number> out;
  for (const Json& one : json.as_array()) out.push_back(static_cast<Number>(one.as_integer()));
  return out;
}

TEST(ChatMasks, AreTransformers) {
  set_log_sink([](LogLevel, std::string_view) {});  // templates without a block warn
  std::map<std::string, Tokenizer> tokenizers;
  int marked = 0;
  for (const Json& entry : chat_mask_cases().at("cases").as_array()) {
    const std::string& name = entry.at("tokenizer").as_string();
    SCOPED_TRACE(name + " " + entry.at("template").as_string() + " " + entry.at("conversation").as_string());
    if (!tokenizers.contains(name)) {
      tokenizers.emplace(name, Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/" + name));
    }
    const Tokenizer& tokenizer = tokenizers.at(name);
    const ChatTemplate chat(chat_mask_cases().at("templates").at(entry.at("template").as_string()).as_string());
    const std::string messages = chat_mask_cases().at("conversations").at(entry.at("conversation").as_string()).dump();
    const RenderedChat rendered = chat.render_with_spans(messages);
    EXPECT_EQ(rendered.text, entry.at("text").as_string());
    const auto& spans = entry.at("spans").as_array();
    ASSERT_EQ(rendered.assistant_spans.size(), spans.size());
    for (std::size_t i = 0; i < spans.size(); ++i) {
      const auto bounds = numbers<std::size_t>(spans[i]);
      EXPECT_EQ(rendered.assistant_spans[i], (TextSpan{bounds[0], bounds[1]})) << "span " << i;
    }
    const RenderOptions options{.return_assistant_tokens_mask = true};
    if (entry.get("raises") != nullptr) {
      expect_error(ErrorKind::format, "writes nothing", [&] { chat.encode(tokenizer, messages, options); });
      continue;
    }
    const EncodedChat encoded = chat.encode(tokenizer, messages, options);
    EXPECT_EQ(encoded.ids, numbers<std::int64_t>(entry.at("ids")));
    EXPECT_EQ(encoded.assistant_mask, numbers<std::uint8_t>(entry.at("mask")));
    EXPECT_EQ(encoded.text, rendered.text);
    for (const std::uint8_t one : encoded.assistant_mask) marked += one;
  }
  EXPECT_GT(marked, 1000);
}

TEST(ChatMasks, NeedToBeAskedFor) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/smollm");
  const ChatTemplate chat("{% generation %}{{ messages[0].content }}{% endgeneration %}");
  const std::string messages = R"([{"role": "user", "content": "Hello"}])";
  EXPECT_TRUE(chat.encode(tokenizer, messages).assistant_mask.empty());
  expect_error(ErrorKind::usage, "return_assistant_tokens_mask", [&] {
    chat.encode(tokenizer, messages, {.continue_final_message = "content", .return_assistant_tokens_mask = true});
  });
}

}  // namespace
}  // namespace powerhouse
