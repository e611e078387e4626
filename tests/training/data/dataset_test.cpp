// Dataset: reports with file and line, filters, long rows, splits, and rows that are tokenized again.
#include "powerhouse/dataset.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "data_fixtures.h"
#include "expect_error.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

std::string alpaca(const std::string& instruction, const std::string& output) {
  JsonObject row;
  row["instruction"] = instruction;
  row["output"] = output;
  return Json(std::move(row)).dump() + "\n";
}

// The text of each row of a dataset, by decoding.
std::multiset<std::string> texts(const Tokenizer& tokenizer, const Dataset& dataset) {
  std::multiset<std::string> out;
  for (std::int64_t row = 0; row < dataset.size(); ++row) out.insert(tokenizer.decode(dataset.example(row).input_ids));
  return out;
}

class DatasetTest : public ::testing::Test {
 protected:
  Dataset open(const std::string& name, std::string_view bytes, const DatasetOptions& options = {},
               DatasetSource source = {}) {
    source.path = folder_.write(name, bytes);
    return Dataset::open(tokenizer_, {source}, options);
  }
  TemporaryFolder folder_;
  Tokenizer tokenizer_ = testing::tokenizer("smollm");
};

TEST_F(DatasetTest, ReportsProblemsWithFileAndLine) {
  std::string long_answer;
  for (int i = 0; i < 400; ++i) long_answer += " word" + std::to_string(i);
  const std::string rows =
      alpaca("a", "one") + "\n" + alpaca("b", "") + alpaca("a", "one") + alpaca("c", long_answer) + alpaca("d", "two");
  const Dataset data = open("rows.jsonl", rows, {.sequence_len = 256});
  const DatasetReport& report = data.report();
  EXPECT_EQ(report.rows, 5);
  EXPECT_EQ(report.usable_rows, 3);
  EXPECT_EQ(data.size(), 3);
  const std::map<RowProblem, std::int64_t> lines = {
      {RowProblem::empty_target, 3}, {RowProblem::duplicate, 4}, {RowProblem::too_long, 5}};
  EXPECT_EQ(report.problems.size(), lines.size());
  for (const auto& [problem, line] : lines) {
    const ProblemRows* found = report.find(problem);
    ASSERT_NE(found, nullptr) << to_string(problem);
    EXPECT_EQ(found->rows, 1);
    EXPECT_EQ(found->examples, (std::vector<RowPlace>{{folder_.file("rows.jsonl"), line}})) << to_string(problem);
  }
  EXPECT_NE(report.text().find("too long, left out: 1 row (" + folder_.file("rows.jsonl") + ":5)"), std::string::npos)
      << report.text();
  std::int64_t tokens = 0, targets = 0;
  for (std::int64_t row = 0; row < data.size(); ++row) {
    const TrainingExample example = data.example(row);
    tokens += static_cast<std::int64_t>(example.input_ids.size());
    for (const std::int64_t label : example.labels) targets += label != kIgnoredTarget;
  }
  EXPECT_EQ(report.tokens, tokens);
  EXPECT_EQ(report.target_tokens, targets);
  EXPECT_EQ(data.place(2).line, 6);
}

TEST_F(DatasetTest, LengthsAreNearestRankPercentiles) {
  // One letter a token, without EOS added behind: the segments are taken as they are.
  std::string rows;
  for (int i = 1; i <= 100; ++i) {
    std::string digits;
    for (int k = 0; k < i + 1; ++k) digits += static_cast<char>('0' + k % 10);
    rows += R"({"segments": [{"label": true, "text": ")" + digits + "\"}]}\n";
  }
  const DatasetReport report = open("rows.jsonl", rows, {.sequence_len = 1000}).report();
  EXPECT_EQ(report.lengths.min, 2);
  EXPECT_EQ(report.lengths.p50, 51);
  EXPECT_EQ(report.lengths.p90, 91);
  EXPECT_EQ(report.lengths.p95, 96);
  EXPECT_EQ(report.lengths.p99, 100);
  EXPECT_EQ(report.lengths.max, 101);
  EXPECT_DOUBLE_EQ(report.lengths.mean, 51.5);
  EXPECT_EQ(testing::rows_with(report, RowProblem::missing_eos), 100);
}

