#include "support/thread_scratch.h"

#include <sys/mman.h>

#include <cstdlib>
#include <memory>

#include "powerhouse/error.h"
#include "support/large_page.h"

namespace powerhouse {
namespace {

struct Release {
  void operator()(float* memory) const { std::free(memory); }
};

}  // namespace

float* thread_scratch(std::int64_t count) {
  thread_local std::unique_ptr<float, Release> room;
  thread_local std::size_t size = 0;
  const std::size_t bytes =
      (static_cast<std::size_t>(count) * sizeof(float) + kLargePage - 1) / kLargePage * kLargePage;
  if (bytes > size) {
    room.reset();
    size = 0;
    room.reset(static_cast<float*>(std::aligned_alloc(kLargePage, bytes)));
    if (!room) throw Error(ErrorKind::memory, "no memory for a kernel's scratch", {.found = std::to_string(bytes)});
    madvise(room.get(), bytes, MADV_HUGEPAGE);
    size = bytes;
  }
  return room.get();
}

}  // namespace powerhouse
