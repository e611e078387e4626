#include "training/checkpoint.h"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/atomic_write.h"
#include "support/crc32c.h"
#include "support/mapped_file.h"
#include "support/write_all.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kState = "trainer_state.json";
constexpr std::string_view kFolderPrefix = "checkpoint-";
// ".checkpoint-20.writing-1234", ".checkpoint-20.removing-1234": the process's number at the end.
constexpr std::string_view kWriting = ".writing-", kRemoving = ".removing-";
constexpr std::uint64_t kLongestState = std::uint64_t{64} << 20;

[[noreturn]] void damaged(const std::string& file, const std::string& message) {
  throw Error(ErrorKind::format, "damaged checkpoint: " + message, {.file = file});
}

void sync_path(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_io(path, "open");
  const bool flushed = ::fsync(fd) == 0;
  const int code = errno;
  ::close(fd);
  errno = code;
  if (!flushed && code != EINVAL) fail_io(path, "flush");
}

std::uint32_t checksum(const MappedFile& file) { return crc32c(file.bytes().data(), file.size()); }

std::uint32_t checksum_of_state(const JsonObject& state) {
  JsonObject rest;
  for (const auto& [key, value] : state) {
    if (key != "checksum") rest[key] = value;
  }
  const std::string text = Json(std::move(rest)).dump();
  return crc32c(text.data(), text.size());
}

// The files themselves were flushed by who wrote them (support/atomic_write.h); their folders are flushed here.
Json::Array listed_files(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), folder).string());
    if (entry.is_directory()) sync_path(entry.path().string());
  }
  std::sort(names.begin(), names.end());
  Json::Array files;
  for (const std::string& name : names) {
    const auto file = MappedFile::open(folder + "/" + name);
    JsonObject row;
    row["name"] = name;
    row["bytes"] = static_cast<std::int64_t>(file->size());
    row["crc32c"] = static_cast<std::int64_t>(checksum(*file));
    files.emplace_back(std::move(row));
  }
  return files;
}

JsonObject read_state(const std::string& folder) {
  const std::string path = folder + "/" + kState;
  if (!may_exist(path)) throw Error(ErrorKind::not_found, "no checkpoint there", {.file = path});
  JsonObject state;
  try {
    state = Json::parse_file(path, kLongestState).as_object("state");
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::io) throw;
    damaged(path, error.message());
  }
  const Json* sum = state.find("checksum");
  if (sum == nullptr || !sum->is_integer() || sum->as_integer() != checksum_of_state(state)) {
    damaged(path, "its checksum differs");
  }
  return state;
}

// The number of the process that a temporary name was made by.
std::optional<pid_t> maker_of(std::string_view name) {
  for (const std::string_view mark : {kWriting, kRemoving}) {
    const std::size_t at = name.rfind(mark);
    if (!name.starts_with('.') || at == std::string_view::npos) continue;
    pid_t pid = 0;
    const std::string_view digits = name.substr(at + mark.size());
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
    if (failure == std::errc() && end == digits.data() + digits.size()) return pid;
  }
  return std::nullopt;
}

std::string beside(const std::string& path, std::string_view mark) {
  const fs::path target(path);
  std::string name = ".";
  (name += target.filename().string()) += mark;
  return (target.parent_path() / (name += std::to_string(::getpid()))).string();
}

}  // namespace

std::int64_t microseconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

std::string checkpoint_path(const std::string& output_dir, std::int64_t step) {
  return output_dir + "/" + std::string(kFolderPrefix) + std::to_string(step);
}

CheckpointWriter::CheckpointWriter(const std::string& output_dir, std::int64_t step)
    : target_(checkpoint_path(output_dir, step)), folder_(beside(target_, kWriting)) {
  std::error_code error;
  fs::remove_all(folder_, error);
  fs::create_directories(folder_, error);
  if (error) throw Error(ErrorKind::io, "cannot make the folder: " + error.message(), {.file = folder_});
}

