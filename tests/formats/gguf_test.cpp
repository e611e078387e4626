// GGUF: files that gguf-py wrote (tests/oracles/formats.py), and the same files broken in one place.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "expect_error.h"
#include "formats/allocation_meter.h"
#include "formats/checkpoint.h"
#include "formats/format_fixture.h"
#include "formats/gguf_reader.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::format_fixture;

TEST(Gguf, ReadsEveryType) {
  const auto file = GgufFile::open(format_fixture("small.gguf"));
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->string("general.architecture"), "llama");
  EXPECT_EQ(file->integer("test.u8"), 200);
  EXPECT_EQ(file->integer("test.i8"), -100);
  EXPECT_EQ(file->integer("test.u16"), 60000);
  EXPECT_EQ(file->integer("test.i16"), -30000);
  EXPECT_EQ(file->integer("test.u32"), 4000000000);
  EXPECT_EQ(file->integer("test.i32"), -2000000000);
  EXPECT_EQ(file->integer("test.i64"), -(std::int64_t{1} << 62));
  EXPECT_EQ(std::get<std::uint64_t>(file->find("test.u64")->value), std::uint64_t{1} << 63);
  EXPECT_EQ(file->number("test.f32"), 0.5);
  EXPECT_EQ(file->number("test.f64"), 0.1);
  EXPECT_EQ(file->boolean("test.bool"), true);
  EXPECT_EQ(file->string("test.string"), "gr\u00fc\u00df dich");
  EXPECT_EQ(*file->strings("test.strings"), (std::vector<std::string_view>{"", "one", "zwei"}));
  EXPECT_EQ(file->integers("test.integers"), (std::vector<std::int64_t>{3, -1, 4, -1, 5}));
  EXPECT_EQ(file->numbers("test.floats"), (std::vector<double>{0.25, -2.5}));
  EXPECT_EQ(file->integers("test.booleans"), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(file->integer("absent"), std::nullopt);
  const TensorView* matrix = file->find_tensor("matrix");
  ASSERT_NE(matrix, nullptr);
  EXPECT_EQ(matrix->shape, (std::vector<std::int64_t>{3, 5}));
  const TensorView* quantized = file->find_tensor("quantized");
  ASSERT_NE(quantized, nullptr);
  EXPECT_EQ(quantized->format, BlockFormat::q4_0);
  EXPECT_EQ(quantized->bytes, 4u * 2 * 18);
  float last = 0;
  std::memcpy(&last, file->find_tensor("vector")->data + 6 * 4, 4);
  EXPECT_EQ(last, 6.0f);
}

TEST(Gguf, NamesKeysOfAnotherType) {
  const auto file = GgufFile::open(format_fixture("small.gguf"));
  expect_error(ErrorKind::format, "test.string", [&] { file->integer("test.string"); });
  expect_error(ErrorKind::format, "test.u64", [&] { file->integer("test.u64"); });
  expect_error(ErrorKind::format, "test.floats", [&] { file->integers("test.floats"); });
  expect_error(ErrorKind::format, "test.u8", [&] { file->strings("test.u8"); });
  expect_error(ErrorKind::format, "absent", [&] { file->require_string("absent"); });
}

TEST(Gguf, OpensSplitFilesAsOne) {
  const auto file = GgufFile::open(format_fixture("split-00001-of-00003.gguf"));
  ASSERT_EQ(file->tensors().size(), 4u);
  for (int i = 0; i < 4; ++i) {
    float value = 0;
    std::memcpy(&value, file->find_tensor("t" + std::to_string(i))->data, 4);
    EXPECT_EQ(value, static_cast<float>(i));
  }
  expect_error(ErrorKind::format, "first part", [] { GgufFile::open(format_fixture("split-00002-of-00003.gguf")); });
  const testing::TemporaryFolder folder;
  const std::string first =
      folder.write("m-00001-of-00003.gguf", read_text(format_fixture("split-00001-of-00003.gguf")));
  expect_error(ErrorKind::not_found, "m-00002-of-00003.gguf", [&] { GgufFile::open(first); });
  folder.write("m-00002-of-00003.gguf", read_text(format_fixture("split-00003-of-00003.gguf")));
  expect_error(ErrorKind::format, "split.no", [&] { GgufFile::open(first); });
}

