// PreferenceDataset: ids, cuts and KTO's mismatched completions against TRL's own preparation and collators, Axolotl's
// types in front of TRL (tests/oracles/preference_data.py); reports, splits and errors.
#include "powerhouse/preference_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data_fixtures.h"
#include "expect_error.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

const Json& preferences() {
  static const Json json = Json::parse_file(POWERHOUSE_FIXTURES "/training/preferences.json");
  return json;
}

std::string lines_of(const Json& rows) {
  std::string out;
  for (const Json& row : rows.as_array()) out += row.dump() + "\n";
  return out;
}

void expect_sequence(const PreferenceSequence& ours, const Json& theirs) {
  EXPECT_EQ(ours.input_ids, testing::integers(theirs.at("ids")));
  const std::vector<std::int64_t> completion = testing::integers(theirs.at("completion"));
  std::vector<std::int64_t> mask(static_cast<std::size_t>(ours.prompt_tokens), 0);
  mask.resize(ours.input_ids.size(), 1);
  EXPECT_EQ(mask, completion);
}

class PreferenceDatasetTest : public ::testing::Test {
 protected:
  PreferenceDataset open(std::string_view bytes, const PreferenceDatasetOptions& options = {},
                         DatasetSource source = {}) {
    source.path = folder_.write("rows.jsonl", bytes);
    return PreferenceDataset::open(tokenizer_, {source}, options);
  }
  TemporaryFolder folder_;
  Tokenizer tokenizer_ = testing::tokenizer("smollm");
};

PreferenceDatasetOptions options_of(const Json& test) {
  PreferenceDatasetOptions options{.max_length = test.at("max_length").as_integer(),
                                   .unpaired = test.get("labelled") != nullptr};
  if (test.at("mode").as_string() == "keep_end") options.truncation_mode = TruncationMode::keep_end;
  const std::string& name = test.at("template").as_string();
  if (!name.empty()) options.chat_template = preferences().at("templates").at(name).as_string();
  return options;
}

// A row that a pair came from, or half a pair: TRL's rows of halves are numbered as the pairs are.
void expect_labelled(const PreferenceDataset& data, const Json& rows) {
  ASSERT_EQ(data.size(), static_cast<std::int64_t>(rows.as_array().size()));
  for (std::int64_t i = 0; i < data.size(); ++i) {
    const Json& row = rows.as_array()[static_cast<std::size_t>(i)];
    SCOPED_TRACE("row " + std::to_string(i));
    EXPECT_EQ(data.place(i).line, row.at("row").as_integer() + 1);
    EXPECT_EQ(data.desirable(i), row.at("label").as_bool());
    expect_sequence(data.completion(i), row.at("completion"));
    const std::int64_t last = std::min(i / 2 * 2 + 1, data.size() - 1);  // of TRL's batch of two
    expect_sequence(data.mismatched(i, i % 2 == 0 ? last : i - 1), row.at("mismatched"));
  }
}

void expect_pairs(const PreferenceDataset& data, const Json& rows) {
  ASSERT_EQ(data.size(), static_cast<std::int64_t>(rows.as_array().size()));
  for (std::int64_t i = 0; i < data.size(); ++i) {
    const Json& row = rows.as_array()[static_cast<std::size_t>(i)];
    SCOPED_TRACE("row " + std::to_string(i));
    EXPECT_EQ(data.place(i).line, row.at("row").as_integer() + 1);
    const PreferencePair pair = data.pair(i);
    expect_sequence(pair.chosen, row.at("chosen"));
    expect_sequence(pair.rejected, row.at("rejected"));
  }
}

// tests/oracles/preference_bos_eos.py: plain texts get BOS, templated ones a second end.
TEST_F(PreferenceDatasetTest, TheSequencesOfTrlsOrpo) {
  const Json cases = Json::parse_file(POWERHOUSE_FIXTURES "/training/preferences_bos_eos.json");
  for (const Json& test : cases.at("cases").as_array()) {
    SCOPED_TRACE(test.at("tokenizer").as_string() + " " + test.at("template").as_string());
    tokenizer_ = testing::tokenizer(test.at("tokenizer").as_string());
    PreferenceDatasetOptions options = options_of(test);
    const std::string plain = open(lines_of(test.at("data")), options).fingerprint();
    options.bos_and_eos = true;
    const PreferenceDataset data = open(lines_of(test.at("data")), options);
    expect_pairs(data, test.at("pairs"));
    EXPECT_NE(data.fingerprint(), plain);
  }
}

