// What flash attention's backward kernels are told, and how much memory they need meanwhile.
#pragma once

#include "kernels/cuda/flash_attention/params.h"

namespace powerhouse::cuda {

/// Gradients of what FlashForwardParams describes: of q, k, v and the sinks, given that of out.
///
/// The workspace holds float32 sums of dq, and lse and rowsum(dout * out) of each row; backward fills all it uses.
struct FlashBackwardParams {
  FlashForwardParams forward{};  ///< as forward was told; out and lse hold what it gave
  const void* dout = nullptr;    ///< as out; dq, dk and dv as q, k and v, in the same type
  void* dq = nullptr;
  void* dk = nullptr;
  void* dv = nullptr;
  float* dsinks = nullptr;  ///< [heads]; null: not asked for
  VectorStrides dout_strides{}, dq_strides{}, dk_strides{}, dv_strides{};
  float* workspace = nullptr;  ///< flash_backward_floats(params) of them, on 16 bytes
  int packed_queries = 0;      ///< with cu_seqlens_q: rows of all documents; otherwise unused
  /// How many blocks share the keys of a document. 0: one for each tile of keys, and all add to the same sums of dq, in
  /// an order that differs from run to run. Above 0: each has sums of its own, added up in order, so that results are
  /// the same in each run; the sums need that many times the memory. Where there is a kernel for Hopper (launchers.h)
  /// two or more are one for each tile again, which add to the same sums in turn, in the order of keys.
  int slices = 0;
};

/// Query rows that a tile of the head size holds, and the padded head size.
inline constexpr int flash_backward_rows(int head_dim) { return head_dim <= 128 ? 64 : 32; }
inline constexpr int flash_backward_columns(int head_dim) { return head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : 256; }

/// Tiles of query rows of a head: of packed documents each begins a tile of its own.
inline std::int64_t flash_backward_tiles(const FlashBackwardParams& params) {
  const int rows = flash_backward_rows(params.forward.head_dim);
  if (params.forward.cu_seqlens_q != nullptr) return params.packed_queries / rows + params.forward.batch;
  return static_cast<std::int64_t>(params.forward.batch) * ((params.forward.queries + rows - 1) / rows);
}

/// Floats of the workspace: two numbers a row, and the sums.
inline std::int64_t flash_backward_floats(const FlashBackwardParams& params) {
  const std::int64_t sums = params.slices > 0 ? params.slices : 1;
  const std::int64_t row = 2 + sums * flash_backward_columns(params.forward.head_dim);
  return params.forward.heads * flash_backward_tiles(params) * flash_backward_rows(params.forward.head_dim) * row;
}

}  // namespace powerhouse::cuda
