// Rows of files: every format, where they begin, and what is said about files that break their format.
#include "training/data/record_file.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "expect_error.h"
#include "temporary_folder.h"

namespace powerhouse::training {
namespace {

using powerhouse::testing::expect_error;
using powerhouse::testing::TemporaryFolder;

class RecordFileTest : public ::testing::Test {
 protected:
  std::unique_ptr<RecordFile> open(const std::string& name, std::string_view bytes,
                                   TextDocuments documents = TextDocuments::file) {
    DatasetSource source{.path = folder_.write(name, bytes)};
    source.text_documents = documents;
    return RecordFile::open(source);
  }
  // Reads all rows and returns their columns as JSON.
  static std::vector<std::string> rows(const RecordFile& file) {
    std::vector<std::string> out;
    for (std::int64_t row = 0; row < file.rows(); ++row) out.push_back(file.read(row).columns.dump());
    return out;
  }
  static std::vector<std::int64_t> lines(const RecordFile& file) {
    std::vector<std::int64_t> out;
    for (std::int64_t row = 0; row < file.rows(); ++row) out.push_back(file.line(row));
    return out;
  }
  TemporaryFolder folder_;
};

using Rows = std::vector<std::string>;
using Lines = std::vector<std::int64_t>;

TEST_F(RecordFileTest, JsonLines) {
  const auto file = open("a.jsonl", "\xEF\xBB\xBF{\"a\": 1}\r\n\n   \n  {\"a\": \"x\\ny\"}  \n{\"b\":[{}]}");
  EXPECT_EQ(rows(*file), (Rows{R"({"a":1})", R"({"a":"x\ny"})", R"({"b":[{}]})"}));
  EXPECT_EQ(lines(*file), (Lines{1, 4, 5}));
}

TEST_F(RecordFileTest, JsonArrayAndLinesUnderThatName) {
  const auto file = open("a.json", "[\n {\"a\": \"]}\\\"{\"},\n\n {\"a\": [1,\n {\"b\": 2}]}\n]\n");
  EXPECT_EQ(rows(*file), (Rows{R"({"a":"]}\"{"})", R"({"a":[1,{"b":2}]})"}));
  EXPECT_EQ(lines(*file), (Lines{2, 4}));
  EXPECT_EQ(rows(*open("b.json", "{\"a\":1}\n{\"a\":2}\n")), (Rows{R"({"a":1})", R"({"a":2})"}));
}

TEST_F(RecordFileTest, Csv) {
  const auto file = open("a.csv",
                         "\xEF\xBB\xBFname,\"te,xt\"\r\n"
                         "one,\"a \"\"quoted\"\" word\"\r\n"
                         "\n"
                         "two,\"line 1\nline 2, still\"\n"
                         ",\n"
                         "\"\",last");
  EXPECT_EQ(rows(*file),
            (Rows{R"({"name":"one","te,xt":"a \"quoted\" word"})", R"({"name":"two","te,xt":"line 1\nline 2, still"})",
                  R"({"name":"","te,xt":""})", R"({"name":"","te,xt":"last"})"}));
  EXPECT_EQ(lines(*file), (Lines{2, 4, 6, 7}));
}

TEST_F(RecordFileTest, TextByFileParagraphAndLine) {
  const std::string text = "one\ntwo\r\n \n\n  three\nfour\n\n";
  EXPECT_EQ(rows(*open("a.txt", text)), (Rows{Json(JsonObject()).dump().insert(1, "\"text\":" + Json(text).dump())}));
  const auto paragraphs = open("b.txt", text, TextDocuments::blank_lines);
  EXPECT_EQ(rows(*paragraphs), (Rows{R"({"text":"one\ntwo"})", R"({"text":"  three\nfour"})"}));
  EXPECT_EQ(lines(*paragraphs), (Lines{1, 5}));
  const auto single = open("c.txt", text, TextDocuments::lines);
  EXPECT_EQ(rows(*single),
            (Rows{R"({"text":"one"})", R"({"text":"two"})", R"({"text":"  three"})", R"({"text":"four"})"}));
  EXPECT_EQ(lines(*single), (Lines{1, 2, 5, 6}));
}

