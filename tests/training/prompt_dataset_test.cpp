// Prompts to answer: rows as texts or messages, their other columns, and rows that are none.
#include "powerhouse/prompt_dataset.h"

#include <map>

#include "expect_error.h"
#include "training/trainer_fixture.h"

namespace powerhouse::testing {
namespace {

using PromptDatasetTest = TrainerTest;

TEST_F(PromptDatasetTest, PromptsKeepTheirOtherColumns) {
  std::string lines;
  for (int i = 0; i < 10; ++i) {
    const std::string letter(1, static_cast<char>('a' + i % 5));
    lines += R"({"prompt": "say )" + letter + std::to_string(i) + R"(:", "letter": ")" + letter +
             "\", \"number\": " + std::to_string(i) + "}\n";
  }
  const PromptDataset data =
      PromptDataset::open(tokenizer_, {{.path = folder_.write("prompts.jsonl", lines)}}, {.val_set_size = 3});
  EXPECT_EQ(data.train().size(), 7);
  EXPECT_EQ(data.validation().size(), 3);
  const Prompt prompt = data.prompt(6);
  EXPECT_EQ(prompt.text, "say b6:");
  EXPECT_EQ(prompt.ids, tokenizer_.encode("say b6:"));
  EXPECT_EQ(prompt.columns, (std::map<std::string, std::string>{{"letter", "b"}, {"number", "6"}}));
  EXPECT_FALSE(prompt.conversational);
  EXPECT_EQ(data.prompt(6).ids, prompt.ids);
  EXPECT_NE(data.fingerprint(), data.train().fingerprint());
  expect_error(ErrorKind::range, "", [&] { data.prompt(10); });
}

TEST_F(PromptDatasetTest, EachFileOfPromptsHasItsOwnTemplate) {
  const std::string row = "{\"prompt\": [{\"role\": \"user\", \"content\": \"say\"}]}\n";
  const auto source = [&](const std::string& name, const std::string& chat_template) {
    return DatasetSource{.path = folder_.write(name, row), .chat_template = chat_template};
  };
  const PromptDataset data =
      PromptDataset::open(tokenizer_, {source("one.jsonl", "{{ 'one ' + messages[0].content }}"),
                                       source("two.jsonl", "{{ 'two ' + messages[0].content }}")});
  EXPECT_EQ(data.prompt(0).ids, tokenizer_.encode("one say"));
  EXPECT_EQ(data.prompt(1).ids, tokenizer_.encode("two say"));
}

TEST_F(PromptDatasetTest, PromptsThatAreNoneAreNamed) {
  const auto open = [&](const std::string& lines, PromptDatasetOptions options = {}) {
    return PromptDataset::open(tokenizer_, {{.path = folder_.write("bad.jsonl", lines)}}, options);
  };
  expect_error(ErrorKind::format, "line 1: prompt", [&] { open("{\"question\": \"a\"}\n"); });
  expect_error(ErrorKind::format, "line 2: prompt", [&] { open("{\"prompt\": \"a\"}\n{\"prompt\": \"\"}\n"); });
  expect_error(ErrorKind::format, "line 1: prompt", [&] { open("{\"prompt\": 3}\n"); });
  expect_error(ErrorKind::usage, "", [&] { open("{\"prompt\": \"a\"}\n", {.max_prompt_length = -1}); });
  const PromptDataset cut = open("{\"prompt\": \"abc\"}\n{\"prompt\": \"abcdef\"}\n", {.max_prompt_length = 4});
  EXPECT_EQ(cut.size(), 1);
  EXPECT_NE(cut.report().find(RowProblem::too_long), nullptr);
}

}  // namespace
}  // namespace powerhouse::testing
