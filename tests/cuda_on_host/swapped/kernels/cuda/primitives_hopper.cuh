// kernels/cuda/primitives_hopper.cuh as kernels see it when g++ compiles them for the CPU: the same names, kept by the
// shim. Registers are not counted, and that warpgroup_fence() stands where it has to is not seen.
#pragma once

#include <type_traits>

#include "cuda_on_host/proxies.h"
#include "cuda_on_host/shared_barriers.h"
#include "cuda_on_host/warpgroup.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/tensor_map.h"

#define __grid_constant__

namespace powerhouse::cuda {

template <int kRegisters>
static __forceinline__ void give_registers() {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
}
template <int kRegisters>
static __forceinline__ void take_registers() {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
}

using SharedBarrier = std::uint64_t;

static __forceinline__ void barrier_init(SharedBarrier* barrier, int arrivals) {
  host::barrier_init(barrier, arrivals);
}
static __forceinline__ void barrier_init_fence() {}
static __forceinline__ void barrier_arrive(SharedBarrier* barrier) { host::barrier_arrive(barrier, 0); }
static __forceinline__ void barrier_arrive_expecting(SharedBarrier* barrier, int bytes) {
  host::barrier_arrive(barrier, bytes);
}
static __forceinline__ void barrier_wait(SharedBarrier* barrier, int parity) { host::barrier_wait(barrier, parity); }
static __forceinline__ void fence_async() { host::fence_async(); }

static __forceinline__ void copy_tile(void* to, const TensorMap& map, SharedBarrier* barrier, int column, int row,
                                      int head, int outer) {
  host::copy_tile(to, map, barrier, column, row, head, outer);
}

static __forceinline__ void warpgroup_fence() {}
static __forceinline__ void warpgroup_commit() { host::warpgroup_commit(); }
template <int kPending>
static __forceinline__ void warpgroup_wait() {
  host::warpgroup_wait(kPending);
}
template <int kColumns>
static __forceinline__ void keep_registers(float (&)[kColumns][4]) {}

static __forceinline__ std::uint64_t operand(const void* at, int next_columns) {
  return host::shared_address(at) >> 4 | static_cast<std::uint64_t>(next_columns >> 4) << 16 |
         static_cast<std::uint64_t>(1024 >> 4) << 32 | static_cast<std::uint64_t>(1) << 62;
}
static __forceinline__ std::uint64_t advance(std::uint64_t from, int bytes) {
  return from + static_cast<std::uint64_t>(bytes >> 4);
}

template <int kColumns, typename Element>
static __forceinline__ void multiply_warpgroup(float (&d)[kColumns][4], std::uint64_t a, std::uint64_t b, bool add,
                                               Element) {
  host::multiply_warpgroup(&d[0][0], kColumns, nullptr, a, b, add, std::is_same_v<Element, bfloat16>);
}
template <int kColumns, typename Element>
static __forceinline__ void multiply_warpgroup(float (&d)[kColumns][4], const std::uint32_t (&a)[4], std::uint64_t b,
                                               bool add, Element) {
  host::multiply_warpgroup(&d[0][0], kColumns, a, 0, b, add, std::is_same_v<Element, bfloat16>);
}

template <int kColumns, typename Element>
static __forceinline__ void multiply_warpgroup_turned(float (&d)[kColumns][4], std::uint64_t a, std::uint64_t b,
                                                      bool add, Element) {
  host::multiply_warpgroup(&d[0][0], kColumns, nullptr, a, b, add, std::is_same_v<Element, bfloat16>, true);
}

static __forceinline__ int read_warpgroup() { return shuffle(read_place().thread / 128, 0); }

/// Blocks run one after another, so that a turn that has not come never does.
static __forceinline__ void wait_for_turn(const int* turns, int turn) { host::wait_for_turn(turns, turn); }
static __forceinline__ void end_turn(int* turns) { host::atomic_add(turns, 1); }
static __forceinline__ void add_four_to_global(float* at, const float (&values)[4]) {
  host::atomic_add_four(at, values);
}

}  // namespace powerhouse::cuda
