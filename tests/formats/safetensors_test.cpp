// safetensors: files that the safetensors package wrote, our own, and broken ones.
#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "expect_error.h"
#include "formats/format_fixture.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::format_fixture;

TensorSource source(std::string name, BlockFormat format, std::vector<std::int64_t> shape, std::string bytes) {
  return {.name = std::move(name),
          .format = format,
          .shape = std::move(shape),
          .bytes = bytes.size(),
          .write = [bytes](const auto& sink) { sink(bytes.data(), bytes.size()); }};
}

std::string with_header(const std::string& header, const std::string& data = {}) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

TEST(Safetensors, ReadsEveryDtype) {
  const SafetensorsFile file = read_safetensors(format_fixture("dtypes.safetensors"));
  EXPECT_EQ(file.tensors.size(), 14u);
  for (const TensorView& view : file.tensors) {
    if (view.name == "scalar") {
      EXPECT_TRUE(view.shape.empty());
      float value = 0;
      std::memcpy(&value, view.data, 4);
      EXPECT_EQ(value, 2.5f);
    } else if (view.name == "empty") {
      EXPECT_EQ(view.bytes, 0u);
    } else {
      EXPECT_EQ(view.shape, (std::vector<std::int64_t>{2, 3})) << view.name;
    }
    if (view.name == "int64") {
      std::int64_t value = 0;
      std::memcpy(&value, view.data + 5 * 8, 8);
      EXPECT_EQ(value, 5);
      EXPECT_EQ(view.format, BlockFormat::i64);
    }
  }
  ASSERT_EQ(file.metadata.size(), 2u);
}

TEST(Safetensors, WritesTheBytesThatTheLibraryWrites) {
  // The same tensors again through our writer: header order and layout are the safetensors package's own.
  const SafetensorsFile file = read_safetensors(format_fixture("dtypes.safetensors"));
  std::vector<TensorSource> sources;
  for (const TensorView& view : file.tensors) {
    sources.push_back(
        source(view.name, view.format, view.shape, std::string(reinterpret_cast<const char*>(view.data), view.bytes)));
  }
  std::reverse(sources.begin(), sources.end());
  const testing::TemporaryFolder folder;
  write_safetensors(folder.file("again"), sources, file.metadata);
  const SafetensorsFile again = read_safetensors(folder.file("again"));
  ASSERT_EQ(again.tensors.size(), file.tensors.size());
  const auto data_of = [](const std::string& bytes) {
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    return bytes.substr(8 + length);
  };
  EXPECT_EQ(data_of(read_text(folder.file("again"))), data_of(read_text(format_fixture("dtypes.safetensors"))));
}

TEST(Safetensors, WritesShardsWithAnIndex) {
  const testing::TemporaryFolder folder;
  std::vector<TensorSource> sources;
  for (int i = 0; i < 5; ++i) {
    sources.push_back(source("t" + std::to_string(i), BlockFormat::f32, {2, 2}, std::string(16, static_cast<char>(i))));
  }
  write_safetensors_folder(folder.path(), sources, 40);
  EXPECT_TRUE(std::filesystem::exists(folder.file("model-00003-of-00003.safetensors")));
  EXPECT_EQ(Json::parse_file(folder.file("model.safetensors.index.json")).at("metadata").at("total_size").as_integer(),
            80);
  const auto tensors = read_safetensors_folder(folder.path());
  ASSERT_EQ(tensors.size(), 5u);
  for (const TensorView& view : tensors) EXPECT_EQ(static_cast<int>(view.data[0]), view.name[1] - '0');
}

TEST(Safetensors, OneFileGoesBeforeAnIndex) {
  const testing::TemporaryFolder folder;
  const TensorSource in_shard = source("t", BlockFormat::u8, {1}, "s");
  const TensorSource alone = source("t", BlockFormat::u8, {1}, "a");
  write_safetensors(folder.file("shard.safetensors"), {&in_shard, 1});
  folder.write("model.safetensors.index.json", R"({"weight_map": {"t": "shard.safetensors"}})");
  EXPECT_EQ(static_cast<char>(*read_safetensors_folder(folder.path()).front().data), 's');
  write_safetensors(folder.file("model.safetensors"), {&alone, 1});
  EXPECT_EQ(static_cast<char>(*read_safetensors_folder(folder.path()).front().data), 'a');
}

