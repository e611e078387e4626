// Importance matrices in llama.cpp's formats (tests/oracles/importance.py).
#include "quantization/importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "expect_error.h"
#include "file_bytes.h"
#include "formats/gguf_reader.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::file_bytes;
using testing::TemporaryFolder;

const std::string kFolder = std::string(POWERHOUSE_FIXTURES) + "/quantization/";

void compare(const ImportanceMatrix& matrix, const Json& expected) {
  EXPECT_EQ(matrix.entries.size(), expected.as_object().size());
  for (const auto& [name, values] : expected.as_object()) {
    const ImportanceEntry* const entry = matrix.find(name);
    ASSERT_NE(entry, nullptr) << name;
    const std::vector<float> found = entry->importance();
    ASSERT_EQ(found.size(), values.as_array().size()) << name;
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i], static_cast<float>(values.as_array()[i].as_double())) << name << " " << i;
    }
  }
}

TEST(Importance, ReadsBothFormats) {
  const Json expected = Json::parse_file(kFolder + "importance.json");
  const ImportanceMatrix gguf = read_importance(kFolder + "importance.gguf");
  compare(gguf, expected.at("gguf"));
  EXPECT_EQ(gguf.datasets, (std::vector<std::string>{"one.txt", "two.txt"}));
  EXPECT_EQ(gguf.chunk_count, 2);
  EXPECT_EQ(gguf.chunk_size, 512);
  EXPECT_EQ(gguf.find("blk.0.ffn_down_exps.weight")->unseen_experts(), 1);
  EXPECT_EQ(gguf.find("output.weight")->unseen_experts(), 0);
  EXPECT_EQ(gguf.find("token_embd.weight"), nullptr);

  const ImportanceMatrix dat = read_importance(kFolder + "importance.dat");
  compare(dat, expected.at("dat"));
  EXPECT_EQ(dat.datasets, std::vector<std::string>{"one.txt"});
  EXPECT_EQ(dat.chunk_count, 3);
}

TEST(Importance, WritesWhatItReads) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/written.gguf";
  const ImportanceMatrix matrix = read_importance(kFolder + "importance.gguf");
  write_importance(path, matrix);
  const ImportanceMatrix again = read_importance(path);
  compare(again, Json::parse_file(kFolder + "importance.json").at("gguf"));
  EXPECT_EQ(again.datasets, matrix.datasets);
  EXPECT_EQ(again.chunk_count, 2);
  EXPECT_EQ(again.chunk_size, 512);
  const auto file = GgufFile::open(path);
  EXPECT_EQ(file->string("general.type"), "imatrix");
  EXPECT_EQ(file->find_tensor("blk.0.ffn_down_exps.weight.in_sum2")->shape, (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(file->find_tensor("blk.0.ffn_down_exps.weight.counts")->shape, (std::vector<std::int64_t>{3, 1}));
}

TEST(Importance, RefusesFilesThatEndEarly) {
  const TemporaryFolder folder;
  const std::string whole = file_bytes(kFolder + "importance.dat");
  const std::string path = folder.path() + "/cut.dat";
  int refused = 0;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::ofstream(path, std::ios::binary) << whole.substr(0, length);
    try {
      read_importance(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::format) << error.what();
      ++refused;
    }
  }
  // What follows the entries may be absent, whole numbers of it.
  EXPECT_GE(refused, static_cast<int>(whole.size()) - 3);
}

TEST(Importance, RefusesWhatIsNoImportance) {
  const TemporaryFolder folder;
  std::string bytes = file_bytes(kFolder + "importance.dat");
  const std::string path = folder.path() + "/bad.dat";
  const std::size_t first_value = 4 + 4 + std::string("output.weight").size() + 8;
  for (const float bad : {-1.0f, std::nanf(""), HUGE_VALF}) {
    std::memcpy(bytes.data() + first_value, &bad, 4);
    std::ofstream(path, std::ios::binary) << bytes;
    expect_error(ErrorKind::format, "output.weight", [&] { read_importance(path); });
  }
  std::ofstream(path, std::ios::binary) << std::string(64, '\xFF');
  expect_error(ErrorKind::format, "not an importance matrix", [&] { read_importance(path); });
  expect_error(ErrorKind::not_found, "absent", [&] { read_importance(folder.path() + "/absent"); });
  ImportanceMatrix matrix;
  matrix.entries.push_back({.weight = "a.weight", .sums = {1, 2, 3}, .counts = {1, 1}});
  expect_error(ErrorKind::format, "a.weight", [&] { write_importance(folder.path() + "/out.gguf", matrix); });
}

}  // namespace
}  // namespace powerhouse
