// kernels/cuda/primitives.cuh as kernels see it when g++ compiles them for the CPU: the same names, kept by the shim.
//
// The folder `swapped` stands before the repository among the include paths, so that this file is found first.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda_on_host/atomics.h"
#include "cuda_on_host/copies.h"
#include "cuda_on_host/device.h"
#include "cuda_on_host/matrix.h"
#include "cuda_on_host/warp.h"
#include "kernels/common/float16.h"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define threadIdx (::powerhouse::cuda_on_host::position.thread)
#define blockIdx (::powerhouse::cuda_on_host::position.block)
#define blockDim (::powerhouse::cuda_on_host::position.block_size)
#define gridDim (::powerhouse::cuda_on_host::position.grid)

namespace powerhouse::cuda {

namespace host = cuda_on_host;

static constexpr unsigned kAllLanes = 0xFFFFFFFFu;

static __forceinline__ unsigned char* shared_memory() { return host::shared_memory(); }

struct Place {
  int thread, block_x, block_y, block_z;
};
static __forceinline__ Place read_place() {
  return {static_cast<int>(threadIdx.x), static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y),
          static_cast<int>(blockIdx.z)};
}

static __forceinline__ void sync_block() { host::come_to_barrier(0, 0, true); }
static __forceinline__ void sync_warp(unsigned mask = kAllLanes) { host::sync_warp(mask); }
static __forceinline__ void sync_named(int id, int threads) { host::come_to_barrier(id, threads, true); }
static __forceinline__ void arrive_named(int id, int threads) { host::come_to_barrier(id, threads, false); }

// Launches run one after the other here.
static __forceinline__ void begin_next_launch() {}
static __forceinline__ void wait_for_launch_before() {}

template <int kBytes>
static __forceinline__ void copy_async(void* to, const void* from, bool valid) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  host::copy_async(to, from, kBytes, valid ? kBytes : 0);
}
static __forceinline__ void copy_async_commit() { host::copy_async_commit(); }
template <int kPending>
static __forceinline__ void copy_async_wait() {
  host::copy_async_wait(kPending);
}

static __forceinline__ void load_matrix_x4(std::uint32_t (&r)[4], const void* row) {
  host::load_matrix(r, row, 4, false);
}
static __forceinline__ void load_matrix_x4_transposed(std::uint32_t (&r)[4], const void* row) {
  host::load_matrix(r, row, 4, true);
}
static __forceinline__ std::uint32_t transpose_matrix(std::uint32_t rows) { return host::transpose_matrix(rows); }
static __forceinline__ void store_matrix_x4(const std::uint32_t (&r)[4], void* row) {
  host::store_matrix(r, row, 4, false);
}

template <typename Element>
static __forceinline__ void multiply_16816(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                           std::uint32_t b1, Element type) {
  const std::uint32_t b[2] = {b0, b1};
  host::multiply_16816(d, a, b, type);
}
template <typename Element>
static __forceinline__ void multiply_16816(float (&d)[4], const float (&c)[4], const std::uint32_t (&a)[4],
                                           std::uint32_t b0, std::uint32_t b1, Element type) {
  float sums[4] = {c[0], c[1], c[2], c[3]};  // d may be c
  multiply_16816(sums, a, b0, b1, type);
  for (int i = 0; i < 4; ++i) d[i] = sums[i];
}
static __forceinline__ void multiply_16832_int8(std::int32_t (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                std::uint32_t b1) {
  const std::uint32_t b[2] = {b0, b1};
  host::multiply_16832(d, a, b);
}
static __forceinline__ void multiply_1688_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                               std::uint32_t b1) {
  const std::uint32_t b[2] = {b0, b1};
  host::multiply_1688(d, a, b);
}