TEST(Safetensors, FoldersThatLieAreNamed) {
  const testing::TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "model.safetensors", [&] { read_safetensors_folder(folder.path()); });
  for (const char* shard : {"../model.safetensors", "/etc/passwd", "", ".."}) {
    JsonObject map, index;
    map["t"] = shard;
    index["weight_map"] = std::move(map);
    folder.write("model.safetensors.index.json", Json(std::move(index)).dump());
    expect_error(ErrorKind::format, "must be a file of this folder", [&] { read_safetensors_folder(folder.path()); });
  }
  folder.write("model.safetensors.index.json", R"({"weight_map": {"t": "absent.safetensors"}})");
  expect_error(ErrorKind::not_found, "absent.safetensors", [&] { read_safetensors_folder(folder.path()); });
  const TensorSource other = source("other", BlockFormat::u8, {1}, "x");
  write_safetensors(folder.file("a.safetensors"), {&other, 1});
  folder.write("model.safetensors.index.json", R"({"weight_map": {"t": "a.safetensors"}})");
  expect_error(ErrorKind::format, "no such tensor", [&] { read_safetensors_folder(folder.path()); });
}

TEST(Safetensors, FilesThatLieAreNamed) {
  const testing::TemporaryFolder folder;
  const auto expect = [&](ErrorKind kind, std::string_view mentions, const std::string& bytes) {
    expect_error(kind, mentions, [&] { read_safetensors(folder.write("bad.safetensors", bytes)); });
    expect_error(kind, "bad.safetensors", [&] { read_safetensors(folder.file("bad.safetensors")); });
  };
  expect(ErrorKind::format, "empty", "");
  expect(ErrorKind::format, "header length", "1234567");
  expect(ErrorKind::format, "header length", std::string(8, '\xFF') + "{}");
  expect(ErrorKind::format, "header length", std::string("\0\0\0\0\0\0\0\x10", 8) + "{}");
  expect(ErrorKind::format, "JSON", with_header("{\"a\":"));
  expect(ErrorKind::format, "header", with_header("[]"));
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return with_header(R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
                       std::string(16, 'x'));
  };
  EXPECT_NO_THROW(read_safetensors(folder.write("good.safetensors", one("F32", "[2,2]", "[0,16]"))));
  expect(ErrorKind::unsupported, "F99", one("F99", "[2,2]", "[0,16]"));
  expect(ErrorKind::format, "a: ", one("F32", "[2,2]", "[0,17]"));
  expect(ErrorKind::format, "do not fit", one("F32", "[2,3]", "[0,16]"));
  expect(ErrorKind::format, "overflows", one("F32", "[4611686018427387904,8]", "[0,16]"));
  expect(ErrorKind::format, "a: ", one("F32", "[-2,2]", "[0,16]"));
  expect(ErrorKind::format, "a: ", one("F32", "[2.5,2]", "[0,16]"));
  expect(ErrorKind::format, "a: ", one("F32", "[2,2]", "[16,0]"));
  expect(ErrorKind::format, "data_offsets", one("F32", "[2,2]", "[0]"));
  expect(ErrorKind::format, "belong to no tensor", one("F32", "[2,1]", "[0,8]"));
  expect(ErrorKind::format, "hole", one("F32", "[2,1]", "[8,16]"));
  expect(ErrorKind::format, "shape", with_header(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "xxxx"));
  expect(ErrorKind::format, "overlap",
         with_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                     "xxxxxx"));
}

TEST(Safetensors, WritersThatLieLeaveNothingBehind) {
  const testing::TemporaryFolder folder;
  TensorSource lying = source("a", BlockFormat::u8, {4}, "xxxx");
  lying.bytes = 5;
  expect_error(ErrorKind::usage, "another number of bytes", [&] { write_safetensors(folder.file("f"), {&lying, 1}); });
  const TensorSource twice[] = {source("a", BlockFormat::u8, {1}, "x"), source("a", BlockFormat::u8, {1}, "y")};
  expect_error(ErrorKind::usage, "twice", [&] { write_safetensors(folder.file("f"), twice); });
  // JSON has no such names; both would become U+FFFD, and one tensor be lost.
  const TensorSource no_text[] = {source("\xff", BlockFormat::u8, {1}, "x"), source("\xfe", BlockFormat::u8, {1}, "y")};
  expect_error(ErrorKind::usage, "UTF-8", [&] { write_safetensors(folder.file("f"), no_text); });
  const TensorSource blocks = source("q", BlockFormat::q4_0, {32}, std::string(18, 'x'));
  expect_error(ErrorKind::unsupported, "Q4_0", [&] { write_safetensors(folder.file("f"), {&blocks, 1}); });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace powerhouse
