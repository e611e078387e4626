// chat_template and sharegpt: targets against Axolotl's turns and TRL's assistant masks, and the cases that neither
// has.
#include <gtest/gtest.h>

#include <cstdlib>

#include "data_fixtures.h"
#include "expect_error.h"
#include "training/data/columns.h"
#include "training/data/shape.h"

namespace powerhouse::training {
namespace {

using powerhouse::testing::expect_error;
using powerhouse::testing::integers;
using powerhouse::testing::oracle;

TrainOnEos train_on_eos(const std::string& name) {
  return name == "turn"   ? TrainOnEos::turn
         : name == "all"  ? TrainOnEos::all
         : name == "last" ? TrainOnEos::last
                          : TrainOnEos::none;
}

// The text of the targets, runs of them in brackets.
std::string targets(const Tokenizer& tokenizer, const ShapedRow& row) {
  std::string out;
  std::vector<std::int64_t> run;
  for (std::size_t i = 0; i <= row.example.labels.size(); ++i) {
    if (i < row.example.labels.size() && row.example.labels[i] != kIgnoredTarget) {
      run.push_back(row.example.labels[i]);
    } else if (!run.empty()) {
      out += "[" + tokenizer.decode(run) + "]";
      run.clear();
    }
  }
  return out;
}

ShapedRow apply(const Tokenizer& tokenizer, const DatasetSource& source, const char* row) {
  return make_shape(tokenizer, source, {})->apply({.columns = Json::parse(row, "row")});
}

TEST(ChatShape, TurnsAreThoseOfAxolotl) {
  const auto& cases = oracle().at("axolotl_chats").as_array();
  ASSERT_GT(cases.size(), 300u);
  for (const Json& test : cases) {
    const Tokenizer tokenizer = testing::tokenizer(test.at("tokenizer").as_string());
    DatasetSource source{.path = "rows", .type = "chat_template"};
    source.train_on_eos = train_on_eos(test.at("train_on_eos").as_string());
    source.roles_to_train = {test.at("roles_to_train").as_array().front().as_string()};
    source.chat_template = oracle().at("templates").at(test.at("template").as_string()).as_string();
    JsonObject row;
    row["messages"] = oracle().at("conversations").at(test.at("conversation").as_string());
    DatasetOptions options{.train_on_inputs = test.at("train_on_inputs").as_bool()};
    for (const Json& token : test.at("eot_tokens").as_array()) options.eot_tokens.push_back(token.as_string());
    const auto made = make_shape(tokenizer, source, options)->apply({.columns = Json(std::move(row))});
    const std::string name = test.at("tokenizer").as_string() + ' ' + test.at("template").as_string() + ' ' +
                             test.at("conversation").as_string() + " eos " + test.at("train_on_eos").as_string() +
                             " roles " + test.at("roles_to_train").dump();
    ShapedRow expected;
    expected.example.input_ids = integers(test.at("ids"));
    expected.example.labels = integers(test.at("labels"));
    EXPECT_EQ(made.example.input_ids, expected.example.input_ids) << name;
    if (test.at("train_on_inputs").as_bool() && test.at("template").as_string() == "folded" &&
        test.at("conversation").as_string() == "system") {
      // Axolotl renders the system message alone, which this template shows only inside the user's: it finds no turn.
      EXPECT_EQ(targets(tokenizer, made), "[You are kind.]" + targets(tokenizer, expected)) << name;
      continue;
    }
    EXPECT_EQ(made.example.labels, expected.example.labels)
        << name << "\n  ours  " << targets(tokenizer, made) << "\n  peers " << targets(tokenizer, expected);
  }
}

TEST(ChatShape, GenerationBlocksAreThoseOfTrl) {
  std::size_t compared = 0;
  for (const Json& test : oracle().at("trl").as_array()) {
    if (test.at("row").get("messages") == nullptr) continue;
    const Tokenizer tokenizer = testing::tokenizer(test.at("tokenizer").as_string(), test.at("template").as_string());
    const auto made =
        make_shape(tokenizer, {.path = "rows", .type = "chat_template"}, {})->apply({.columns = test.at("row")});
    EXPECT_EQ(made.example.input_ids, integers(test.at("ids"))) << test.at("row").dump();
    EXPECT_EQ(made.example.labels, integers(test.at("labels"))) << test.at("row").dump();
    ++compared;
  }
  EXPECT_GT(compared, 10u);
}

constexpr const char* kChatMl =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
constexpr const char* kTalk =
    R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]})";

