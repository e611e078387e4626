#include "ops/panel_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "powerhouse/error.h"
#include "support/large_page.h"

namespace powerhouse {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kSlab = 16 * kLargePage;  // what is not used of the last one is never touched

std::size_t rounded(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

std::shared_ptr<void> PanelMemory::take(std::size_t bytes, const std::string& owner) {
  bytes = rounded(bytes, kLine);
  if (used_ + bytes > size_) {
    size_ = rounded(std::max(bytes, kSlab), kLargePage);
    used_ = 0;
    slab_.reset(std::aligned_alloc(kLargePage, size_), [](void* memory) { std::free(memory); });
    if (!slab_) {
      size_ = 0;
      throw Error(ErrorKind::memory, "no memory for a packed weight", {.field = owner});
    }
    madvise(slab_.get(), size_, MADV_HUGEPAGE);
  }
  std::shared_ptr<void> room(slab_, static_cast<char*>(slab_.get()) + used_);
  used_ += bytes;
  return room;
}

}  // namespace powerhouse
