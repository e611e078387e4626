// checkpoint-N/: whole or not there, and every kind of damage told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers)
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "expect_error.h"
#include "powerhouse/log.h"
#include "support/atomic_write.h"
#include "temporary_folder.h"
#include "training/checkpoint.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;
using testing::expect_error;

JsonObject state_of(std::int64_t step) {
  JsonObject state;
  state["step"] = step;
  state["run_id"] = "run";
  state["saved_at"] = microseconds_now();
  state["loss"] = 0.1 + 0.2;
  return state;
}

std::string write_checkpoint(const std::string& folder, std::int64_t step, const std::string& bytes = "weights") {
  CheckpointWriter writer(folder, step);
  write_atomically(writer.folder() + "/model.safetensors", bytes);
  fs::create_directories(writer.folder() + "/inner");
  write_atomically(writer.folder() + "/inner/adapter.safetensors", bytes + bytes);
  return writer.commit(state_of(step));
}

void flip_byte(const std::string& path, std::size_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Checkpoint, ComesBackWhole) {
  const testing::TemporaryFolder folder;
  const std::string path = write_checkpoint(folder.file("new/run"), 20);
  EXPECT_EQ(path, folder.file("new/run") + "/checkpoint-20");
  const Json state(read_checkpoint(path));
  EXPECT_EQ(state.at("step").as_integer(), 20);
  EXPECT_EQ(state.at("loss").as_double(), 0.1 + 0.2);  // to the last bit
  EXPECT_THAT(names_in(folder.file("new/run")), ::testing::ElementsAre("checkpoint-20"));
}

TEST(Checkpoint, OneOfTheSameStepIsReplaced) {
  const testing::TemporaryFolder folder;
  write_checkpoint(folder.path(), 20, "old");
  const std::string path = write_checkpoint(folder.path(), 20, "newer");
  read_checkpoint(path);
  EXPECT_EQ(fs::file_size(path + "/model.safetensors"), 5u);
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("checkpoint-20"));
}

TEST(Checkpoint, WhatIsNotCommittedLeavesNothing) {
  const testing::TemporaryFolder folder;
  write_checkpoint(folder.path(), 10);
  { CheckpointWriter writer(folder.path(), 20); }
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("checkpoint-10"));
}

TEST(Checkpoint, DamageIsToldByFile) {
  const testing::TemporaryFolder folder;
  const std::string path = write_checkpoint(folder.path(), 20);
  flip_byte(path + "/model.safetensors", 3);
  expect_error(ErrorKind::format, "model.safetensors: damaged checkpoint: its checksum differs",
               [&] { read_checkpoint(path); });
  fs::resize_file(path + "/model.safetensors", 2);
  expect_error(ErrorKind::format, "2 bytes instead of 7", [&] { read_checkpoint(path); });
  fs::remove(path + "/model.safetensors");
  expect_error(ErrorKind::format, "the file is missing", [&] { read_checkpoint(path); });
  fs::remove(path + "/trainer_state.json");
  expect_error(ErrorKind::not_found, "trainer_state.json", [&] { read_checkpoint(path); });
}

TEST(Checkpoint, EveryByteOfTheStateCounts) {
  const testing::TemporaryFolder folder;
  const std::string path = write_checkpoint(folder.path(), 20);
  const std::string file = path + "/trainer_state.json";
  const auto size = fs::file_size(file);
  const std::string whole = Json(read_checkpoint(path)).dump();
  int told = 0;
  for (std::size_t at = 0; at < size; ++at) {
    flip_byte(file, at);
    try {
      // A blank turned into another one, or none, changes nothing that is read.
      EXPECT_EQ(Json(read_checkpoint(path)).dump(), whole) << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::format) << error.what();
      ++told;
    }
    flip_byte(file, at);
  }
  EXPECT_GT(told, static_cast<int>(size) / 2);
}

TEST(Checkpoint, TheLatestWholeOneIsTaken) {
  const testing::TemporaryFolder folder;
  std::vector<std::string> warnings;
  set_log_sink([&](LogLevel, std::string_view text) { warnings.emplace_back(text); });
  EXPECT_FALSE(latest_whole_checkpoint(folder.path()).has_value());
  EXPECT_FALSE(latest_whole_checkpoint(folder.file("absent")).has_value());
  write_checkpoint(folder.path(), 40);  // of an earlier run
  write_checkpoint(folder.path(), 10);
  const std::string last = write_checkpoint(folder.path(), 20);
  EXPECT_EQ(latest_whole_checkpoint(folder.path())->path, folder.path() + "/checkpoint-20");
  EXPECT_TRUE(warnings.empty());
  flip_byte(last + "/inner/adapter.safetensors", 0);
  EXPECT_EQ(latest_whole_checkpoint(folder.path())->path, folder.path() + "/checkpoint-10");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], ::testing::HasSubstr("checkpoint-20/inner/adapter.safetensors"));
  set_log_sink({});
}

TEST(Checkpoint, LeftoversOfKilledRunsGo) {
  const testing::TemporaryFolder folder;
  write_checkpoint(folder.path(), 10);
  const pid_t child = ::fork();
  if (child == 0) {
    CheckpointWriter* writer = new CheckpointWriter(folder.path(), 20);
    write_atomically(writer->folder() + "/model.safetensors", "half");
    ::raise(SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(names_in(folder.path()).size(), 2u);
  EXPECT_EQ(latest_whole_checkpoint(folder.path())->path, folder.path() + "/checkpoint-10");
  remove_unfinished_checkpoints(folder.path());
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("checkpoint-10"));
}

// In a process of its own: the limit counts for all its files.
TEST(Checkpoint, AFullDiskLeavesTheOneBefore) {
  const testing::TemporaryFolder folder;
  write_checkpoint(folder.path(), 10);
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_checkpoint(folder.path(), 20, std::string(100'000, 'x'));
    } catch (const Error& error) {
      const std::string text = error.what();
      const bool named = text.find("model.safetensors") != std::string::npos;
      ::_exit(error.kind() == ErrorKind::io && named ? 0 : 3);
    }
    ::_exit(2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("checkpoint-10"));
  read_checkpoint(folder.file("checkpoint-10"));
}

TEST(Checkpoint, AFolderThatCannotBeWritten) {
  expect_error(ErrorKind::io, "/proc/powerhouse", [] { CheckpointWriter writer("/proc/powerhouse", 1); });
  const testing::TemporaryFolder folder;
  write_checkpoint(folder.path(), 10);
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  if (::access(folder.path().c_str(), W_OK) != 0) {  // root may write anywhere
    expect_error(ErrorKind::io, "checkpoint-20", [&] { CheckpointWriter writer(folder.path(), 20); });
  }
  fs::permissions(folder.path(), fs::perms::owner_all);
  read_checkpoint(folder.file("checkpoint-10"));
}

}  // namespace
}  // namespace powerhouse