TEST_F(DatasetTest, LongRowsByStrategy) {
  const std::string digits(50, '7');
  const std::string row =
      R"({"segments": [{"label": false, "text": "123"}, {"label": true, "text": ")" + digits + "\"}]}\n";
  const auto with = [&](ExcessLength strategy, std::int64_t length) {
    return open("rows.jsonl", row, {.sequence_len = length, .excess_length_strategy = strategy});
  };
  EXPECT_EQ(with(ExcessLength::drop, 53).size(), 1);
  EXPECT_EQ(with(ExcessLength::drop, 52).size(), 0);
  const Dataset truncated = with(ExcessLength::truncate, 20);
  EXPECT_EQ(truncated.example(0).input_ids.size(), 20u);
  EXPECT_EQ(truncated.example(0).labels.size(), 20u);
  EXPECT_EQ(truncated.report().tokens, 20);
  EXPECT_EQ(truncated.report().target_tokens, 17);
  EXPECT_EQ(testing::rows_with(truncated.report(), RowProblem::truncated), 1);
  // Cut before the first target: nothing is left to learn.
  EXPECT_EQ(testing::rows_with(with(ExcessLength::truncate, 3).report(), RowProblem::no_targets), 1);
  const Dataset split = with(ExcessLength::split, 20);
  EXPECT_EQ(split.report().tokens, 53);
  EXPECT_EQ(split.report().target_tokens, 17 + 19 + 12);
  EXPECT_EQ(testing::rows_with(split.report(), RowProblem::cut_up), 1);
  expect_error(ErrorKind::range,
               "rows.jsonl: line 1: a row longer than the sequence (expected at most 52 tokens, found 53",
               [&] { with(ExcessLength::raise, 52); });
  // Completion rows are cut up where others are left out.
  const Dataset text = open("a.jsonl", "{\"text\": \"" + digits + "\"}\n", {.sequence_len = 20});
  EXPECT_EQ(text.size(), 1);
  EXPECT_EQ(testing::rows_with(text.report(), RowProblem::cut_up), 1);
  EXPECT_EQ(testing::rows_with(text.report(), RowProblem::missing_eos), 0);
}

TEST_F(DatasetTest, FiltersByLengthAndKeepsTheLongest) {
  std::string rows;
  for (int i = 0; i < 20; ++i)
    rows +=
        R"({"segments": [{"label": true, "text": ")" + std::string(static_cast<std::size_t>(i + 1), '3') + "\"}]}\n";
  const Dataset filtered = open("a.jsonl", rows, {.min_tokens = 5, .max_tokens = 15});
  EXPECT_EQ(filtered.size(), 11);
  EXPECT_EQ(testing::rows_with(filtered.report(), RowProblem::too_short), 4);
  EXPECT_EQ(testing::rows_with(filtered.report(), RowProblem::filtered), 5);
  const Dataset longest = open("b.jsonl", rows, {.max_tokens = 18, .longest_rows = 3});
  ASSERT_EQ(longest.size(), 3);
  for (std::int64_t row = 0; row < 3; ++row) EXPECT_EQ(longest.place(row).line, 16 + row);
}

TEST_F(DatasetTest, DoubledBosIsSeen) {
  const std::string rows = R"({"segments": [{"label": true, "text": "<|im_start|><|im_start|>a<|im_end|>"}]})";
  EXPECT_EQ(testing::rows_with(open("a.jsonl", rows).report(), RowProblem::doubled_bos), 1);
}

