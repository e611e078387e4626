#include "support/write_all.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "powerhouse/error.h"

namespace powerhouse {

void fail_io(const std::string& path, const char* verb) {
  throw Error(ErrorKind::io, std::string("cannot ") + verb + ": " + std::strerror(errno), {.file = path});
}

void write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_io(path, "write");
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace powerhouse