TEST_F(RecordFileTest, LongTextsComeInPieces) {
  std::string text;
  for (int i = 0; text.size() < 400000; ++i) text += "line " + std::to_string(i) + (i % 3 == 0 ? "\n" : " é ");
  text += std::string(200000, 'x') + "世世世";
  const auto file = open("a.txt", text);
  ASSERT_GT(file->rows(), 5);
  std::string joined;
  for (std::int64_t row = 0; row < file->rows(); ++row) {
    const Record record = file->read(row);
    EXPECT_EQ(record.starts, row == 0);
    EXPECT_EQ(record.ends, row == file->rows() - 1);
    EXPECT_LT(file->bytes(row), 100u * 1024);
    joined += record.columns.at("text").as_string();
  }
  EXPECT_EQ(joined, text);
  EXPECT_EQ(
      file->line(2),
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(file->bytes(0) + file->bytes(1)), '\n'));
}

TEST_F(RecordFileTest, ManyRowsKnowTheirLines) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += (i % 10 == 0 ? "\n" : "") + std::string("{\"i\":") + std::to_string(i) + "}\n";
  const auto file = open("a.jsonl", text);
  ASSERT_EQ(file->rows(), 5000);
  for (std::int64_t row = 0; row < 5000; row += 7) {
    EXPECT_EQ(file->line(row), row + 1 + row / 10 + 1);
    EXPECT_EQ(file->read(row).columns.at("i").as_integer(), row);
  }
}

TEST_F(RecordFileTest, SaysWhereAFileIsBroken) {
  const auto read_all = [&](const std::string& name, std::string_view bytes) {
    return [=, this] { rows(*open(name, bytes)); };
  };
  expect_error(ErrorKind::format, "b.jsonl: line 3: invalid JSON", read_all("b.jsonl", "{\"a\":1}\n\n{\"a\":}\n{}\n"));
  expect_error(ErrorKind::format, "line 2: a row must be an object", read_all("b.jsonl", "{}\n[1]\n"));
  expect_error(ErrorKind::format, "line 2: invalid JSON", read_all("b.jsonl", "{}\n{\"a\": \"\xFF\"}\n"));
  expect_error(ErrorKind::format, "line 4: invalid JSON", read_all("b.json", "[{},\n{\"a\":\n1,\n\"b\" 2}]"));
  expect_error(ErrorKind::format, "line 2: a row that never ends", read_all("b.json", "[{},\n{\"a\": 1"));
  expect_error(ErrorKind::format, "line 2: the array never ends", read_all("b.json", "[{}\n"));
  expect_error(ErrorKind::format, "line 2: expected a row", read_all("b.json", "[{},\n7]"));
  expect_error(ErrorKind::format, "line 1: expected a row", read_all("b.json", "[{},]"));
  expect_error(ErrorKind::format, "line 1: expected a comma", read_all("b.json", "[{} {}]"));
  expect_error(ErrorKind::format, "line 2: text behind the array", read_all("b.json", "[{}]\n{}"));
  expect_error(ErrorKind::format, "line 3: a row of another number of fields", read_all("b.csv", "a,b\n1,2\n1,2,3\n"));
  expect_error(ErrorKind::format, "line 2: a quoted field that never ends", read_all("b.csv", "a,b\n1,\"2\n3\n"));
  expect_error(ErrorKind::format, "line 3: text behind the closing quote", read_all("b.csv", "a\n\"x\ny\" z\n"));
  expect_error(ErrorKind::format, "line 2: a quote inside a field", read_all("b.csv", "a\nx\"y\n"));
  expect_error(ErrorKind::format, "line 1: a column's name stands twice", read_all("b.csv", "a,b,a\n1,2,3\n"));
  expect_error(ErrorKind::format, "line 2: invalid UTF-8", read_all("b.txt", "good\nbad \xC3\n"));
  expect_error(ErrorKind::format, "line 3: invalid UTF-8", read_all("b.csv", "a\n\"x\n\xE4\"\n"));
  for (const char* name : {"e.jsonl", "e.json", "e.txt"})
    expect_error(ErrorKind::format, "no rows", read_all(name, ""));
  expect_error(ErrorKind::format, "no header", read_all("e.csv", ""));
  expect_error(ErrorKind::format, "no rows", read_all("e.csv", "a,b\n"));
  expect_error(ErrorKind::format, "no rows", read_all("e.json", " [ ] "));
  expect_error(ErrorKind::usage, "format", read_all("a.parquet", "x"));
  expect_error(ErrorKind::not_found, "nowhere.jsonl", [] { RecordFile::open({.path = "/nowhere.jsonl"}); });
}

}  // namespace
}  // namespace powerhouse::training
