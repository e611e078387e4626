// Allocations that fail when a test wants them to: every `operator new` of the binary that this is linked into.
#pragma once

#include <cstddef>
#include <cstdint>

namespace powerhouse::testing {

struct FailingAllocations {
  std::int64_t number = 0;   // so many succeed first
  std::size_t smallest = 0;  // of those that count: smaller ones succeed always
  bool once = true;          // one fails; else all from there on
};

void fail_allocations(const FailingAllocations& which) noexcept;
void fail_no_allocations() noexcept;

}  // namespace powerhouse::testing
