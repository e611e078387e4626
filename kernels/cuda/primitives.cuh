// The only file that knows PTX, but for primitives_hopper.cuh: what kernels ask of the hardware, sm_80 and newer.
//
// Tests compile kernels with g++ and another file of this name in front of it, which checks what they do
// (tests/cuda_on_host). Every wrapper that orders memory, or reads what plain stores wrote, clobbers "memory": that the
// compiler moves an access across it is what no test without a GPU can see.
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"

namespace powerhouse::cuda {

static constexpr unsigned kAllLanes = 0xFFFFFFFFu;

/// The block's dynamic shared memory.
static __device__ __forceinline__ unsigned char* shared_memory() {
  extern __shared__ __align__(1024) unsigned char powerhouse_shared_memory[];
  return powerhouse_shared_memory;
}

/// Where a thread stands. read_place() reads it anew at each call, so that what follows from it need not be kept in
/// registers meanwhile: compilers take two reads of threadIdx for one.
struct Place {
  int thread, block_x, block_y, block_z;
};
static __device__ __forceinline__ Place read_place() {
  Place place;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(place.thread));
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(place.block_x));
  asm volatile("mov.u32 %0, %%ctaid.y;" : "=r"(place.block_y));
  asm volatile("mov.u32 %0, %%ctaid.z;" : "=r"(place.block_z));
  return place;
}

static __device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// Barriers.

static __device__ __forceinline__ void sync_block() { __syncthreads(); }
static __device__ __forceinline__ void sync_warp(unsigned mask = kAllLanes) { __syncwarp(mask); }
/// Barriers 1 to 15 for `threads`, a multiple of 32, of the block; number 0 is sync_block's.
static __device__ __forceinline__ void sync_named(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
static __device__ __forceinline__ void arrive_named(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Launches that overlap (LaunchShape::early). Before sm_90 they do not.

/// From here on the next launch may begin, if it is an early one, once all blocks came by.
static __device__ __forceinline__ void begin_next_launch() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
/// Until all that was queued before is done and can be read.
static __device__ __forceinline__ void wait_for_launch_before() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Asynchronous copies from global to shared memory.

/// kBytes, 4, 8 or 16, aligned alike; zeros and no access to global memory where it is not valid.
template <int kBytes>
static __device__ __forceinline__ void copy_async(void* to, const void* from, bool valid) {
  const int source = valid ? kBytes : 0;
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(source)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(kBytes),
                 "r"(source)
                 : "memory");
  }
}
static __device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most kPending of the groups committed last are unfinished.
template <int kPending>
static __device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Fragments of matrices. Four 8 x 8 matrices of 16-bit elements; lanes 8 m to 8 m + 7 give the rows of matrix m.

