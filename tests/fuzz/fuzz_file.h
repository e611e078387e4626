// Bytes of a fuzzer as a mapped file, without a disk.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "support/mapped_file.h"

namespace powerhouse::testing {

inline std::shared_ptr<const MappedFile> fuzz_file(const std::uint8_t* data, std::size_t size) {
  const int descriptor = ::memfd_create("fuzz", 0);
  if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  auto file = MappedFile::open("/proc/self/fd/" + std::to_string(descriptor));
  ::close(descriptor);
  return file;
}

}  // namespace powerhouse::testing
