#include "support/atomic_write.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "expect_error.h"
#include "support/mapped_file.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;

std::size_t files_in(const std::string& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(AtomicFile, ReplacesOnlyOnCommit) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("a", "old");
  {
    AtomicFile file(path);
    file.write("half of the ne");
    EXPECT_EQ(read_text(path), "old");
  }
  EXPECT_EQ(read_text(path), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
  write_atomically(path, "new");
  EXPECT_EQ(read_text(path), "new");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(AtomicFile, PassesByWhatAKilledProcessLeft) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a");
  // Names that this process would choose next, as its namesake in an earlier container did.
  for (int i = 0; i < 50; ++i) folder.write("a.partial-" + std::to_string(::getpid()) + "-" + std::to_string(i), "");
  write_atomically(path, "new");
  EXPECT_EQ(read_text(path), "new");
  EXPECT_EQ(files_in(folder.path()), 51u);
}

TEST(AtomicFile, FollowsALinkAndKeepsPermissions) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("a", "old");
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  std::filesystem::create_symlink("a", folder.file("link"));
  write_atomically(folder.file("link"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("link")));
  EXPECT_EQ(read_text(path), "new");
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(files_in(folder.path()), 2u);
}

TEST(AtomicFile, WritesIntoAPipeInsteadOfReplacingIt) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::string met;
  std::thread reader([&] { std::getline(std::ifstream(path), met); });
  write_atomically(path, "new");
  reader.join();
  EXPECT_EQ(met, "new");
  EXPECT_TRUE(std::filesystem::is_fifo(path));
}

TEST(AtomicFile, NamesAFolderThatIsNotThere) {
  expect_error(ErrorKind::io, "/nowhere/at/all", [] { write_atomically("/nowhere/at/all", "x"); });
}

TEST(AtomicFile, LeavesNothingBehindWhereTheRenameFails) {
  const testing::TemporaryFolder folder;
  std::filesystem::create_directory(folder.file("target"));  // a folder cannot be replaced by a file
  expect_error(ErrorKind::io, "target", [&] { write_atomically(folder.file("target"), "x"); });
  EXPECT_EQ(files_in(folder.path()), 1u);
}

}  // namespace
}  // namespace powerhouse