template <typename T>
static __forceinline__ T shuffle_by(host::Shuffle kind, T value, int operand, unsigned mask) {
  static_assert(sizeof(T) == 4);
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  bits = host::shuffle(kind, bits, static_cast<unsigned>(operand), mask);
  std::memcpy(&value, &bits, 4);
  return value;
}
template <typename T>
static __forceinline__ T shuffle(T value, int lane, unsigned mask = kAllLanes) {
  return shuffle_by(host::Shuffle::index, value, lane, mask);
}
template <typename T>
static __forceinline__ T shuffle_xor(T value, int lanes, unsigned mask = kAllLanes) {
  return shuffle_by(host::Shuffle::exclusive_or, value, lanes, mask);
}
template <typename T>
static __forceinline__ T shuffle_up(T value, int lanes, unsigned mask = kAllLanes) {
  return shuffle_by(host::Shuffle::up, value, lanes, mask);
}
template <typename T>
static __forceinline__ T shuffle_down(T value, int lanes, unsigned mask = kAllLanes) {
  return shuffle_by(host::Shuffle::down, value, lanes, mask);
}
static __forceinline__ unsigned ballot(bool predicate, unsigned mask = kAllLanes) {
  return host::vote(host::Vote::ballot, predicate, mask);
}
static __forceinline__ bool any_lane(bool predicate, unsigned mask = kAllLanes) {
  return host::vote(host::Vote::any, predicate, mask) != 0;
}
static __forceinline__ bool all_lanes(bool predicate, unsigned mask = kAllLanes) {
  return host::vote(host::Vote::all, predicate, mask) != 0;
}

template <typename T>
static __forceinline__ T add_atomic(T* at, T value) {
  return host::atomic_add(at, value);
}
static __forceinline__ std::int32_t max_atomic(std::int32_t* at, std::int32_t value) {
  return host::atomic_max(at, value);
}
static __forceinline__ std::uint32_t exchange_atomic(std::uint32_t* at, std::uint32_t value) {
  return host::atomic_exchange(at, value);
}
static __forceinline__ std::uint32_t compare_exchange_atomic(std::uint32_t* at, std::uint32_t expected,
                                                             std::uint32_t value) {
  return host::atomic_compare_exchange(at, expected, value);
}
static __forceinline__ void add_to_global(float* at, float value) { host::atomic_add(at, value); }
template <typename Element>
static __forceinline__ std::uint32_t add_pair_atomic(Element* at, std::uint32_t value) {
  return host::atomic_add_pair(at, value);
}

static __forceinline__ float exp2_approximate(float x) { return std::exp2(x); }
static __forceinline__ float log2_approximate(float x) { return std::log2(x); }
static __forceinline__ float reciprocal_approximate(float x) { return 1.0f / x; }
static __forceinline__ float maximum(float a, float b) { return a < b || a != a ? b : a; }

template <typename Element>
static __forceinline__ std::uint32_t pack(float first, float second, Element) {
  return rounded<Element>(first).bits | static_cast<std::uint32_t>(rounded<Element>(second).bits) << 16;
}
template <typename Element>
static __forceinline__ std::uint32_t multiply_add_pair(std::uint32_t a, std::uint32_t b, std::uint32_t c, Element) {
  std::uint32_t pair = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const auto half = [shift](std::uint32_t of) {
      return static_cast<double>(to_float(Element{static_cast<std::uint16_t>(of >> shift)}));
    };
    const auto sum = static_cast<float>(half(a) * half(b) + half(c));
    pair |= static_cast<std::uint32_t>(rounded<Element>(sum).bits) << shift;
  }
  return pair;
}
static __forceinline__ std::uint32_t masked_or(std::uint32_t a, std::uint32_t mask, std::uint32_t bits) {
  return (a & mask) | bits;
}
static __forceinline__ std::uint32_t masked_xor(std::uint32_t a, std::uint32_t mask, std::uint32_t bits) {
  return (a & mask) ^ bits;
}
static __forceinline__ std::uint32_t choose_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(b) << 32 | a;
  std::uint32_t chosen = 0;
  for (int i = 0; i < 4; ++i) {
    chosen |= static_cast<std::uint32_t>(bytes >> 8 * (selector >> 4 * i & 7u) & 255u) << 8 * i;
  }
  return chosen;
}

}  // namespace powerhouse::cuda