TEST(ChatShape, BlocksAndTurnsAgree) {
  const char* with_blocks =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{%- generation -%}{{ m.content }}"
      "{%- endgeneration -%}<|im_end|>\n{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}";
  const Tokenizer tokenizer = testing::tokenizer("smollm", with_blocks);
  for (const TrainOnEos eos : {TrainOnEos::turn, TrainOnEos::last, TrainOnEos::none}) {
    DatasetSource source{.path = "rows", .type = "chat_template"};
    source.train_on_eos = eos;
    source.turn_mask = TurnMask::generation;
    const auto blocks = apply(tokenizer, source, kTalk);
    source.turn_mask = TurnMask::turns;
    EXPECT_EQ(blocks.example.labels, apply(tokenizer, source, kTalk).example.labels);
    EXPECT_EQ(targets(tokenizer, blocks), eos == TrainOnEos::none ? "[ho]" : "[ho<|im_end|>]");
  }
  DatasetSource source{.path = "rows", .type = "chat_template", .turn_mask = TurnMask::generation};
  source.chat_template = kChatMl;
  expect_error(ErrorKind::usage, "no {% generation %}", [&] { apply(tokenizer, source, kTalk); });
}

TEST(ChatShape, ShareGptAndMappedNames) {
  const Tokenizer tokenizer = testing::tokenizer("smollm", kChatMl);
  const auto plain = apply(tokenizer, {.path = "rows", .type = "chat_template"}, kTalk);
  EXPECT_EQ(apply(tokenizer, {.path = "rows", .type = "sharegpt"},
                  R"({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]})")
                .example.labels,
            plain.example.labels);
  DatasetSource mapped{.path = "rows", .type = "chat_template", .field_messages = "talk"};
  mapped.message_property_mappings = {{"role", "who"}, {"content", "says"}};
  mapped.roles = {{"user", {"me"}}, {"assistant", {"you", "bot"}}};
  mapped.roles_to_train = {"bot"};
  const char* row = R"({"talk": [{"who": "me", "says": "hi"}, {"who": "you", "says": "ho"}]})";
  EXPECT_EQ(apply(tokenizer, mapped, row).example.input_ids, plain.example.input_ids);
  EXPECT_EQ(apply(tokenizer, mapped, row).example.labels, plain.example.labels);
  // As a CSV cell has it: the same as JSON text.
  const auto text = apply(
      tokenizer, {.path = "rows", .type = "chat_template"},
      R"({"messages": "[{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"ho\"}]"})");
  EXPECT_EQ(text.example.labels, plain.example.labels);
}

TEST(ChatShape, SystemColumnAndFlagsOfMessages) {
  const Tokenizer tokenizer = testing::tokenizer("smollm", kChatMl);
  const auto with_system = apply(tokenizer, {.path = "rows", .type = "chat_template"},
                                 R"({"system": "be kind", "messages": [{"role": "user", "content": "hi"}]})");
  EXPECT_EQ(tokenizer.decode(with_system.example.input_ids),
            "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n");
  DatasetSource source{.path = "rows", .type = "chat_template", .message_field_training = "train"};
  const auto flagged = apply(tokenizer, source,
                             R"({"messages": [{"role": "user", "content": "hi", "train": true},
                                 {"role": "assistant", "content": "no", "train": false},
                                 {"role": "user", "content": "hm"}, {"role": "assistant", "content": "yes"}]})");
  EXPECT_EQ(targets(tokenizer, flagged), "[hi<|im_end|>][yes<|im_end|>]");
}

TEST(ChatShape, ToolCallsAreTargetsEvenWhereTheTemplateRefusesToDoWithoutThem) {
  // A tool's answer must follow a call, and a prefix must not end with a call: neither the changed conversation nor ...
  const char* strict =
      "{% for m in messages %}{% if m.role == 'tool' and not messages[loop.index0 - 1].tool_calls %}"
      "{{ raise_exception('an answer to no call') }}{% endif %}<|im_start|>{{ m.role }}\n"
      "{% if m.tool_calls %}<call>{{ m.tool_calls[0].function.arguments.city }}</call>{% else %}{{ m.content }}{% "
      "endif %}"
      "<|im_end|>\n{% endfor %}";
  const Tokenizer tokenizer = testing::tokenizer("smollm", strict);
  const auto made = apply(tokenizer, {.path = "rows", .type = "chat_template"},
                          R"({"messages": [{"role": "user", "content": "weather?"},
      {"role": "assistant", "tool_calls": [{"function": {"name": "w", "arguments": "{\"city\": \"Rome\"}"}}]},
      {"role": "tool", "content": "sunny"}, {"role": "assistant", "content": "Sun."}]})");
  EXPECT_EQ(targets(tokenizer, made), "[<call>Rome</call><|im_end|>][Sun.<|im_end|>]");
}

