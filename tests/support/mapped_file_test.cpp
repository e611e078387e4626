#include "support/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "expect_error.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;

TEST(MappedFile, ShowsTheBytes) {
  const testing::TemporaryFolder folder;
  const auto file = MappedFile::open(folder.write("a", "hello"));
  EXPECT_EQ(file->text(), "hello");
  EXPECT_EQ(MappedFile::open(folder.write("empty", ""))->size(), 0u);
}

TEST(MappedFile, WritesToTheMappingNeverReachTheFile) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("a", "hello");
  const auto file = MappedFile::open(path);
  const_cast<char*>(file->text().data())[0] = 'J';
  EXPECT_EQ(file->text(), "Jello");
  EXPECT_EQ(read_text(path), "hello");
}

TEST(MappedFile, NamesWhatItCannotOpen) {
  const testing::TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "absent", [&] { MappedFile::open(folder.file("absent")); });
  expect_error(ErrorKind::io, "not a regular file", [&] { MappedFile::open(folder.path()); });
  expect_error(ErrorKind::io, "/dev/null", [] { MappedFile::open("/dev/null"); });
  ASSERT_EQ(::mkfifo(folder.file("pipe").c_str(), 0600), 0);
  expect_error(ErrorKind::io, "not a regular file", [&] { MappedFile::open(folder.file("pipe")); });
}

TEST(MayExist, LetsOpeningTellWhy) {
  const testing::TemporaryFolder folder;
  EXPECT_TRUE(may_exist(folder.path()));
  EXPECT_FALSE(may_exist(folder.file("absent")));
  std::filesystem::create_symlink("loop", folder.file("loop"));
  EXPECT_TRUE(may_exist(folder.file("loop")));
  expect_error(ErrorKind::io, "cannot open", [&] { MappedFile::open(folder.file("loop")); });
}

TEST(ReadText, BoundsWhatItReads) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("a", std::string(100'000, 'x'));
  EXPECT_EQ(read_text(path).size(), 100'000u);
  expect_error(ErrorKind::range, "too large", [&] { read_text(path, 1000); });
}

}  // namespace
}  // namespace powerhouse