static __device__ __forceinline__ void load_matrix_x4(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
static __device__ __forceinline__ void load_matrix_x4_transposed(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
/// Of one such matrix with its rows in the lanes as load_matrix leaves them: rows become columns.
static __device__ __forceinline__ std::uint32_t transpose_matrix(std::uint32_t rows) {
  std::uint32_t columns;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(columns) : "r"(rows));
  return columns;
}
/// Needs sm_90.
static __device__ __forceinline__ void store_matrix_x4(const std::uint32_t (&r)[4], void* row) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(shared_address(row)), "r"(r[0]),
               "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

// Products: d += a b of [16, k] by [k, 8], by all lanes of a warp.

static __device__ __forceinline__ void multiply_16816(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                      std::uint32_t b1, bfloat16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
static __device__ __forceinline__ void multiply_16816(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                      std::uint32_t b1, float16) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// d = a b + c; an array of zeros costs no register.
static __device__ __forceinline__ void multiply_16816(float (&d)[4], const float (&c)[4], const std::uint32_t (&a)[4],
                                                      std::uint32_t b0, std::uint32_t b1, bfloat16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}
static __device__ __forceinline__ void multiply_16816(float (&d)[4], const float (&c)[4], const std::uint32_t (&a)[4],
                                                      std::uint32_t b0, std::uint32_t b1, float16) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}
static __device__ __forceinline__ void multiply_16832_int8(std::int32_t (&d)[4], const std::uint32_t (&a)[4],
                                                           std::uint32_t b0, std::uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
static __device__ __forceinline__ void multiply_1688_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                                          std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Between the lanes of a warp.

template <typename T>
static __device__ __forceinline__ T shuffle(T value, int lane, unsigned mask = kAllLanes) {
  return __shfl_sync(mask, value, lane);
}
template <typename T>
static __device__ __forceinline__ T shuffle_xor(T value, int lanes, unsigned mask = kAllLanes) {
  return __shfl_xor_sync(mask, value, lanes);
}
template <typename T>
static __device__ __forceinline__ T shuffle_up(T value, int lanes, unsigned mask = kAllLanes) {
  return __shfl_up_sync(mask, value, static_cast<unsigned>(lanes));
}
template <typename T>
static __device__ __forceinline__ T shuffle_down(T value, int lanes, unsigned mask = kAllLanes) {
  return __shfl_down_sync(mask, value, static_cast<unsigned>(lanes));
}
static __device__ __forceinline__ unsigned ballot(bool predicate, unsigned mask = kAllLanes) {
  return __ballot_sync(mask, predicate);
}
static __device__ __forceinline__ bool any_lane(bool predicate, unsigned mask = kAllLanes) {
  return __any_sync(mask, predicate) != 0;
}
static __device__ __forceinline__ bool all_lanes(bool predicate, unsigned mask = kAllLanes) {
  return __all_sync(mask, predicate) != 0;
}

// Atomic operations; all return what was there before.

static __device__ __forceinline__ float add_atomic(float* at, float value) { return atomicAdd(at, value); }
static __device__ __forceinline__ std::int32_t add_atomic(std::int32_t* at, std::int32_t value) {
  return atomicAdd(at, value);
}
static __device__ __forceinline__ std::uint32_t add_atomic(std::uint32_t* at, std::uint32_t value) {
  return atomicAdd(at, value);
}
static __device__ __forceinline__ std::int32_t max_atomic(std::int32_t* at, std::int32_t value) {
  return atomicMax(at, value);
}
static __device__ __forceinline__ std::uint32_t exchange_atomic(std::uint32_t* at, std::uint32_t value) {
  return atomicExch(at, value);
}
static __device__ __forceinline__ std::uint32_t compare_exchange_atomic(std::uint32_t* at, std::uint32_t expected,
                                                                        std::uint32_t value) {
  return atomicCAS(at, expected, value);
}
/// Adds to global memory and returns nothing, which costs one instruction.
static __device__ __forceinline__ void add_to_global(float* at, float value) {
  asm volatile("red.global.add.f32 [%0], %1;" ::"l"(__cvta_generic_to_global(at)), "f"(value) : "memory");
}
/// Two elements side by side, aligned to 4 bytes, each atomic by itself. bf16 needs sm_90.
static __device__ __forceinline__ std::uint32_t add_pair_atomic(bfloat16* at, std::uint32_t value) {
  std::uint32_t before;
  asm volatile("atom.global.add.noftz.bf16x2 %0, [%1], %2;"
               : "=r"(before)
               : "l"(__cvta_generic_to_global(at)), "r"(value)
               : "memory");
  return before;
}
static __device__ __forceinline__ std::uint32_t add_pair_atomic(float16* at, std::uint32_t value) {
  std::uint32_t before;
  asm volatile("atom.global.add.noftz.f16x2 %0, [%1], %2;"
               : "=r"(before)
               : "l"(__cvta_generic_to_global(at)), "r"(value)
               : "memory");
  return before;
}

// Numbers. Approximate where the name says so: an error of about 2^-22 of the result.

static __device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
static __device__ __forceinline__ float log2_approximate(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
static __device__ __forceinline__ float reciprocal_approximate(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// The other one where one is NaN.
static __device__ __forceinline__ float maximum(float a, float b) { return fmaxf(a, b); }

// cuda_fp16.h and cuda_bf16.h have these three too, but reading them takes a third of the time for a small file. Braces
// and line's end are as there: by them the compiler guesses an asm's size, and decides what to unroll.
static __device__ __forceinline__ float widen_half(std::uint16_t bits) {
  float value;
  asm("{  cvt.f32.f16 %0, %1;}\n" : "=f"(value) : "h"(bits));
  return value;
}
/// Rounded to nearest even, as by all below.
static __device__ __forceinline__ std::uint16_t narrow_bits(float value, bfloat16) {
  std::uint16_t bits;
  asm("{  cvt.rn.bf16.f32 %0, %1;}\n" : "=h"(bits) : "f"(value));
  return bits;
}
static __device__ __forceinline__ std::uint16_t narrow_bits(float value, float16) {
  std::uint16_t bits;
  asm("{  cvt.rn.f16.f32 %0, %1;}\n" : "=h"(bits) : "f"(value));
  return bits;
}

/// Two elements in a register, the first in its low half.
static __device__ __forceinline__ std::uint32_t pack(float first, float second, bfloat16) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
static __device__ __forceinline__ std::uint32_t pack(float first, float second, float16) {
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
/// a b + c of both elements of a register, each rounded once.
static __device__ __forceinline__ std::uint32_t multiply_add_pair(std::uint32_t a, std::uint32_t b, std::uint32_t c,
                                                                  bfloat16) {
  std::uint32_t pair;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(pair) : "r"(a), "r"(b), "r"(c));
  return pair;
}
static __device__ __forceinline__ std::uint32_t multiply_add_pair(std::uint32_t a, std::uint32_t b, std::uint32_t c,
                                                                  float16) {
  std::uint32_t pair;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(pair) : "r"(a), "r"(b), "r"(c));
  return pair;
}
/// (a & mask) | bits, one instruction, which compilers make two of where both are constants.
static __device__ __forceinline__ std::uint32_t masked_or(std::uint32_t a, std::uint32_t mask, std::uint32_t bits) {
  std::uint32_t out;
  asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(out) : "r"(a), "r"(mask), "r"(bits));
  return out;
}
/// (a & mask) ^ bits, one instruction likewise.
static __device__ __forceinline__ std::uint32_t masked_xor(std::uint32_t a, std::uint32_t mask, std::uint32_t bits) {
  std::uint32_t out;
  asm("lop3.b32 %0, %1, %2, %3, 0x6A;" : "=r"(out) : "r"(a), "r"(mask), "r"(bits));
  return out;
}
/// Four of the bytes of a (0 to 3) and b (4 to 7), by the nibbles of the selector, the lowest byte first.
static __device__ __forceinline__ std::uint32_t choose_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
  return __byte_perm(a, b, selector);
}

}  // namespace powerhouse::cuda
