#include "support/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Its last owner may have renamed or removed it after it was opened here.
bool is_named(int fd, const std::string& folder) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(fd, &opened) == 0 && ::stat(folder.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

}  // namespace

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

void FolderLock::take(const std::string& folder, const std::string& field) {
  for (;;) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw Error(ErrorKind::io, "cannot make the folder: " + error.message(), {.file = folder});
    fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd_ < 0 && errno == ENOENT) continue;
    if (fd_ < 0) return;
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return;
      throw Error(ErrorKind::usage, "another run writes into this folder", {.file = folder, .field = field});
    }
    if (is_named(fd_, folder)) return;
    ::close(std::exchange(fd_, -1));
  }
}

}  // namespace powerhouse
