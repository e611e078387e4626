// alpaca, completion, input_output and prompt_completion: ids and labels against Axolotl's and TRL's.
#include <gtest/gtest.h>

#include "data_fixtures.h"
#include "expect_error.h"
#include "training/data/packing.h"
#include "training/data/shape.h"

namespace powerhouse::training {
namespace {

using powerhouse::testing::expect_error;
using powerhouse::testing::integers;
using powerhouse::testing::oracle;
using Ids = std::vector<std::int64_t>;

ShapedRow apply(const Tokenizer& tokenizer, const std::string& type, const Json& row, bool train_on_inputs) {
  const auto shape = make_shape(tokenizer, {.path = "rows", .type = type}, {.train_on_inputs = train_on_inputs});
  return shape->apply({.columns = row});
}

TEST(PlainShapes, AreThoseOfAxolotl) {
  const auto& cases = oracle().at("axolotl_plain").as_array();
  ASSERT_GT(cases.size(), 30u);
  for (const Json& test : cases) {
    const std::string type = test.at("type").as_string();
    const auto made = apply(testing::tokenizer(test.at("tokenizer").as_string()), type, test.at("row"),
                            test.at("train_on_inputs").as_bool());
    // Axolotl cuts completions to 16 tokens here.
    Ids ids, labels;
    for (const Json& piece : test.at("ids").as_array()) {
      for (const std::int64_t id : integers(piece)) ids.push_back(id);
    }
    for (const Json& piece : test.at("labels").as_array()) {
      for (const std::int64_t label : integers(piece)) labels.push_back(label);
    }
    EXPECT_EQ(made.example.input_ids, ids) << test.at("row").dump();
    EXPECT_EQ(made.example.labels, labels) << test.at("row").dump();
    if (type == "completion") {
      EXPECT_EQ(cut_rows(std::vector<std::int64_t>{static_cast<std::int64_t>(ids.size())}, 16).size(),
                test.at("ids").as_array().size());
    }
  }
}

TEST(PlainShapes, SayWhatIsMissing) {
  const Tokenizer tokenizer = testing::tokenizer("smollm");
  const auto apply_text = [&](const std::string& type, const char* row) {
    return [&, type, row] { apply(tokenizer, type, Json::parse(row, "row"), false); };
  };
  expect_error(ErrorKind::format, "output: missing column (found columns instruction, answer)",
               apply_text("alpaca", R"({"instruction": "a", "answer": "b"})"));
  expect_error(ErrorKind::format, "output: missing column",
               apply_text("alpaca", R"({"instruction": "a", "output": null})"));
  expect_error(ErrorKind::format, "instruction: wrong type (expected text",
               apply_text("alpaca", R"({"instruction": 7, "output": "b"})"));
  expect_error(ErrorKind::format, "segments: wrong type", apply_text("input_output", R"({"segments": 1})"));
  expect_error(ErrorKind::format, "label", apply_text("input_output", R"({"segments": [{"text": "a"}]})"));
  expect_error(ErrorKind::format, "completion: missing column", apply_text("prompt_completion", R"({"prompt": "a"})"));
  expect_error(ErrorKind::usage, "expected alpaca, sharegpt", apply_text("alpaka", "{}"));
}

TEST(PlainShapes, AreToldFromTheColumns) {
  const auto detect = [](const char* row) { return detect_shape(Json::parse(row, "row"), "rows"); };
  EXPECT_EQ(detect(R"({"instruction": "", "input": "", "output": ""})"), "alpaca");
  EXPECT_EQ(detect(R"({"messages": []})"), "chat_template");
  EXPECT_EQ(detect(R"({"conversations": [{"from": "human", "value": ""}]})"), "sharegpt");
  EXPECT_EQ(detect(R"({"conversations": [{"role": "user", "content": ""}]})"), "chat_template");
  EXPECT_EQ(detect(R"({"prompt": "", "completion": ""})"), "prompt_completion");
  EXPECT_EQ(detect(R"({"segments": []})"), "input_output");
  EXPECT_EQ(detect(R"({"text": ""})"), "completion");
  expect_error(ErrorKind::format, "columns question, answer", [&] { detect(R"({"question": "", "answer": ""})"); });
}

TEST(PromptCompletion, IsThatOfTrl) {
  std::size_t compared = 0;
  for (const Json& test : oracle().at("trl").as_array()) {
    if (test.at("row").get("prompt") == nullptr) continue;
    const Tokenizer tokenizer = testing::tokenizer(test.at("tokenizer").as_string(), test.at("template").as_string());
    const auto made = apply(tokenizer, "prompt_completion", test.at("row"), test.at("train_on_inputs").as_bool());
    EXPECT_EQ(made.example.input_ids, integers(test.at("ids"))) << test.at("row").dump();
    EXPECT_EQ(made.example.labels, integers(test.at("labels"))) << test.at("row").dump();
    ++compared;
  }
  EXPECT_GT(compared, 50u);
}

TEST(PlainShapes, EmptyAnswersTrainNothing) {
  const Tokenizer tokenizer = testing::tokenizer("smollm");
  for (const auto& [type, row] :
       {std::pair{"alpaca", R"({"instruction": "a", "output": ""})"},
        std::pair{"prompt_completion", R"({"prompt": "a", "completion": ""})"},
        std::pair{"input_output", R"({"segments": [{"label": false, "text": "a"}, {"label": true, "text": ""}]})"},
        std::pair{"completion", R"({"text": ""})"}}) {
    const auto made = apply(tokenizer, type, Json::parse(row, "row"), false);
    EXPECT_TRUE(made.empty_target) << type;
    for (const std::int64_t label : made.example.labels) EXPECT_EQ(label, kIgnoredTarget) << type;
  }
}

}  // namespace
}  // namespace powerhouse::training
