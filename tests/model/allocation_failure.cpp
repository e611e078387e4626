#include "model/allocation_failure.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

constexpr std::int64_t kNever = std::int64_t{1} << 62;
std::atomic<std::int64_t> left{kNever};
std::atomic<std::size_t> smallest{0};
std::atomic<bool> once{true};

bool fails(std::size_t size) {
  if (size < smallest) return false;
  const std::int64_t before = left.fetch_sub(1);
  return once ? before == 0 : before <= 0;
}

}  // namespace

void* operator new(std::size_t size) {
  if (fails(size)) throw std::bad_alloc();
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace powerhouse::testing {

void fail_allocations(const FailingAllocations& which) noexcept {
  once = which.once;
  smallest = which.smallest;
  left = which.number;
}

void fail_no_allocations() noexcept { left = kNever; }

}  // namespace powerhouse::testing
