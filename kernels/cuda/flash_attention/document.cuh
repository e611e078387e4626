// Where the rows of a document lie among those of all, packed or not.
#pragma once

#include "kernels/cuda/flash_attention/params.h"
#include "kernels/cuda/primitives.cuh"

namespace powerhouse::cuda {

struct FlashRows {
  std::int64_t q_batch, q_row, k_batch, k_row;  // what the strides count
  int queries, keys;

  __device__ __forceinline__ FlashRows(const FlashForwardParams& p, int document)
      : q_batch(document), q_row(0), k_batch(document), k_row(0), queries(p.queries), keys(p.keys) {
    if (p.cu_seqlens_q != nullptr) {
      q_row = p.cu_seqlens_q[document];
      queries = p.cu_seqlens_q[document + 1] - static_cast<int>(q_row);
      q_batch = 0;
    }
    if (p.cu_seqlens_k != nullptr) {
      k_row = p.cu_seqlens_k[document];
      keys = p.cu_seqlens_k[document + 1] - static_cast<int>(k_row);
      k_batch = 0;
    }
  }

  /// Elements from the tensor's beginning to the document's first row, of a head of queries or of keys.
  __device__ __forceinline__ std::int64_t of_queries(const VectorStrides& strides, int head) const {
    return q_batch * strides.batch + q_row * strides.row + head * strides.head;
  }
  __device__ __forceinline__ std::int64_t of_keys(const VectorStrides& strides, int kv_head) const {
    return k_batch * strides.batch + k_row * strides.row + kv_head * strides.head;
  }
  __device__ __forceinline__ std::int64_t of_lse(const FlashForwardParams& p, int head) const {
    return q_batch * p.lse_batch_stride + q_row + head * p.lse_head_stride;
  }
};

}  // namespace powerhouse::cuda
