#include "text/training_texts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse_file(const std::string& file, int code) {
  throw Error(code == ENOENT ? ErrorKind::not_found : ErrorKind::io, "can't read a file to train on",
              {.file = file, .found = std::generic_category().message(code)});
}

int open_file(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) refuse_file(file, errno);
  return fd;
}

}  // namespace

void TextBatch::clear() {
  bytes.clear();
  texts.clear();
  origins.clear();
}

void TextBatch::refuse_utf8(std::string_view text, std::size_t at) const {
  const auto place = static_cast<std::size_t>(text.data() - bytes.data()) + at;
  const auto after = std::upper_bound(origins.begin(), origins.end(), place,
                                      [](std::size_t value, const Origin& origin) { return value < origin.start; });
  const Origin& origin = *std::prev(after);
  throw Error(ErrorKind::format, "text is not valid UTF-8",
              {.file = origin.name, .found = "byte " + std::to_string(origin.offset + place - origin.start)});
}

FileLines::FileLines(std::vector<std::string> files) : files_(std::move(files)) {
  if (files_.empty()) throw Error(ErrorKind::usage, "no files to train on", {.field = "files"});
  for (const std::string& file : files_) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) refuse_file(file, errno);
    if (S_ISDIR(status.st_mode)) refuse_file(file, EISDIR);
    if (::access(file.c_str(), R_OK) != 0) refuse_file(file, errno);
  }
}

FileLines::~FileLines() {
  if (fd_ >= 0) ::close(fd_);
}

// Appends what the next read gives; at the end of a file the next one is taken. False after the last.
bool FileLines::fill(TextBatch& batch, std::size_t size) {
  if (fd_ < 0) {
    if (file_ == files_.size()) return false;
    fd_ = open_file(files_[file_]);
    offset_ = 0;
    batch.origins.push_back({batch.bytes.size(), files_[file_], 0});
  }
  const std::size_t start = batch.bytes.size();
  batch.bytes.resize(start + size);
  ssize_t got = 0;
  do {
    got = ::read(fd_, batch.bytes.data() + start, size);
  } while (got < 0 && errno == EINTR);
  if (got < 0) refuse_file(files_[file_], errno);
  batch.bytes.resize(start + static_cast<std::size_t>(got));
  offset_ += static_cast<std::uint64_t>(got);
  if (got == 0) {
    ::close(fd_);
    fd_ = -1;
    ++file_;
  }
  return true;
}

bool FileLines::next(TextBatch& batch, std::size_t size) {
  batch.clear();
  if (fd_ >= 0) batch.origins.push_back({0, files_[file_], offset_ - rest_.size()});
  batch.bytes.swap(rest_);
  rest_.clear();
  std::size_t whole = 0;  // the bytes up to here are whole lines
  bool more = true;
  while (more && (batch.bytes.size() < size || whole == 0)) {
    const std::size_t before = batch.bytes.size();
    more = fill(batch, std::max<std::size_t>(size - std::min(size, before), std::size_t{1} << 16));
    const std::size_t feed = std::string_view(batch.bytes).substr(before).rfind('\n');
    if (feed != std::string_view::npos) whole = before + feed + 1;
    if (fd_ < 0) whole = batch.bytes.size();  // the end of a file ends its last line
  }
  rest_.assign(batch.bytes, whole);
  batch.bytes.resize(whole);
  // Lines, none of which goes on over the end of a file.
  const std::string_view bytes = batch.bytes;
  for (std::size_t i = 0; i < batch.origins.size(); ++i) {
    const std::size_t end = i + 1 < batch.origins.size() ? batch.origins[i + 1].start : whole;
    for (std::size_t at = batch.origins[i].start; at < end;) {
      const std::size_t feed = bytes.substr(0, end).find('\n', at);
      const std::size_t stop = feed == std::string_view::npos ? end : feed + 1;
      batch.texts.push_back(bytes.substr(at, stop - at));
      at = stop;
    }
  }
  return !batch.texts.empty();
}

bool CallbackTexts::next(TextBatch& batch, std::size_t size) {
  batch.clear();
  while (!done_ && batch.bytes.size() < size) {
    const std::optional<std::string> text = next_();
    done_ = !text;
    if (!text) break;
    batch.origins.push_back({batch.bytes.size(), "text " + std::to_string(given_++), 0});
    batch.bytes += *text;
  }
  for (std::size_t i = 0; i < batch.origins.size(); ++i) {
    const std::size_t end = i + 1 < batch.origins.size() ? batch.origins[i + 1].start : batch.bytes.size();
    const std::size_t start = batch.origins[i].start;
    batch.texts.push_back(std::string_view(batch.bytes).substr(start, end - start));
  }
  return !batch.texts.empty();
}

}  // namespace powerhouse
