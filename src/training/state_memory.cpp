#include "training/state_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

/// A descriptor that closes itself: the mapping outlives it.
struct PageFile {
  int fd;
  ~PageFile() { ::close(fd); }
};

int open_page_file(std::string folder, std::size_t bytes) {
  if (folder.empty()) {
    std::error_code failure;
    folder = std::filesystem::temp_directory_path(failure).string();
    if (failure) folder = "/tmp";
  }
  std::string path = folder + "/.optimizer-states-XXXXXX";
  const auto refuse = [&](const char* what, int reason) -> Error {
    return {ErrorKind::io,
            what,
            {.file = folder,
             .field = "page_folder",
             .expected = "room for " + std::to_string(bytes) + " bytes of optimizer states",
             .found = std::strerror(reason)}};
  };
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) throw refuse("cannot make the file of paged optimizer states", errno);
  ::unlink(path.c_str());
  int result = 0;
  do {
    result = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  } while (result == EINTR);
  if (result != 0) {
    ::close(fd);
    throw refuse("cannot reserve the file of paged optimizer states", result);
  }
  return fd;
}

}  // namespace

StateMemory::StateMemory(std::size_t bytes, bool paged, const std::string& folder) : size_(bytes), paged_(paged) {
  if (bytes == 0) return;
  void* mapping = MAP_FAILED;
  if (paged) {
    const PageFile file{open_page_file(folder, bytes)};
    mapping = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
  } else {
    mapping = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (mapping == MAP_FAILED) {
    throw Error(ErrorKind::memory, "no memory for the optimizer's states",
                {.expected = std::to_string(bytes) + " bytes", .found = std::strerror(errno)});
  }
  if (!paged) ::madvise(mapping, bytes, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(mapping);
}

StateMemory::~StateMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

void StateMemory::release(const void* data, std::size_t size) const noexcept {
  if (!paged_) return;
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = (address + page - 1) / page * page;
  const std::uintptr_t end = (address + size) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace powerhouse
