// Where the rows of a paged cache lie, and which positions a query row sees.
#pragma once

#include "kernels/cuda/block_decoders.cuh"
#include "kernels/cuda/paged_attention/plan.h"

namespace powerhouse::cuda {

/// The new rows of a sequence, and how long it is with them.
struct PagedSequence {
  int first_row, rows, length;

  __device__ __forceinline__ PagedSequence(const PagedCache& cache, int sequence) {
    first_row = sequence * cache.rows;
    rows = cache.rows;
    if (cache.row_starts != nullptr) {
      first_row = cache.row_starts[sequence];
      rows = cache.row_starts[sequence + 1] - first_row;
    }
    length = cache.lengths[sequence];
  }
  __device__ __forceinline__ int position(int row) const { return length - rows + row; }
};

/// The positions [begin, end) that a row sees, none where it stands before the first.
struct SeenPositions {
  int begin, end;

  __device__ __forceinline__ SeenPositions(int position, int window) {
    end = position + 1;
    begin = window > 0 && end > window ? end - window : 0;
  }
  __device__ __forceinline__ bool none() const { return end <= begin; }
  __device__ __forceinline__ int first_part() const { return begin / kPagedPart; }
  __device__ __forceinline__ int parts() const { return none() ? 0 : (end - 1) / kPagedPart - first_part() + 1; }
};

static __device__ __forceinline__ int page_of(const PagedCache& cache, const PagedBytes& bytes, int position) {
  return bytes.page_shift >= 0 ? position >> bytes.page_shift : position / cache.page_tokens;
}

/// Bytes from a page's address to a head's keys (or values) at a position of it.
static __device__ __forceinline__ std::int64_t place_in_page(const PagedCache& cache, const PagedBytes& bytes,
                                                             int position, int kv_head) {
  const int token = bytes.page_shift >= 0 ? position & (cache.page_tokens - 1)
                                          : position - position / cache.page_tokens * cache.page_tokens;
  return bytes.page_offset + static_cast<std::int64_t>(token * cache.kv_heads + kv_head) * bytes.row;
}

/// A head's keys (or values) at a position; `pages` are the sequence's.
static __device__ __forceinline__ std::uint8_t* paged_row(const PagedCache& cache, const PagedBytes& bytes,
                                                          void* const* pages, int position, int kv_head) {
  return static_cast<std::uint8_t*>(pages[page_of(cache, bytes, position)]) +
         place_in_page(cache, bytes, position, kv_head);
}

}  // namespace powerhouse::cuda
