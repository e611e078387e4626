#include "cuda_on_host/atomics.h"

#include <algorithm>
#include <cstring>

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {
namespace {

/// Threads switch only where they wait, so a plain change is whole.
template <typename T, typename Change>
T change(void* at, const void* site, Change op) {
  const InShim in_shim;
  Machine& all = machine();
  ++all.report->atomics;
  check_access(reinterpret_cast<std::uintptr_t>(at), sizeof(T), Use::atomic, "atom.shared", "atom.global", site);
  T before;
  std::memcpy(&before, at, sizeof before);
  const T after = op(before);
  std::memcpy(at, &after, sizeof after);
  return before;
}

template <typename Element>
std::uint32_t add_pair(Element* at, std::uint32_t value, const void* site) {
  return change<std::uint32_t>(at, site, [value](std::uint32_t before) {
    std::uint32_t after = 0;
    for (unsigned shift = 0; shift < 32; shift += 16) {
      const float sum = to_float(Element{static_cast<std::uint16_t>(before >> shift)}) +
                        to_float(Element{static_cast<std::uint16_t>(value >> shift)});
      after |= static_cast<std::uint32_t>(rounded<Element>(sum).bits) << shift;
    }
    return after;
  });
}

}  // namespace

float atomic_add(float* at, float value) {
  return change<float>(at, __builtin_return_address(0), [value](float before) { return before + value; });
}

void atomic_add_four(float* at, const float* values) {
  struct Four {
    float number[4];
  };
  change<Four>(at, __builtin_return_address(0), [values](Four four) {
    for (int i = 0; i < 4; ++i) four.number[i] += values[i];
    return four;
  });
}

void wait_for_turn(const std::int32_t* turns, std::int32_t turn) {
  const auto same = [](std::int32_t before) { return before; };
  auto* const at = const_cast<std::int32_t*>(turns);
  if (change<std::int32_t>(at, __builtin_return_address(0), same) == turn) return;
  fail_at(FaultKind::deadlock, reinterpret_cast<std::uintptr_t>(turns), "waits for a turn that does not come");
}

std::int32_t atomic_add(std::int32_t* at, std::int32_t value) {
  return static_cast<std::int32_t>(
      change<std::uint32_t>(at, __builtin_return_address(0),
                            [value](std::uint32_t before) { return before + static_cast<std::uint32_t>(value); }));
}

std::uint32_t atomic_add(std::uint32_t* at, std::uint32_t value) {
  return change<std::uint32_t>(at, __builtin_return_address(0),
                               [value](std::uint32_t before) { return before + value; });
}

std::int32_t atomic_max(std::int32_t* at, std::int32_t value) {
  return change<std::int32_t>(at, __builtin_return_address(0),
                              [value](std::int32_t before) { return std::max(before, value); });
}

std::uint32_t atomic_exchange(std::uint32_t* at, std::uint32_t value) {
  return change<std::uint32_t>(at, __builtin_return_address(0), [value](std::uint32_t) { return value; });
}

std::uint32_t atomic_compare_exchange(std::uint32_t* at, std::uint32_t expected, std::uint32_t value) {
  return change<std::uint32_t>(at, __builtin_return_address(0),
                               [expected, value](std::uint32_t before) { return before == expected ? value : before; });
}

std::uint32_t atomic_add_pair(bfloat16* at, std::uint32_t value) {
  return add_pair(at, value, __builtin_return_address(0));
}

std::uint32_t atomic_add_pair(float16* at, std::uint32_t value) {
  return add_pair(at, value, __builtin_return_address(0));
}

}  // namespace powerhouse::cuda_on_host
