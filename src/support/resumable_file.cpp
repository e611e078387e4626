#include "support/resumable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "powerhouse/error.h"
#include "support/crc32c.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "support/write_all.h"

namespace powerhouse {
namespace {

constexpr std::size_t kReadAtOnce = std::size_t{1} << 20;
constexpr auto kBetweenFlushes = std::chrono::seconds(1);

std::string target_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return path;
  if (!S_ISREG(info.st_mode)) {
    throw Error(ErrorKind::usage, "the output has to be a regular file", {.file = path});
  }
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real != nullptr ? real.get() : path;
}

// Whether the bytes at an item's place are those that were finished.
bool is_whole(int fd, const ResumableFile::Item& item) {
  std::vector<char> room(std::min<std::uint64_t>(kReadAtOnce, item.bytes));
  std::uint32_t checksum = 0;
  for (std::uint64_t done = 0; done < item.bytes;) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(room.size(), item.bytes - done));
    const ssize_t got = ::pread(fd, room.data(), count, static_cast<off_t>(item.offset + done));
    if (got <= 0) return false;
    checksum = crc32c(room.data(), static_cast<std::size_t>(got), checksum);
    done += static_cast<std::uint64_t>(got);
  }
  return checksum == item.checksum;
}

}  // namespace

ResumableFile::ResumableFile(std::string path, const std::string& identity, std::uint64_t bytes, bool resume)
    : path_(target_of(path)), partial_(path_ + ".partial"), journal_(partial_ + ".journal"), bytes_(bytes) {
  open();
  try {
    if (!resume || !read_journal(identity)) begin_journal(identity);
    // All of the room now rather than a full disk after hours; file systems that can't are told when they are full.
    if (bytes_ > 0 && ::fallocate(fd_, 0, 0, static_cast<off_t>(bytes_)) != 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS) {
      const int code = errno;
      if (finished_.empty()) discard();
      errno = code;
      fail_io(path_, "make room for");
    }
    if (::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) fail_io(path_, "resize");
  } catch (...) {
    if (journal_fd_ >= 0) ::close(journal_fd_);
    if (fd_ >= 0) ::close(fd_);
    throw;
  }
}

ResumableFile::~ResumableFile() {
  if (fd_ < 0) return;
  try {
    flush();
  } catch (...) {
    // What is not in the journal is done again.
  }
  ::close(journal_fd_);
  ::close(fd_);
}

void ResumableFile::open() {
  struct stat before {};
  const bool exists = ::stat(path_.c_str(), &before) == 0;
  for (;;) {
    fd_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) fail_io(path_, "create");
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(std::exchange(fd_, -1));
      throw Error(ErrorKind::usage, "another process is writing this file", {.file = path_});
    }
    // Its last owner may have renamed it between the two calls.
    struct stat opened {};
    struct stat named {};
    if (::fstat(fd_, &opened) == 0 && ::stat(partial_.c_str(), &named) == 0 && opened.st_ino == named.st_ino) break;
    ::close(std::exchange(fd_, -1));
  }
  if (exists) ::fchmod(fd_, before.st_mode & 07777);
}

bool ResumableFile::read_journal(const std::string& identity) {
  if (!may_exist(journal_)) return false;
  const std::string text = read_text(journal_);
  std::size_t whole = 0;  // up to the last line that ends
  bool known = false;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', whole)) {
    try {
      const Json line = Json::parse(std::string_view(text).substr(whole, end - whole), journal_);
      if (whole == 0) {
        known = line.string_or("identity", "") == identity &&
                line.integer_or("bytes", -1) == static_cast<std::int64_t>(bytes_);
        if (!known) return false;
      } else {
        const Item item{.offset = static_cast<std::uint64_t>(line.at("offset").as_integer()),
                        .bytes = static_cast<std::uint64_t>(line.at("bytes").as_integer()),
                        .checksum = static_cast<std::uint32_t>(line.at("crc32c").as_integer()),
                        .note = line.string_or("note", "")};
        if (is_whole(fd_, item)) finished_[line.at("item").as_string()] = item;
      }
    } catch (const Error&) {
      break;  // what follows a damaged line is not believed
    }
    whole = end + 1;
  }
  if (!known) return false;
  journal_fd_ = ::open(journal_.c_str(), O_WRONLY | O_CLOEXEC);
  if (journal_fd_ < 0) fail_io(journal_, "open");
  if (::ftruncate(journal_fd_, static_cast<off_t>(whole)) != 0 || ::lseek(journal_fd_, 0, SEEK_END) < 0) {
    fail_io(journal_, "write");
  }
  return true;
}

void ResumableFile::begin_journal(const std::string& identity) {
  if (::ftruncate(fd_, 0) != 0) fail_io(path_, "empty");
  journal_fd_ = ::open(journal_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (journal_fd_ < 0) fail_io(journal_, "create");
  JsonObject line;
  line["identity"] = identity;
  line["bytes"] = static_cast<std::int64_t>(bytes_);
  write_all(journal_fd_, Json(std::move(line)).dump() + "\n", journal_);
}

void ResumableFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_io(path_, "write");
    if (done == 0) {
      errno = ENOSPC;
      fail_io(path_, "write");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

void ResumableFile::finish(const std::string& name, const Item& item) {
  JsonObject line;
  line["item"] = name;
  line["offset"] = static_cast<std::int64_t>(item.offset);
  line["bytes"] = static_cast<std::int64_t>(item.bytes);
  line["crc32c"] = static_cast<std::int64_t>(item.checksum);
  line["note"] = item.note;
  pending_ += Json(std::move(line)).dump() + "\n";
  finished_[name] = item;
  if (std::chrono::steady_clock::now() - flushed_ >= kBetweenFlushes) flush();
}

void ResumableFile::flush() {
  flushed_ = std::chrono::steady_clock::now();
  if (pending_.empty()) return;
  if (::fdatasync(fd_) != 0) fail_io(path_, "flush");
  write_all(journal_fd_, pending_, journal_);
  pending_.clear();
}

void ResumableFile::commit() {
  if (::fsync(fd_) != 0) fail_io(path_, "flush");
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) fail_io(path_, "rename into place");
  ::unlink(journal_.c_str());
  ::close(std::exchange(journal_fd_, -1));
  ::close(std::exchange(fd_, -1));
}

void ResumableFile::discard() noexcept {
  ::unlink(partial_.c_str());
  ::unlink(journal_.c_str());
  if (journal_fd_ >= 0) ::close(std::exchange(journal_fd_, -1));
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace powerhouse
