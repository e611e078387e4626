// Labelled texts: what labels say, cutting, splitting, and errors with file and line.
#include "powerhouse/classification_dataset.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "temporary_folder.h"

namespace powerhouse::testing {
namespace {

class ClassificationData : public ::testing::Test {
 protected:
  ClassificationDataset open(const std::string& lines, const ClassificationDatasetOptions& options = {},
                             const std::string& name = "rows.jsonl", DatasetSource source = {}) {
    source.path = folder_.write(name, lines);
    return ClassificationDataset::open(tokenizer_, {source}, options);
  }
  static std::vector<std::vector<float>> labels_of(const ClassificationDataset& data) {
    std::vector<std::vector<float>> out;
    for (std::int64_t row = 0; row < data.size(); ++row) out.push_back(data.example(row).label);
    return out;
  }
  void refused(const std::string& words, const std::string& lines, const ClassificationDatasetOptions& options = {}) {
    expect_error(ErrorKind::format, words, [&] { open(lines, options); });
    expect_error(ErrorKind::format, "rows.jsonl", [&] { open(lines, options); });
  }

  TemporaryFolder folder_;
  Tokenizer tokenizer_ = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/training/reward/tokenizer");
};

using Labels = std::vector<std::vector<float>>;
using Names = std::vector<std::string>;

TEST_F(ClassificationData, ClassesAreNumbersNamesOrTruthValues) {
  const auto numbers = open("{\"text\":\"ab\",\"label\":2}\n{\"text\":\"c\",\"label\":0}\n");
  EXPECT_EQ(numbers.problem_type(), ProblemType::single_label_classification);
  EXPECT_EQ(numbers.labels(), (Names{"LABEL_0", "LABEL_1", "LABEL_2"}));
  EXPECT_EQ(labels_of(numbers), (Labels{{2}, {0}}));
  EXPECT_EQ(numbers.example(0).input_ids, tokenizer_.encode("ab"));
  const auto names = open("{\"text\":\"ab\",\"label\":\"spam\"}\n{\"text\":\"c\",\"label\":\"ham\"}\n");
  EXPECT_EQ(names.labels(), (Names{"ham", "spam"}));
  EXPECT_EQ(labels_of(names), (Labels{{1}, {0}}));
  const auto truth = open("{\"text\":\"ab\",\"label\":true}\n{\"text\":\"c\",\"label\":false}\n");
  EXPECT_EQ(labels_of(truth), (Labels{{1}, {0}}));
  // Names in an order of one's own, and a number among them.
  const auto ordered =
      open("{\"text\":\"ab\",\"label\":\"spam\"}\n{\"text\":\"c\",\"label\":2}\n", {.labels = {"spam", "ham", "eggs"}});
  EXPECT_EQ(labels_of(ordered), (Labels{{0}, {2}}));
  // One class alone is a choice of two.
  EXPECT_EQ(open("{\"text\":\"ab\",\"label\":0}\n").num_labels(), 2);
  EXPECT_EQ(open("{\"text\":\"ab\",\"label\":0}\n", {.num_labels = 5}).num_labels(), 5);
}

TEST_F(ClassificationData, ListsAreSeveralLabels) {
  const auto ids = open("{\"text\":\"ab\",\"labels\":[2,0]}\n{\"text\":\"c\",\"labels\":[]}\n");
  EXPECT_EQ(ids.problem_type(), ProblemType::multi_label_classification);
  EXPECT_EQ(labels_of(ids), (Labels{{1, 0, 1}, {0, 0, 0}}));
  const auto names = open("{\"text\":\"ab\",\"label\":[\"b\"]}\n{\"text\":\"c\",\"label\":[\"a\",\"b\"]}\n");
  EXPECT_EQ(names.labels(), (Names{"a", "b"}));
  EXPECT_EQ(labels_of(names), (Labels{{0, 1}, {1, 1}}));
  const auto flags = open("{\"text\":\"ab\",\"labels\":[true,false]}\n{\"text\":\"c\",\"labels\":[0.25,1.0]}\n");
  EXPECT_EQ(labels_of(flags), (Labels{{1, 0}, {0.25, 1}}));
  refused("line 2", "{\"text\":\"a\",\"labels\":[1,2]}\n{\"text\":\"b\",\"labels\":[0,1,0]}\n");  // 0 and 1 as integers
}

TEST_F(ClassificationData, NumbersWithAPointAreARegression) {
  const auto one = open("{\"text\":\"ab\",\"label\":2}\n{\"text\":\"c\",\"label\":-0.5}\n");
  EXPECT_EQ(one.problem_type(), ProblemType::regression);
  EXPECT_EQ(labels_of(one), (Labels{{2}, {-0.5}}));
  EXPECT_EQ(open("{\"text\":\"ab\",\"label\":3}\n", {.num_labels = 1}).problem_type(), ProblemType::regression);
  const auto two = open("{\"text\":\"ab\",\"label\":[1,2]}\n{\"text\":\"c\",\"label\":[3,4.5]}\n",
                        {.problem_type = ProblemType::regression});
  EXPECT_EQ(two.num_labels(), 2);
  EXPECT_EQ(labels_of(two), (Labels{{1, 2}, {3, 4.5}}));
}

TEST_F(ClassificationData, CsvHasNumbersAndListsAsText) {
  EXPECT_EQ(labels_of(open("text,label\nab,1\n\"c,d\",0\n", {}, "rows.csv")), (Labels{{1}, {0}}));
  EXPECT_EQ(open("text,label\nab,1.5\nc,0\n", {}, "rows.csv").problem_type(), ProblemType::regression);
  const auto lists = open("text,label\nab,\"[\"\"x\"\"]\"\nc,\"[\"\"y\"\",\"\"x\"\"]\"\n", {}, "rows.csv");
  EXPECT_EQ(labels_of(lists), (Labels{{1, 0}, {1, 1}}));
  // Columns of other names.
  const auto other = open("review,stars\nab,1\nc,0\n", {}, "rows.csv", {.field = "review", .field_label = "stars"});
  EXPECT_EQ(labels_of(other), (Labels{{1}, {0}}));
}

TEST_F(ClassificationData, LongTextsAreCutOrLeftOut) {
  const std::string lines = "{\"text\":\"abcdef\",\"label\":0}\n{\"text\":\"abc\",\"label\":1}\n";
  const auto start = open(lines, {.max_length = 4});
  EXPECT_EQ(start.example(0).input_ids, tokenizer_.encode("abcd"));
  EXPECT_EQ(start.report().find(RowProblem::truncated)->rows, 1);
  const auto end = open(lines, {.max_length = 4, .truncation_mode = TruncationMode::keep_end});
  EXPECT_EQ(end.example(0).input_ids, tokenizer_.encode("cdef"));
  const auto dropped = open(lines, {.max_length = 4, .truncation_mode = TruncationMode::drop});
  ASSERT_EQ(dropped.size(), 1);
  EXPECT_EQ(labels_of(dropped), (Labels{{1}}));
  EXPECT_EQ(dropped.report().find(RowProblem::too_long)->rows, 1);
  EXPECT_NE(start.fingerprint(), end.fingerprint());
}

TEST_F(ClassificationData, EqualTextsAreOnOneSide) {
  std::string lines;
  for (int i = 0; i < 60; ++i) {
    lines += "{\"text\":\"row " + std::to_string(i / 2) + "\",\"label\":" + std::to_string(i % 3) + "}\n";
  }
  const auto data = open(lines, {.val_set_size = 0.3});
  EXPECT_EQ(data.train().size() + data.validation().size(), 60);
  ASSERT_GT(data.validation().size(), 0);
  EXPECT_EQ(data.validation().size() % 2, 0);
  EXPECT_EQ(data.train().labels(), data.validation().labels());
  EXPECT_NE(data.train().fingerprint(), data.validation().fingerprint());
  EXPECT_EQ(data.place(3).line, 4);
}

TEST_F(ClassificationData, BadRowsAreErrorsWithTheirLine) {
  const std::string good = "{\"text\":\"a\",\"label\":1}\n";
  refused("line 2", good + "{\"text\":\"b\"}\n");
  refused("label", good + "{\"text\":\"b\"}\n");
  refused("line 2", good + "{\"text\":\"b\",\"label\":null}\n");
  refused("line 2", good + "{\"text\":\"b\",\"label\":{\"x\":1}}\n");
  refused("line 2", good + "{\"text\":\"b\",\"label\":\"\"}\n");
  refused("line 2", good + "{\"text\":\"b\",\"label\":-1}\n");
  refused("line 2", good + "{\"text\":\"b\",\"label\":3}\n", {.num_labels = 3});
  refused("line 1", good + "{\"text\":\"b\",\"label\":\"spam\"}\n");  // a number among names
  refused("line 2", good + "{\"text\":\"b\",\"label\":\"spam\"}\n", {.labels = {"ham", "eggs"}});
  refused("line 2", good + "{\"text\":\"b\",\"label\":0.5}\n",
          {.problem_type = ProblemType::single_label_classification});
  refused("line 2", "{\"text\":\"a\",\"label\":0.5}\n{\"text\":\"b\",\"label\":\"much\"}\n",
          {.problem_type = ProblemType::regression});
  refused("line 2", "{\"text\":\"a\",\"label\":[0.5]}\n{\"text\":\"b\",\"label\":[0.5,1.0]}\n",
          {.problem_type = ProblemType::regression});
  refused("line 2", "{\"text\":\"a\",\"label\":[0.5]}\n{\"text\":\"b\",\"label\":[1.5]}\n");
  refused("line 2", good + "{\"text\":7,\"label\":1}\n");
  refused("line 1", "{\"text\":\"a\",\"label\":[1]}\n", {.problem_type = ProblemType::single_label_classification});
  refused("line 1", "{\"text\":\"a\",\"label\":9999999999}\n");
  expect_error(ErrorKind::usage, "labels", [&] { open(good, {.labels = {"a", "a"}}); });
  expect_error(ErrorKind::usage, "num_labels", [&] { open(good, {.labels = {"a", "b"}, .num_labels = 3}); });
  expect_error(ErrorKind::usage, "num_labels",
               [&] { open(good, {.num_labels = 1, .problem_type = ProblemType::single_label_classification}); });
  expect_error(ErrorKind::usage, "max_length", [&] { open(good, {.max_length = -1}); });
}

}  // namespace
}  // namespace powerhouse::testing