// The small file with bytes replaced: found by a text that stands before them.
class BrokenGguf : public ::testing::Test {
 protected:
  template <typename T>
  void put(std::size_t at, T value) {
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }
  std::size_t behind(std::string_view text) const {
    const auto at = bytes_.find(text);
    EXPECT_NE(at, std::string::npos) << text;
    return at + text.size();
  }
  void expect(ErrorKind kind, std::string_view mentions) {
    const std::string path = folder_.write("broken.gguf", bytes_);
    const std::size_t before = testing::allocated_bytes();
    expect_error(kind, mentions, [&] { GgufFile::open(path); });
    EXPECT_LE(testing::allocated_bytes() - before, testing::warranted(bytes_.size())) << mentions;
    bytes_ = whole_;
  }

  const std::string whole_ = read_text(format_fixture("small.gguf"));
  std::string bytes_ = whole_;
  testing::TemporaryFolder folder_;
};

TEST_F(BrokenGguf, CutAnywhereIsAnError) {
  for (std::size_t size = 0; size < whole_.size(); ++size) {
    bytes_.resize(size);
    try {
      GgufFile::open(folder_.write("cut.gguf", bytes_));
      EXPECT_GE(size + 32, whole_.size()) << "only padding behind the last tensor may be missing";
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.kind()), to_string(ErrorKind::format)) << error.what();
      EXPECT_NE(std::string_view(error.what()).find("cut.gguf"), std::string_view::npos);
    }
    bytes_ = whole_;
  }
}

TEST_F(BrokenGguf, HeadersThatLieAreNamed) {
  put<std::uint32_t>(4, 1);
  expect(ErrorKind::unsupported, "version");
  put<std::uint32_t>(4, 4);
  expect(ErrorKind::unsupported, "2 or 3");
  put<std::uint32_t>(4, 0x03000000);
  expect(ErrorKind::unsupported, "big-endian");
  put<std::uint32_t>(0, 0x46464646);
  expect(ErrorKind::format, "magic");
  for (const std::uint64_t count : {std::uint64_t{1} << 60, ~std::uint64_t{0}, std::uint64_t{1} << 32}) {
    put(8, count);
    expect(ErrorKind::format, "tensor_count");
    put(16, count);
    expect(ErrorKind::format, "metadata_kv_count");
  }
}

