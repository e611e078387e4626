// ResumableFile: what is finished stays, what is not is done again, and nothing has the final name before all is there.
#include "support/resumable_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include <filesystem>
#include <fstream>

#include "expect_error.h"
#include "support/crc32c.h"
#include "support/mapped_file.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

constexpr std::uint64_t kBytes = 4096;

void add(ResumableFile& file, const std::string& name, std::uint64_t offset, std::string_view text) {
  file.write(offset, std::as_bytes(std::span(text)));
  file.finish(name,
              {.offset = offset, .bytes = text.size(), .checksum = crc32c(text.data(), text.size()), .note = "n"});
}

TEST(ResumableFile, GoesOnWhereItEnded) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out");
  {
    ResumableFile file(path, "identity", kBytes);
    add(file, "a", 0, "first");
    file.write(100, std::as_bytes(std::span(std::string_view("half"))));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  ResumableFile file(path, "identity", kBytes);
  ASSERT_EQ(file.finished().size(), 1u);
  EXPECT_EQ(file.finished().at("a").note, "n");
  EXPECT_EQ(file.finished().at("a").bytes, 5u);
  add(file, "b", 100, "second");
  file.commit();
  const std::string text = read_text(path);
  ASSERT_EQ(text.size(), kBytes);
  EXPECT_EQ(text.substr(0, 5), "first");
  EXPECT_EQ(text.substr(100, 6), "second");
  EXPECT_EQ(text[5], '\0');
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(ResumableFile, BeginsAnewForAnotherIdentityOrSizeOrWhereAsked) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out");
  const auto begin = [&] {
    ResumableFile file(path, "identity", kBytes);
    add(file, "a", 0, "first");
  };
  begin();
  EXPECT_TRUE(ResumableFile(path, "another", kBytes).finished().empty());
  begin();
  EXPECT_TRUE(ResumableFile(path, "identity", kBytes + 1).finished().empty());
  begin();
  EXPECT_TRUE(ResumableFile(path, "identity", kBytes, false).finished().empty());
}

TEST(ResumableFile, BelievesNeitherDamagedItemsNorLines) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out");
  {
    ResumableFile file(path, "identity", kBytes);
    add(file, "a", 0, "first");
    add(file, "b", 100, "second");
  }
  {
    std::fstream partial(path + ".partial", std::ios::in | std::ios::out | std::ios::binary);
    partial.seekp(2);
    partial.put('x');
    std::ofstream journal(path + ".partial.journal", std::ios::app);
    journal << R"({"item":"c","offset":0,"bytes":1)";  // a line that a kill cut
  }
  ResumableFile file(path, "identity", kBytes);
  EXPECT_EQ(file.finished().size(), 1u);
  EXPECT_TRUE(file.finished().contains("b"));
  add(file, "a", 0, "first");
}

TEST(ResumableFile, RefusesASecondWriterAndWhatIsNoFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out");
  ResumableFile file(path, "identity", kBytes);
  expect_error(ErrorKind::usage, "another process", [&] { ResumableFile(path, "identity", kBytes); });
  expect_error(ErrorKind::usage, "regular file", [&] { ResumableFile("/dev/null", "identity", kBytes); });
  expect_error(ErrorKind::io, "/nowhere/out", [] { ResumableFile("/nowhere/out", "identity", kBytes); });
  file.discard();
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ResumableFile, SaysAtOnceThatTheDiskIsTooSmall) {
  const TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = kBytes;
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::io, "out", [&] { ResumableFile(folder.file("out"), "identity", 16 * kBytes); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace powerhouse
