// What a launch of a kernel is made of, and how rows of elements are cut for one: plain functions, the same for the
// device's launchers and for tests on the CPU.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cuda {

struct LaunchShape {
  std::int64_t grid_x = 1, grid_y = 1, grid_z = 1;
  unsigned block_x = 1, block_y = 1;
  std::int64_t shared_bytes = 0;
  bool early = false;  ///< may begin while the launch before runs, for which wait_for_launch_before() waits

  bool empty() const { return grid_x == 0 || grid_y == 0 || grid_z == 0; }
};

inline constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Whether 16-byte accesses fit: all pointers (null ones do) and all strides and sizes in elements.
struct Alignment {
  std::int64_t bytes;  ///< of an element
  bool whole = true;

  Alignment& pointer(const void* p) {
    whole = whole && reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
    return *this;
  }
  Alignment& elements(std::int64_t count) {
    whole = whole && count * bytes % 16 == 0;
    return *this;
  }
};

template <int kNumber>
struct Constant {
  static constexpr int kValue = kNumber;
};

/// visitor(T{}) with the element's type.
template <typename Visitor>
auto visit_element(Element type, const Visitor& visitor) {
  switch (type) {
    case Element::bf16: return visitor(bfloat16{});
    case Element::f16: return visitor(float16{});
    default: return visitor(float{});
  }
}

}  // namespace powerhouse::cuda