TEST(ChatShape, LostAndEmptyTurns) {
  const Tokenizer silent = testing::tokenizer(
      "smollm", "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}");
  const auto lost = apply(silent, {.path = "rows", .type = "chat_template"}, kTalk);
  EXPECT_TRUE(lost.lost_turn);
  EXPECT_EQ(targets(silent, lost), "");
  const Tokenizer tokenizer = testing::tokenizer("smollm", kChatMl);
  const auto empty =
      apply(tokenizer, {.path = "rows", .type = "chat_template"},
            R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}]})");
  EXPECT_TRUE(empty.empty_target);
  EXPECT_FALSE(empty.lost_turn);
  EXPECT_EQ(targets(tokenizer, empty), "");
}

TEST(ChatShape, EndOfTurnTokensBesideEos) {
  const Tokenizer tokenizer = testing::tokenizer("smollm");
  DatasetSource source{.path = "rows", .type = "chat_template"};
  source.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>\n{% endfor %}";
  const auto shape = make_shape(tokenizer, source, {.eot_tokens = {"<|endoftext|>"}});
  EXPECT_EQ(targets(tokenizer, shape->apply({.columns = Json::parse(kTalk, "row")})), "[ ho<|endoftext|>]");
  expect_error(ErrorKind::usage, "eot_tokens", [&] { make_shape(tokenizer, source, {.eot_tokens = {"<|none|>"}}); });
}

TEST(ChatShape, SaysWhatIsWrong) {
  const Tokenizer tokenizer = testing::tokenizer("smollm", kChatMl);
  const auto apply_text = [&](const char* row) {
    return [&, row] { apply(tokenizer, {.path = "rows", .type = "chat_template"}, row); };
  };
  expect_error(ErrorKind::format, "messages: missing column (found columns text)", apply_text(R"({"text": ""})"));
  expect_error(ErrorKind::format, "messages: a conversation without messages", apply_text(R"({"messages": []})"));
  expect_error(ErrorKind::format, "messages[0]: a message without a role (expected role, found keys from, content)",
               apply_text(R"({"messages": [{"from": "user", "content": "a"}]})"));
  expect_error(ErrorKind::format, "messages[1]: a message without content",
               apply_text(R"({"messages": [{"role": "user", "content": "a"}, {"role": "user", "text": "a"}]})"));
  expect_error(ErrorKind::format, "messages: wrong type", apply_text(R"({"messages": 7})"));
  expect_error(ErrorKind::format, "messages[0]: wrong type", apply_text(R"({"messages": ["a"]})"));
  expect_error(ErrorKind::not_found, "chat_template",
               [&] { make_shape(testing::tokenizer("smollm"), {.path = "rows", .type = "sharegpt"}, {}); });
  EXPECT_NO_THROW(make_shape(testing::tokenizer("smollm"), {.path = "rows", .type = "sharegpt"},
                             {.chat_template = "tokenizer_default_fallback_chatml"}));
}

TEST(ChatShape, RealTemplateWithItsDefaultSystemMessage) {
  const char* path = std::getenv("POWERHOUSE_TEST_MODEL");
  if (path == nullptr) GTEST_SKIP() << "SKIPPED: set POWERHOUSE_TEST_MODEL to SmolLM2-135M-Instruct.Q4_1.gguf";
  const Tokenizer tokenizer = Tokenizer::from_pretrained(path);
  const char* row = R"({"messages": [{"role": "user", "content": "What is 2 + 2?"},
      {"role": "assistant", "content": "It is 4."}, {"role": "user", "content": "Danke schön!"},
      {"role": "assistant", "content": "Gern geschehen 世界.\n"}]})";
  DatasetSource source{.path = "rows", .type = "chat_template"};
  const auto made = apply(tokenizer, source, row);
  EXPECT_EQ(targets(tokenizer, made), "[It is 4.<|im_end|>][Gern geschehen 世界.\n<|im_end|>]");
  EXPECT_TRUE(tokenizer.decode(made.example.input_ids).starts_with("<|im_start|>system\nYou are a helpful AI"));
  // Its own format by name marks the same with generation blocks.
  source.chat_template = "chatml";
  EXPECT_EQ(targets(tokenizer, apply(tokenizer, source, row)), targets(tokenizer, made));
}

}  // namespace
}  // namespace powerhouse::training