TEST_F(PreferenceDatasetTest, TheSequencesOfTrl) {
  std::map<std::string, Tokenizer> tokenizers;
  for (const char* name : {"smollm", "llama3"}) tokenizers.emplace(name, testing::tokenizer(name));
  std::int64_t number = 0;
  for (const Json& test : preferences().at("cases").as_array()) {
    SCOPED_TRACE("case " + std::to_string(number++) + " " + test.at("tokenizer").as_string() + " " +
                 test.at("template").as_string() + " " + test.at("mode").as_string() + " " +
                 test.at("max_length").dump());
    tokenizer_ = tokenizers.at(test.at("tokenizer").as_string());
    for (const std::int64_t memory : {std::int64_t{1} << 30, std::int64_t{0}}) {  // kept, or tokenized again
      PreferenceDatasetOptions options = options_of(test);
      options.token_memory = memory;
      const PreferenceDataset data = open(lines_of(test.at("data")), options);
      if (const Json* rows = test.get("pairs")) expect_pairs(data, *rows);
      if (const Json* rows = test.get("labelled")) expect_labelled(data, *rows);
    }
  }
}

DatasetSource source_of(const Json& json) {
  DatasetSource source{.type = json.at("type").as_string()};
  source.field_messages = json.string_or("field_messages", "");
  source.field_chosen = json.string_or("field_chosen", "chosen");
  source.field_rejected = json.string_or("field_rejected", "rejected");
  if (const Json* mappings = json.get("message_property_mappings")) {
    for (const auto& [key, name] : mappings->as_object()) {
      source.message_property_mappings.emplace_back(key, name.as_string());
    }
  }
  if (const Json* roles = json.get("roles")) {
    for (const auto& [role, names] : roles->as_object()) {
      source.roles.emplace_back(role, std::vector<std::string>{names.as_array().front().as_string()});
    }
  }
  return source;
}

TEST_F(PreferenceDatasetTest, AxolotlsTypesInFrontOfTrl) {
  const std::string chatml = preferences().at("templates").at("chatml").as_string();
  for (const char* kind : {"axolotl_pairs", "axolotl_labelled"}) {
    const bool unpaired = std::string_view(kind) == "axolotl_labelled";
    for (const Json& test : preferences().at(kind).as_array()) {
      SCOPED_TRACE(test.at("source").dump() + test.at("data").dump());
      const PreferenceDataset data =
          open(test.at("data").dump() + "\n", {.max_length = 0, .unpaired = unpaired, .chat_template = chatml},
               source_of(test.at("source")));
      unpaired ? expect_labelled(data, test.at("rows")) : expect_pairs(data, test.at("rows"));
    }
  }
}

// Answers whose words the template writes itself in front of them, and an empty one.
TEST_F(PreferenceDatasetTest, AnswersBeginWhereTheTemplateShowsThem) {
  const PreferenceDatasetOptions options{.chat_template = preferences().at("templates").at("chatml").as_string()};
  const auto ids = [&](const std::string& row, const char* type) {
    const PreferencePair pair = open(row + "\n", options, {.type = type}).pair(0);
    return std::pair{pair.chosen.input_ids, pair.rejected.input_ids};
  };
  for (const auto& [chosen, rejected] :
       {std::pair{"user", "im"}, std::pair{"e", ""}, std::pair{"dummy", "assistant"}}) {
    const std::string alone = std::string(R"({"messages": [{"role": "user", "content": "Hi"}], "chosen": ")") + chosen +
                              R"(", "rejected": ")" + rejected + "\"}";
    const std::string whole =
        std::string(R"({"prompt": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "chosen": ")") + chosen +
        R"(<|im_end|>", "rejected": ")" + rejected + "<|im_end|>\"}";
    EXPECT_EQ(ids(alone, "chat_template.default"), ids(whole, "")) << chosen;
  }
}

TEST_F(PreferenceDatasetTest, ReportsWhatIsWrongWithPairs) {
  std::string long_text;
  for (int i = 0; i < 60; ++i) long_text += " word";
  const auto row = [](const std::string& prompt, const std::string& chosen, const std::string& rejected) {
    JsonObject out;
    out["prompt"] = prompt;
    out["chosen"] = chosen;
    out["rejected"] = rejected;
    return Json(std::move(out)).dump() + "\n";
  };
  const std::string rows = row("a", " b", " c") + row("a", " same", " same") + row(long_text, " b", " c") +
                           row("long", long_text, " c") + row("a", " b", " c") + row("", "<|im_end|>", " two words");
  const DatasetReport start = open(rows, {.max_length = 32}).report();
  EXPECT_EQ(start.rows, 6);
  EXPECT_EQ(start.usable_rows, 4);
  EXPECT_EQ(start.find(RowProblem::identical_pair)->examples.front().line, 2);
  EXPECT_EQ(start.find(RowProblem::prompt_too_long)->examples.front().line, 3);
  EXPECT_EQ(start.find(RowProblem::duplicate)->examples.front().line, 5);
  EXPECT_EQ(start.find(RowProblem::no_targets)->examples.front().line, 6);
  EXPECT_EQ(testing::rows_with(start, RowProblem::truncated), 2);
  EXPECT_EQ(testing::rows_with(start, RowProblem::prompt_truncated), 0);
  EXPECT_THAT(start.text(), HasSubstr("chosen and rejected are the same: 1 row ("));
  const DatasetReport end = open(rows, {.max_length = 32, .truncation_mode = TruncationMode::keep_end}).report();
  EXPECT_EQ(end.usable_rows, 5);
  EXPECT_EQ(testing::rows_with(end, RowProblem::prompt_truncated), 2);
}