TEST_F(DatasetTest, SplitsAreDisjointSeededAndStableUnderGrowth) {
  const std::string few = testing::alpaca_lines(300), many = testing::alpaca_lines(600);
  const auto sides = [&](const std::string& rows, double size, std::uint64_t seed) {
    const Dataset data = open("rows.jsonl", rows, {.val_set_size = size, .seed = seed});
    return std::pair{texts(tokenizer_, data.train()), texts(tokenizer_, data.validation())};
  };
  const auto [train, held] = sides(few, 0.1, 42);
  EXPECT_EQ(train.size() + held.size(), 300u);
  EXPECT_NEAR(static_cast<double>(held.size()), 30, 15);
  for (const std::string& text : held) EXPECT_EQ(train.count(text), 0u);
  const auto [more_train, more_held] = sides(many, 0.1, 42);
  for (const std::string& text : held) EXPECT_EQ(more_held.count(text), 1u);
  for (const std::string& text : train) EXPECT_EQ(more_train.count(text), 1u);
  EXPECT_NE(sides(few, 0.1, 43).second, held);
  // A number of rows: exactly that many, and growth never moves a row to the side that is held back.
  const auto [train_of_count, held_of_count] = sides(few, 25, 42);
  EXPECT_EQ(held_of_count.size(), 25u);
  for (const std::string& text : sides(many, 25, 42).second) EXPECT_EQ(train_of_count.count(text), 0u);
  // However few rows there are, validation is never empty where it was asked for.
  EXPECT_EQ(sides(testing::alpaca_lines(3), 0.01, 42).second.size(), 1u);
  EXPECT_EQ(open("rows.jsonl", few).validation().size(), 0);
  EXPECT_EQ(open("rows.jsonl", few).train().size(), 300);
}

TEST_F(DatasetTest, EqualRowsAndGroupsStayTogether) {
  std::string rows;
  for (int i = 0; i < 200; ++i) rows += alpaca("question " + std::to_string(i / 4), "answer");
  const Dataset data = open("rows.jsonl", rows, {.val_set_size = 0.3});
  const auto train = texts(tokenizer_, data.train());
  for (const std::string& text : texts(tokenizer_, data.validation())) EXPECT_EQ(train.count(text), 0u);
  EXPECT_EQ(testing::rows_with(data.report(), RowProblem::duplicate), 150);

  std::string grouped;
  for (int i = 0; i < 200; ++i) {
    grouped += R"({"author": "a)" + std::to_string(i % 20) + R"(", "instruction": "q)" + std::to_string(i) +
               R"(", "output": "x"})" + "\n";
  }
  const Dataset by_author = open("grouped.jsonl", grouped, {.val_set_size = 0.3, .group_field = "author"});
  std::map<std::int64_t, int> sides;  // author: bit 0 train, bit 1 validation
  for (std::int64_t i = 0; i < by_author.train().size(); ++i) sides[(by_author.train().place(i).line - 1) % 20] |= 1;
  for (std::int64_t i = 0; i < by_author.validation().size(); ++i)
    sides[(by_author.validation().place(i).line - 1) % 20] |= 2;
  EXPECT_EQ(sides.size(), 20u);
  for (const auto& [author, side] : sides) EXPECT_NE(side, 3) << author;
}

TEST_F(DatasetTest, ContaminationIsThirteenWordsInARow) {
  const std::string thirteen = "The quick brown fox jumps over the lazy dog and then it sleeps";
  const std::string twelve = "Some other words that stand in both rows but are only twelve";
  std::string rows = alpaca("first", thirteen + " well") + alpaca("second", "so " + twelve + ", yes");
  for (int i = 0; i < 60; ++i)
    rows += alpaca("filler " + std::to_string(i),
                   i % 2 == 0 ? "aha: the QUICK brown fox, jumps over the lazy dog and then it sleeps!" : twelve);
  const Dataset data = open("rows.jsonl", rows, {.val_set_size = 0.3, .check_contamination = true});
  // Every even filler row on the side held back shares the sentence with those that are not.
  std::int64_t expected = 0;
  const Dataset held = data.validation();
  for (std::int64_t i = 0; i < held.size(); ++i) {
    const std::int64_t line = held.place(i).line;
    expected += line == 1 || (line > 2 && line % 2 == 1);
  }
  ASSERT_GT(expected, 0);
  ASSERT_LT(expected, held.size());
  EXPECT_EQ(testing::rows_with(held.report(), RowProblem::contaminated), expected);
  EXPECT_EQ(testing::rows_with(data.train().report(), RowProblem::contaminated), 0);
}