TEST_F(BrokenGguf, LengthsBeyondTheFileAreNamed) {
  for (const std::uint64_t length : {std::uint64_t{1} << 60, ~std::uint64_t{0}, std::uint64_t{100'000}}) {
    put(24, length);  // of the first key
    expect(ErrorKind::format, "metadata key 0");
    put(behind("test.string") + 4, length);
    expect(ErrorKind::format, "test.string");
    put(behind("test.integers") + 8, length);
    expect(ErrorKind::format, "test.integers");
    put(behind("test.strings") + 8, length);
    expect(ErrorKind::format, "test.strings");
    put(behind("test.strings") + 16, length);
    expect(ErrorKind::format, "test.strings");
  }
  put<std::uint32_t>(behind("test.u8"), 13);
  expect(ErrorKind::format, "test.u8");
  put<std::uint32_t>(behind("test.floats") + 4, 99);
  expect(ErrorKind::format, "test.floats");
}

TEST_F(BrokenGguf, TensorsThatLieAreNamed) {
  const std::size_t matrix = behind("matrix");  // dimensions, sizes, type, offset
  put<std::uint32_t>(matrix, 5);
  expect(ErrorKind::format, "matrix");
  put<std::uint64_t>(matrix + 4, std::uint64_t{1} << 63);
  expect(ErrorKind::format, "matrix");
  put<std::uint64_t>(matrix + 4, std::uint64_t{1} << 40);
  put<std::uint64_t>(matrix + 12, std::uint64_t{1} << 40);
  expect(ErrorKind::format, "overflows");
  put<std::uint64_t>(matrix + 4, std::uint64_t{1} << 61);
  put<std::uint64_t>(matrix + 12, 2);
  expect(ErrorKind::format, "overflows");
  put<std::uint32_t>(matrix + 20, 4);  // a type that ggml removed
  expect(ErrorKind::unsupported, "unknown tensor type");
  put<std::uint32_t>(matrix + 20, 12345);
  expect(ErrorKind::unsupported, "12345");
  put<std::uint32_t>(matrix + 20, 12);  // Q4_K with rows of 5
  expect(ErrorKind::format, "whole blocks");
  for (const std::uint64_t offset : {std::uint64_t{1} << 60, ~std::uint64_t{31}, std::uint64_t{1} << 20}) {
    put(matrix + 24, offset);
    expect(ErrorKind::format, "past the end");
  }
  put<std::uint64_t>(matrix + 24, 8);
  expect(ErrorKind::format, "misaligned");
  std::memcpy(bytes_.data() + behind("vector") - 6, "matrix", 6);
  expect(ErrorKind::format, "duplicate tensor name");
  std::memcpy(bytes_.data() + behind("test.u32") - 3, "i32", 3);
  expect(ErrorKind::format, "duplicate key");
}

TEST_F(BrokenGguf, EveryByteFlippedIsAnErrorOrAFile) {
  for (std::size_t at = 0; at < bytes_.size(); ++at) {
    for (const unsigned char flip : {0xFF, 0x80, 0x01}) {
      bytes_[at] = static_cast<char>(bytes_[at] ^ flip);
      const std::string path = folder_.write("flipped.gguf", bytes_);
      const std::size_t before = testing::allocated_bytes();
      try {
        const auto file = GgufFile::open(path);
        for (const TensorView& view : file->tensors()) ASSERT_LE(view.bytes, bytes_.size());
      } catch (const Error&) {
      }
      ASSERT_LE(testing::allocated_bytes() - before, testing::warranted(bytes_.size())) << "byte " << at;
      bytes_[at] = whole_[at];
    }
  }
}

TEST(RealGguf, CutAtEveryKibibyteOfItsHeaderIsAnError) {
  const char* path = std::getenv("POWERHOUSE_TEST_MODEL");
  if (path == nullptr) GTEST_SKIP() << "SKIPPED: POWERHOUSE_TEST_MODEL names no model; scripts/test.sh fetches it";
  const auto whole = MappedFile::open(path);
  const auto file = GgufFile::parse(whole);
  std::size_t header = whole->size();
  for (const TensorView& view : file->tensors()) {
    header = std::min(header, static_cast<std::size_t>(view.data - whole->bytes().data()));
  }
  const testing::TemporaryFolder folder;
  for (std::size_t size = 0; size <= header; size += 1024) {
    const std::string cut = folder.write("cut.gguf", whole->text().substr(0, size));
    expect_error(ErrorKind::format, "cut.gguf", [&] { GgufFile::open(cut); });
  }
}

TEST(Checkpoint, NamesThePartsThatAreMissing) {
  const testing::TemporaryFolder folder;
  for (const char* part : {"split-00001-of-00003.gguf", "split-00003-of-00003.gguf"}) {
    std::filesystem::copy(format_fixture(part), folder.file(part));
  }
  const std::string path = folder.file("split-00001-of-00003.gguf"), gone = "split-00002-of-00003.gguf";
  expect_error(ErrorKind::not_found, gone, [&] { open_checkpoint(path); });
  const Checkpoint checkpoint = open_incomplete_checkpoint(path);
  EXPECT_EQ(checkpoint.missing, std::vector{gone});
  EXPECT_LT(checkpoint.tensors.size(),
            GgufFile::open(format_fixture(path.substr(path.rfind('/') + 1)))->tensors().size());
}

TEST(Checkpoint, TellsWhatAPathIs) {
  const testing::TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "nowhere", [&] { open_checkpoint(folder.file("nowhere")); });
  expect_error(ErrorKind::not_found, "config.json", [&] { open_checkpoint(folder.path()); });
  expect_error(ErrorKind::format, "empty", [&] { open_checkpoint(folder.write("empty", "")); });
  folder.write("config.json", "{}");
  expect_error(ErrorKind::not_found, "model.safetensors", [&] { open_checkpoint(folder.path()); });
  EXPECT_EQ(open_checkpoint(folder.path(), false).kind, CheckpointKind::hugging_face);
  folder.write("pytorch_model.bin", "x");
  expect_error(ErrorKind::format, "pytorch_model.bin", [&] { open_checkpoint(folder.path()); });
  // What the system cannot look at is not absent.
  std::filesystem::create_symlink("loop", folder.file("loop"));
  expect_error(ErrorKind::io, "loop", [&] { open_checkpoint(folder.file("loop")); });
  for (const char* name : {"model.safetensors.index.json", "model.safetensors", "config.json"}) {
    std::filesystem::remove(folder.file(name));
    std::filesystem::create_symlink(name, folder.file(name));
    expect_error(ErrorKind::io, name, [&] { open_checkpoint(folder.path()); });
  }
}

}  // namespace
}  // namespace powerhouse
