#include "training/row_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "powerhouse/error.h"
#include "support/atomic_write.h"
#include "support/mapped_file.h"
#include "support/write_all.h"

namespace powerhouse {
namespace {

template <typename Body>
void for_each_row(const std::string& path, Body body) {
  if (!may_exist(path)) return;
  const std::string text = read_text(path);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) return;  // cut short
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    try {
      body(line, Json::parse(line, path));
    } catch (const Error&) {
      continue;  // a line that another run broke
    }
  }
}

}  // namespace

RowLog::RowLog(std::string path, std::int64_t keep_steps) : path_(std::move(path)) {
  std::string kept;
  if (keep_steps >= 0) {
    for_each_row(path_, [&](std::string_view line, const Json& row) {
      if (row.integer_or("step", 0) <= keep_steps) (kept += line) += '\n';
    });
  }
  write_atomically(path_, kept);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0) fail_io(path_, "open");
}

RowLog::~RowLog() {
  if (fd_ >= 0) ::close(fd_);
}

void RowLog::write(const JsonObject& row) { write_all(fd_, Json(row).dump() + "\n", path_); }

std::vector<Json> read_rows(const std::string& path) {
  std::vector<Json> rows;
  for_each_row(path, [&](std::string_view, Json row) { rows.push_back(std::move(row)); });
  return rows;
}

}  // namespace powerhouse
