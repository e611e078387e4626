// What kernels ask of Hopper alone (sm_90a): products of a warpgroup, copies of tensor tiles, barriers in shared memory
// that count bytes. Beside primitives.cuh the only file that knows PTX.
//
// A warpgroup is four warps whose first has a number divisible by four. Its products run on their own: from
// warpgroup_fence() on until warpgroup_wait() says so, nothing may touch the registers that they write or read, and
// keep_registers() after the wait is what tells the compiler.
#pragma once

#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/tensor_map.h"

namespace powerhouse::cuda {

// Registers: a kernel begins with as many for each thread, and its warpgroups pass them to each other. A multiple of 8.

template <int kRegisters>
static __device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
static __device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Barriers in shared memory (mbarrier). A phase ends when all arrivals and all bytes that were announced have come; the
// parity of phases that one waits for begins with 0.

using SharedBarrier = std::uint64_t;

static __device__ __forceinline__ void barrier_init(SharedBarrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
/// Makes barriers known to copies; then the block's threads meet.
static __device__ __forceinline__ void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
static __device__ __forceinline__ void barrier_arrive(SharedBarrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
static __device__ __forceinline__ void barrier_arrive_expecting(SharedBarrier* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
/// Returns when the phase of this parity has ended: at once where a later one goes on.
static __device__ __forceinline__ void barrier_wait(SharedBarrier* barrier, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred ended;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
      "@ended bra done;\n"
      "bra again;\n"
      "done:\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}
/// Between plain accesses to shared memory and those of copies and products, in each thread that made the plain ones.
static __device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Copies of tiles of a tensor, by one thread. Elements outside of the tensor come as zeros, and their bytes count.

static __device__ __forceinline__ void copy_tile(void* to, const TensorMap& map, SharedBarrier* barrier, int column,
                                                 int row, int head, int outer) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(column), "r"(row), "r"(head), "r"(outer)
      : "memory");
}

// Products of a warpgroup.

static __device__ __forceinline__ void warpgroup_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
static __device__ __forceinline__ void warpgroup_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits until at most kPending of the groups committed last are unfinished.
template <int kPending>
static __device__ __forceinline__ void warpgroup_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
template <int kColumns>
static __device__ __forceinline__ void keep_registers(float (&x)[kColumns][4]) {
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
    asm volatile("" : "+f"(x[n][0]), "+f"(x[n][1]), "+f"(x[n][2]), "+f"(x[n][3])::"memory");
  }
}

/// Where an operand lies in shared memory: rows of 128 bytes whose chunks of 16 stand at chunk ^ (row % 8), as
/// copy_tile leaves them. From eight rows to the next it is 1024 bytes; `next_columns` bytes are between segments of 64
/// columns of an operand whose columns are the product's. Made anew at each call, so that operands derived from one
/// that a loop does not change are not kept in registers through it.
static __device__ __forceinline__ std::uint64_t operand(const void* at, int next_columns) {
  std::uint64_t made = static_cast<std::uint64_t>((shared_address(at) & 0x3FFFFu) >> 4) |
                       static_cast<std::uint64_t>(next_columns >> 4) << 16 |
                       static_cast<std::uint64_t>(1024 >> 4) << 32 | static_cast<std::uint64_t>(1) << 62;
  asm volatile("" : "+l"(made));
  return made;
}
/// The operand so many bytes further.
static __device__ __forceinline__ std::uint64_t advance(std::uint64_t from, int bytes) {
  return from + static_cast<std::uint64_t>(bytes >> 4);
}

// multiply_warpgroup: d = a b, or d += a b, of [64, 16] by [16, 8 kColumns]. Warp w holds rows 16 w to 16 w + 15 of d
// as fragments of multiply_16816. Both operands in shared memory: a [64 rows, 16], b [8 kColumns rows, 16] transposed.
// a in registers: b [16 rows, 8 kColumns].

#define POWERHOUSE_NAMES_2 "%0,%1,%2,%3,%4,%5,%6,%7"
#define POWERHOUSE_NAMES_4 POWERHOUSE_NAMES_2 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define POWERHOUSE_NAMES_6 POWERHOUSE_NAMES_4 ",%16,%17,%18,%19,%20,%21,%22,%23"
#define POWERHOUSE_NAMES_8 POWERHOUSE_NAMES_6 ",%24,%25,%26,%27,%28,%29,%30,%31"
#define POWERHOUSE_NAMES_10 POWERHOUSE_NAMES_8 ",%32,%33,%34,%35,%36,%37,%38,%39"
#define POWERHOUSE_NAMES_12 POWERHOUSE_NAMES_10 ",%40,%41,%42,%43,%44,%45,%46,%47"
#define POWERHOUSE_NAMES_14 POWERHOUSE_NAMES_12 ",%48,%49,%50,%51,%52,%53,%54,%55"
#define POWERHOUSE_NAMES_16 POWERHOUSE_NAMES_14 ",%56,%57,%58,%59,%60,%61,%62,%63"
#define POWERHOUSE_NAMES_18 POWERHOUSE_NAMES_16 ",%64,%65,%66,%67,%68,%69,%70,%71"
#define POWERHOUSE_NAMES_20 POWERHOUSE_NAMES_18 ",%72,%73,%74,%75,%76,%77,%78,%79"
#define POWERHOUSE_NAMES_22 POWERHOUSE_NAMES_20 ",%80,%81,%82,%83,%84,%85,%86,%87"
#define POWERHOUSE_NAMES_24 POWERHOUSE_NAMES_22 ",%88,%89,%90,%91,%92,%93,%94,%95"
#define POWERHOUSE_NAMES_26 POWERHOUSE_NAMES_24 ",%96,%97,%98,%99,%100,%101,%102,%103"
#define POWERHOUSE_NAMES_28 POWERHOUSE_NAMES_26 ",%104,%105,%106,%107,%108,%109,%110,%111"
#define POWERHOUSE_NAMES_30 POWERHOUSE_NAMES_28 ",%112,%113,%114,%115,%116,%117,%118,%119"
#define POWERHOUSE_NAMES_32 POWERHOUSE_NAMES_30 ",%120,%121,%122,%123,%124,%125,%126,%127"

#define POWERHOUSE_PAIR(n)                                                                                             \
  "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3]), "+f"(d[n + 1][0]), "+f"(d[n + 1][1]), "+f"(d[n + 1][2]), \
      "+f"(d[n + 1][3])
#define POWERHOUSE_D_2 POWERHOUSE_PAIR(0)
#define POWERHOUSE_D_4 POWERHOUSE_D_2, POWERHOUSE_PAIR(2)
#define POWERHOUSE_D_6 POWERHOUSE_D_4, POWERHOUSE_PAIR(4)
#define POWERHOUSE_D_8 POWERHOUSE_D_6, POWERHOUSE_PAIR(6)
#define POWERHOUSE_D_10 POWERHOUSE_D_8, POWERHOUSE_PAIR(8)
#define POWERHOUSE_D_12 POWERHOUSE_D_10, POWERHOUSE_PAIR(10)
#define POWERHOUSE_D_14 POWERHOUSE_D_12, POWERHOUSE_PAIR(12)
#define POWERHOUSE_D_16 POWERHOUSE_D_14, POWERHOUSE_PAIR(14)
#define POWERHOUSE_D_18 POWERHOUSE_D_16, POWERHOUSE_PAIR(16)
#define POWERHOUSE_D_20 POWERHOUSE_D_18, POWERHOUSE_PAIR(18)
#define POWERHOUSE_D_22 POWERHOUSE_D_20, POWERHOUSE_PAIR(20)
#define POWERHOUSE_D_24 POWERHOUSE_D_22, POWERHOUSE_PAIR(22)
#define POWERHOUSE_D_26 POWERHOUSE_D_24, POWERHOUSE_PAIR(24)
#define POWERHOUSE_D_28 POWERHOUSE_D_26, POWERHOUSE_PAIR(26)
#define POWERHOUSE_D_30 POWERHOUSE_D_28, POWERHOUSE_PAIR(28)
#define POWERHOUSE_D_32 POWERHOUSE_D_30, POWERHOUSE_PAIR(30)

// type: what PTX calls that of both operands; the numbers are those of the asm's operands behind d's.
#define POWERHOUSE_MULTIPLY_WARPGROUP(columns, shape, Element, type, n0, n1, n2, n3, n4, n5)                           \
  static __device__ __forceinline__ void multiply_warpgroup(float(&d)[columns][4], std::uint64_t a, std::uint64_t b,   \
                                                            bool add, Element) {                                       \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #n2 ", 0;\nwgmma.mma_async.sync.aligned." shape ".f32." type \
                 "." type " {" POWERHOUSE_NAMES_##columns "}, %" #n0 ", %" #n1 ", add, 1, 1, 0, 0;\n}"                 \
                 : POWERHOUSE_D_##columns                                                                              \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                                        \
  }                                                                                                                    \
  static __device__ __forceinline__ void multiply_warpgroup(float(&d)[columns][4], const std::uint32_t(&a)[4],         \
                                                            std::uint64_t b, bool add, Element) {                      \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #n5 ", 0;\nwgmma.mma_async.sync.aligned." shape ".f32." type \
                 "." type " {" POWERHOUSE_NAMES_##columns "}, {%" #n0 ", %" #n1 ", %" #n2 ", %" #n3 "}, %" #n4         \
                                                          ", add, 1, 1, 1;\n}"                                         \
                 : POWERHOUSE_D_##columns                                                                              \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));                    \
  }
#define POWERHOUSE_MULTIPLY_WARPGROUP_TYPES(columns, shape, n0, n1, n2, n3, n4, n5)       \
  POWERHOUSE_MULTIPLY_WARPGROUP(columns, shape, bfloat16, "bf16", n0, n1, n2, n3, n4, n5) \
  POWERHOUSE_MULTIPLY_WARPGROUP(columns, shape, float16, "f16", n0, n1, n2, n3, n4, n5)

POWERHOUSE_MULTIPLY_WARPGROUP_TYPES(8, "m64n64k16", 32, 33, 34, 35, 36, 37)
POWERHOUSE_MULTIPLY_WARPGROUP_TYPES(10, "m64n80k16", 40, 41, 42, 43, 44, 45)
POWERHOUSE_MULTIPLY_WARPGROUP_TYPES(12, "m64n96k16", 48, 49, 50, 51, 52, 53)
POWERHOUSE_MULTIPLY_WARPGROUP_TYPES(16, "m64n128k16", 64, 65, 66, 67, 68, 69)
POWERHOUSE_MULTIPLY_WARPGROUP_TYPES(24, "m64n192k16", 96, 97, 98, 99, 100, 101)
POWERHOUSE_MULTIPLY_WARPGROUP_TYPES(32, "m64n256k16", 128, 129, 130, 131, 132, 133)

#undef POWERHOUSE_MULTIPLY_WARPGROUP_TYPES
#undef POWERHOUSE_MULTIPLY_WARPGROUP

/// The same of operands in shared memory that both lie the other way: a [16 rows, 64] transposed, b [16 rows, 64].
#define POWERHOUSE_MULTIPLY_TURNED(Element, type)                                                                     \
  static __device__ __forceinline__ void multiply_warpgroup_turned(float(&d)[8][4], std::uint64_t a, std::uint64_t b, \
                                                                   bool add, Element) {                               \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32." type     \
                 "." type " {" POWERHOUSE_NAMES_8 "}, %32, %33, add, 1, 1, 1, 1;\n}"                                  \
                 : POWERHOUSE_D_8                                                                                     \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                                       \
  }
POWERHOUSE_MULTIPLY_TURNED(bfloat16, "bf16")
POWERHOUSE_MULTIPLY_TURNED(float16, "f16")
#undef POWERHOUSE_MULTIPLY_TURNED

/// The warpgroup of the running thread, which the compiler then knows to be one number for a warp. Read anew at each
/// call, as read_place().
static __device__ __forceinline__ int read_warpgroup() { return shuffle(read_place().thread / 128, 0); }

// Turns that blocks take at the same memory: a number in global memory that counts them. A block whose turn it is after
// others has to be one that starts after them.

/// Waits until `turn` turns have ended. What was done in them is there.
static __device__ __forceinline__ void wait_for_turn(const int* turns, int turn) {
  int ended;
  do {
    asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(ended) : "l"(__cvta_generic_to_global(turns)) : "memory");
  } while (ended < turn);
}
/// Ends the block's turn, by one thread after a barrier of the block: what the block did before is there before it.
static __device__ __forceinline__ void end_turn(int* turns) {
  asm volatile("red.release.gpu.global.add.s32 [%0], 1;" ::"l"(__cvta_generic_to_global(turns)) : "memory");
}

/// Adds four numbers side by side, aligned to 16 bytes, each atomic by itself, to global memory.
static __device__ __forceinline__ void add_four_to_global(float* at, const float (&values)[4]) {
  asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(at)), "f"(values[0]),
               "f"(values[1]), "f"(values[2]), "f"(values[3])
               : "memory");
}

}  // namespace powerhouse::cuda
