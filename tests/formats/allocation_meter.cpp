#include "formats/allocation_meter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> total{0};

}  // namespace

void* operator new(std::size_t size) {
  total += size;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace powerhouse::testing {

std::size_t allocated_bytes() noexcept { return total; }

}  // namespace powerhouse::testing