CheckpointWriter::~CheckpointWriter() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(folder_, ignored);
}

std::string CheckpointWriter::commit(JsonObject state) {
  try {
    state["files"] = listed_files(folder_);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::io, error.code().message(), {.file = folder_});
  }
  state["checksum"] = static_cast<std::int64_t>(checksum_of_state(state));
  write_atomically(folder_ + "/" + kState, Json(std::move(state)).dump(1) + "\n");
  sync_path(folder_);
  // An older checkpoint of this step changes places with this one, and goes; where the system can't do that, it goes
  // first.
  std::error_code ignored;
  if (::renameat2(AT_FDCWD, folder_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    committed_ = true;
    fs::remove_all(folder_, ignored);
  } else {
    if (fs::exists(target_, ignored)) remove_checkpoint(target_);
    if (std::rename(folder_.c_str(), target_.c_str()) != 0) fail_io(target_, "rename into place");
    committed_ = true;
  }
  sync_path(fs::path(target_).parent_path().string());
  return target_;
}

JsonObject read_checkpoint(const std::string& folder) {
  JsonObject state = read_state(folder);
  const Json* files = state.find("files");
  if (files == nullptr || !files->is_array()) damaged(folder + "/" + kState, "no list of files");
  for (const Json& row : files->as_array()) {
    const std::string name = row.at("name").as_string("name");
    const std::string path = folder + "/" + name;
    if (name.find("..") != std::string::npos || name.starts_with('/')) damaged(path, "a name that leads elsewhere");
    if (!may_exist(path)) damaged(path, "the file is missing");
    const auto file = MappedFile::open(path);
    const std::int64_t bytes = row.at("bytes").as_integer("bytes");
    if (static_cast<std::int64_t>(file->size()) != bytes) {
      damaged(path, std::to_string(file->size()) + " bytes instead of " + std::to_string(bytes));
    }
    if (checksum(*file) != row.at("crc32c").as_integer("crc32c")) damaged(path, "its checksum differs");
  }
  return state;
}

std::vector<CheckpointPlace> list_checkpoints(const std::string& output_dir) {
  std::vector<CheckpointPlace> places;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(output_dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kFolderPrefix)) continue;
    try {
      const Json state(read_state(entry.path().string()));
      places.push_back({entry.path().string(), state.integer_or("step", 0), state.integer_or("saved_at", 0),
                        state.string_or("run_id", "")});
    } catch (const Error& fault) {
      if (fault.kind() == ErrorKind::format) log(LogLevel::warning, fault.what());
    }
  }
  std::sort(places.begin(), places.end(),
            [](const CheckpointPlace& a, const CheckpointPlace& b) { return a.saved_at > b.saved_at; });
  return places;
}

std::optional<WholeCheckpoint> latest_whole_checkpoint(const std::string& output_dir) {
  for (const CheckpointPlace& place : list_checkpoints(output_dir)) {
    try {
      return WholeCheckpoint{place.path, read_checkpoint(place.path)};
    } catch (const Error& error) {
      log(LogLevel::warning, std::string(error.what()) + "; the checkpoint before it is taken");
    }
  }
  return std::nullopt;
}

void remove_checkpoint(const std::string& path) {
  const std::string aside = beside(path, kRemoving);
  std::error_code error;
  fs::remove_all(aside, error);
  if (std::rename(path.c_str(), aside.c_str()) != 0) fail_io(path, "remove");
  fs::remove_all(aside, error);
}

void remove_unfinished_checkpoints(const std::string& output_dir) {
  std::error_code error;
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(output_dir, error)) {
    const auto pid = maker_of(entry.path().filename().string());
    const bool alive = pid && *pid != ::getpid() && (::kill(*pid, 0) == 0 || errno == EPERM);
    if (pid && !alive) left.push_back(entry.path());
  }
  for (const fs::path& path : left) fs::remove_all(path, error);
}

}  // namespace powerhouse
