#include "support/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <utility>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::string& path, int flags = 0)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)) {
    if (fd_ < 0) {
      const int code = errno;
      throw Error(code == ENOENT || code == ENOTDIR ? ErrorKind::not_found : ErrorKind::io,
                  code == ENOENT ? "no such file" : std::string("cannot open: ") + std::strerror(code), {.file = path});
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  const Descriptor descriptor(path, O_NONBLOCK);  // else a pipe that nobody writes to would be waited for
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) {
    throw Error(ErrorKind::io, std::string("cannot stat: ") + std::strerror(errno), {.file = path});
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::io, "not a regular file", {.file = path});
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* data = nullptr;
  if (size > 0) {
    // Private and writable: a tensor over these bytes may be written in place, and the system then copies the page; the
    // file itself never changes.
    data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor.get(), 0);
    if (data == MAP_FAILED) {
      throw Error(ErrorKind::io, std::string("cannot map: ") + std::strerror(errno), {.file = path});
    }
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, data, size));
}

std::shared_ptr<const MappedFile> MappedFile::in_memory(std::string path, std::vector<std::byte> bytes) {
  const std::shared_ptr<MappedFile> file(new MappedFile(std::move(path), nullptr, bytes.size()));
  file->memory_ = std::move(bytes);
  file->data_ = file->memory_.data();
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr && memory_.empty()) ::munmap(data_, size_);
}

void MappedFile::release(const void* data, std::size_t size) const noexcept {
  if (!memory_.empty()) return;
  // Only whole pages inside the range: a neighbour tensor may share the first and the last.
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(data) + size) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

bool may_exist(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::status(path, ignored).type() != std::filesystem::file_type::not_found;
}

std::string read_text(const std::string& path, std::size_t max_bytes) {
  const Descriptor descriptor(path);
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(descriptor.get(), buffer, sizeof buffer);
    if (count == 0) return text;
    if (count < 0) {
      if (errno == EINTR) continue;
      throw Error(ErrorKind::io, std::string("cannot read: ") + std::strerror(errno), {.file = path});
    }
    if (text.size() + static_cast<std::size_t>(count) > max_bytes) {
      throw Error(ErrorKind::range, "file too large",
                  {.file = path, .expected = "at most " + std::to_string(max_bytes) + " bytes"});
    }
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

}  // namespace powerhouse
