// FolderLock: the second of two owners is told, and a folder that its owner renamed or removed is free.
#include "support/folder_lock.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "expect_error.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

void expect_taken(const std::string& folder) {
  expect_error(ErrorKind::usage, "output: another run writes", [&] { FolderLock().take(folder, "output"); });
}

TEST(FolderLock, KeepsASecondRunOutUntilTheFirstIsDone) {
  const TemporaryFolder place;
  const std::string folder = place.file("made/by/it");
  {
    FolderLock first;
    first.take(folder);
    EXPECT_TRUE(std::filesystem::is_directory(folder));
    expect_taken(folder);
  }
  FolderLock().take(folder);
}

TEST(FolderLock, IsOfTheFolderNotOfItsName) {
  const TemporaryFolder place;
  const std::string folder = place.file("folder");
  FolderLock first, second, third;
  first.take(folder);
  std::filesystem::rename(folder, place.file("finished"));
  second.take(folder);
  std::filesystem::remove(folder);
  third.take(folder);
  expect_taken(folder);
  expect_taken(place.file("finished"));
}

TEST(FolderLock, AFileInItsPlaceIsAnError) {
  const TemporaryFolder place;
  const std::string file = place.write("file", "text");
  expect_error(ErrorKind::io, file, [&] { FolderLock().take(file); });
}

}  // namespace
}  // namespace powerhouse