TEST_F(DatasetTest, RowsAreTheSameFromMemoryAndReadAgain) {
  const std::string rows = testing::alpaca_lines(300);
  const Dataset kept = open("rows.jsonl", rows);
  for (const std::int64_t memory : {0, 5000}) {
    const Dataset again = open("rows.jsonl", rows, {.token_memory = memory});
    ASSERT_EQ(again.size(), kept.size());
    EXPECT_EQ(again.fingerprint(), kept.fingerprint());
    for (std::int64_t row = 0; row < kept.size(); ++row) {
      EXPECT_EQ(again.example(row).input_ids, kept.example(row).input_ids);
      EXPECT_EQ(again.example(row).labels, kept.example(row).labels);
    }
  }
  EXPECT_NE(open("rows.jsonl", testing::alpaca_lines(299)).fingerprint(), kept.fingerprint());
  EXPECT_NE(open("rows.jsonl", rows, {.train_on_inputs = true}).fingerprint(), kept.fingerprint());
}

TEST_F(DatasetTest, SourcesOfSeveralFormatsFollowEachOther) {
  const std::vector<DatasetSource> sources = {
      {.path = folder_.write("a.csv", "instruction,input,output\nq,,\"a, b\"\n")},
      {.path = folder_.write("b.json", "[{\"text\": \"some text\"}]")},
      {.path = folder_.write("c.txt", "line one\nline two\n"), .text_documents = TextDocuments::lines},
      {.path = folder_.write("d.jsonl", R"({"prompt": "p", "completion": "c"})")}};
  const Dataset data = Dataset::open(tokenizer_, sources);
  ASSERT_EQ(data.size(), 5);
  EXPECT_EQ(data.place(3), (RowPlace{folder_.file("c.txt"), 2}));
  EXPECT_EQ(tokenizer_.decode(data.example(3).input_ids), "line two<|im_end|>");
  EXPECT_EQ(tokenizer_.decode(data.example(4).input_ids), "pc<|im_end|>");
}

TEST_F(DatasetTest, BadRowsAreErrorsWithFileAndLine) {
  const std::string good = testing::alpaca_lines(3000);
  expect_error(ErrorKind::format, "bad.jsonl: line 3001: invalid JSON",
               [&] { open("bad.jsonl", good + "{\"instruction\": \n"); });
  expect_error(
      ErrorKind::format, "bad.jsonl: line 3001: output: missing column (found columns instruction, ouput)",
      [&] { open("bad.jsonl", good + "{\"instruction\": \"a\", \"ouput\": \"b\"}\n" + alpaca("c", "d") + "{}"); });
  expect_error(ErrorKind::format, "bad.jsonl: line 2: output: wrong type (expected text, found",
               [&] { open("bad.jsonl", alpaca("c", "d") + "{\"instruction\": \"a\", \"output\": 3}\n"); });
  expect_error(ErrorKind::format, "line 1: who: missing column",
               [&] { open("bad.jsonl", good, {.val_set_size = 0.1, .group_field = "who"}); });
  expect_error(ErrorKind::format, "bad.jsonl: type: no type fits", [&] { open("bad.jsonl", "{\"a\": 1}"); });
  expect_error(ErrorKind::usage, "sequence_len", [&] { open("bad.jsonl", good, {.sequence_len = 1}); });
  expect_error(ErrorKind::usage, "no data", [&] { Dataset::open(tokenizer_, {}); });
  expect_error(ErrorKind::range, "no such row", [&] { open("good.jsonl", good).example(3000); });
}

}  // namespace
}  // namespace powerhouse