TEST_F(PreferenceDatasetTest, RowsOfEqualPromptsAreOnOneSide) {
  std::string rows;
  for (int i = 0; i < 60; ++i) {
    rows += R"({"prompt": "question )" + std::to_string(i / 3) + R"(", "chosen": " a)" + std::to_string(i) +
            R"(", "rejected": " b"})" + "\n";
  }
  for (const bool unpaired : {false, true}) {
    const PreferenceDataset data = open(rows, {.unpaired = unpaired, .val_set_size = 0.3, .seed = 5});
    const PreferenceDataset train = data.train(), validation = data.validation();
    EXPECT_EQ(train.size() + validation.size(), data.size());
    EXPECT_EQ(data.size(), unpaired ? 120 : 60);
    EXPECT_GT(validation.size(), 0);
    std::set<std::int64_t> held;
    for (std::int64_t i = 0; i < validation.size(); ++i) held.insert((validation.place(i).line - 1) / 3);
    for (std::int64_t i = 0; i < train.size(); ++i) EXPECT_FALSE(held.contains((train.place(i).line - 1) / 3));
    EXPECT_NE(train.fingerprint(), validation.fingerprint());
  }
}

TEST_F(PreferenceDatasetTest, HalvesOfManyPairsStandInTrlsOrder) {
  std::string rows;
  for (int i = 0; i < 1003; ++i) {
    rows += R"({"prompt": "q", "chosen": " )" + std::to_string(i) + R"(", "rejected": " b"})" + "\n";
  }
  const PreferenceDataset data = open(rows, {.unpaired = true});
  ASSERT_EQ(data.size(), 2006);
  for (const auto& [row, line, label] :
       {std::tuple{0, 1, true}, std::tuple{999, 1000, true}, std::tuple{1000, 1, false}, std::tuple{1999, 1000, false},
        std::tuple{2000, 1001, true}, std::tuple{2002, 1003, true}, std::tuple{2003, 1001, false}}) {
    EXPECT_EQ(data.place(row).line, line) << row;
    EXPECT_EQ(data.desirable(row), label) << row;
  }
}

TEST_F(PreferenceDatasetTest, BadRowsNameFileAndLine) {
  const std::string good = R"({"prompt": "a", "chosen": " b", "rejected": " c"})"
                           "\n";
  const auto bad = [&](const std::string& row, const char* what, bool unpaired = false) {
    expect_error(ErrorKind::format, what, [&] { open(good + row + "\n", {.unpaired = unpaired}); });
  };
  bad(R"({"prompt": "a", "chosen": " b"})", "line 2: rejected: missing column");
  bad(R"({"prompt": "a", "chosen": " b", "rejected": null})", "line 2: rejected: missing column");
  bad(R"({"prompt": 3, "chosen": " b", "rejected": "c"})", "prompt");
  bad(R"({"prompt": "a", "chosen": [], "rejected": []})", "without messages");
  bad(R"({"prompt": [{"role": "user", "content": "a"}], "chosen": "x", "rejected": "y"})", "prompt");
  bad(R"({"prompt": "a", "chosen": " b", "rejected": " c", "margin": "much"})", "margin");
  expect_error(ErrorKind::format, "rejected", [&] { open(R"({"prompt": "a", "completion": "b", "label": true})"); });
  expect_error(ErrorKind::format, "label",
               [&] { open(R"({"prompt": "a", "completion": "b", "label": "perhaps"})", {.unpaired = true}); });
  expect_error(ErrorKind::usage, "unknown type", [&] { open(good, {}, {.type = "alpaca"}); });
  expect_error(ErrorKind::usage, "max_length", [&] { open(good, {.max_length = 1}); });
  const PreferenceDataset pairs = open(good);
  expect_error(ErrorKind::usage, "pairs", [&] { pairs.completion(0); });
  expect_error(ErrorKind::range, "no such row", [&] { pairs.pair(1); });
  EXPECT_FALSE(pairs.pair(0).margin.has_value());
  EXPECT_EQ(open(R"({"prompt": "a", "chosen": " b", "rejected": " c", "margin": 1.5})").pair(0).margin, 1.5);
}

}  // namespace
}  // namespace powerhouse
