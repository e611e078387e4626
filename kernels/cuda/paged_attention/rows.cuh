// Rows into pages and out of them: new keys and values become part of a cache, a cache becomes dense rows, pages become
// others. A thread takes eight elements of a head.
#pragma once

#include "kernels/cuda/paged_attention/cells.cuh"
#include "kernels/cuda/paged_attention/launchers.h"

namespace powerhouse::cuda {

inline constexpr int kPagedRowThreads = 256;

/// Which eight elements of `rows` rows of all heads a thread takes; `row` is one too many where none are left.
struct EightOfRows {
  int row, kv_head, at;
  bool value;  // of values, not keys

  __device__ __forceinline__ EightOfRows(const PagedCache& cache, int rows) {
    const int eights = cache.head_dim / 8;
    const std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * kPagedRowThreads + threadIdx.x;
    const std::int64_t head = item / eights, found = head / cache.kv_heads;
    row = found < rows ? static_cast<int>(found) : rows;
    kv_head = static_cast<int>(head % cache.kv_heads);
    at = static_cast<int>(item % eights) * 8;
    value = blockIdx.y == 1;
  }
  __device__ __forceinline__ std::uint8_t* cells(const PagedCache& cache, const PagedBytes& bytes, int position) const {
    void* const* const pages = (value ? cache.value_pages : cache.key_pages) + blockIdx.z * cache.table_stride;
    return paged_row(cache, bytes, pages, position, kv_head);
  }
};

/// Grid: eights of all rows of a sequence, keys and values, sequences.
inline LaunchShape shape_of_rows(const PagedCache& cache, std::int64_t rows) {
  return {.grid_x = divide_up(rows * cache.kv_heads * (cache.head_dim / 8), kPagedRowThreads),
          .grid_y = 2,
          .grid_z = cache.sequences,
          .block_x = kPagedRowThreads};
}

static __global__ void __launch_bounds__(kPagedRowThreads)
    paged_write_kernel(const PagedWriteParams p, const PagedBytes bytes) {
  const PagedSequence sequence(p.cache, static_cast<int>(blockIdx.z));
  const EightOfRows mine(p.cache, sequence.rows);
  const int position = sequence.position(mine.row);
  const bool valid = mine.row < sequence.rows && position >= 0;  // lanes share blocks, so all go on
  Eight x = {};
  std::uint8_t* to = nullptr;
  if (valid) {
    const std::int64_t row = sequence.first_row + mine.row;
    const std::int64_t at = mine.value ? row * p.value_row_stride + mine.kv_head * p.value_head_stride
                                       : row * p.key_row_stride + mine.kv_head * p.key_head_stride;
    load_source(mine.value ? p.values : p.keys, p.type, at + mine.at, x);
    to = mine.cells(p.cache, bytes, position);
  }
  store_cells(p.cache.type, to, mine.at, x, valid);
}

static __global__ void __launch_bounds__(kPagedRowThreads)
    paged_gather_kernel(const PagedGatherParams p, const PagedBytes bytes) {
  const int sequence = static_cast<int>(blockIdx.z), length = p.cache.lengths[sequence];
  const EightOfRows mine(p.cache, length);
  if (mine.row >= length) return;
  const std::int64_t first =
      p.starts != nullptr ? p.starts[sequence] : static_cast<std::int64_t>(sequence) * p.cache.most_length;
  const std::uint8_t* const from = mine.cells(p.cache, bytes, mine.row);
  Eight x;
  if (p.cache.type == BlockFormat::f32) {
    load_elements(reinterpret_cast<const float*>(from) + mine.at, x);
  } else {
    read_cells<true>(p.cache.type, from, mine.at, x);
  }
  const std::int64_t to = ((first + mine.row) * p.cache.kv_heads + mine.kv_head) * p.cache.head_dim + mine.at;
  store_as_type(mine.value ? p.values : p.keys, p.type, to, x);
}

/// Grid: pieces of 16 bytes a thread, pages, parts.
static __global__ void __launch_bounds__(kPagedRowThreads) page_copy_kernel(const PageCopyParams p) {
  const std::int64_t at = (static_cast<std::int64_t>(blockIdx.x) * kPagedRowThreads + threadIdx.x) * 16;
  if (at >= p.bytes) return;
  const std::int64_t offset = p.offsets[blockIdx.z];
  const auto* const from = static_cast<const std::uint8_t*>(p.from[blockIdx.y]) + offset;
  auto* const to = static_cast<std::uint8_t*>(p.to[blockIdx.y]) + offset;
  if ((reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(to) |
       static_cast<std::uintptr_t>(p.bytes)) %
          16 ==
      0) {
    return store_words(to + at, load_words(from + at));
  }
  for (std::int64_t i = at; i < at + 16 && i < p.bytes; i += 2) store_as(to + i, load_as<std::uint16_t>(from + i));
}

template <typename Launch>
bool launch_paged_write(const Launch& launch, const PagedWriteParams& p) {
  if (!paged_cache_fits(p.cache)) return false;
  launch(shape_of_rows(p.cache, p.cache.rows), paged_write_kernel, p, paged_bytes(p.cache));
  return true;
}

template <typename Launch>
bool launch_paged_gather(const Launch& launch, const PagedGatherParams& p) {
  if (!paged_cache_fits(p.cache)) return false;
  launch(shape_of_rows(p.cache, p.cache.most_length), paged_gather_kernel, p, paged_bytes(p.cache));
  return true;
}

template <typename Launch>
bool launch_page_copy(const Launch& launch, const PageCopyParams& p) {
  if (p.pages > kMostGridRows || p.parts > kMostGridRows || p.bytes % 2 != 0) return false;
  launch(LaunchShape{.grid_x = divide_up(p.bytes, 16 * kPagedRowThreads),
                     .grid_y = p.pages,
                     .grid_z = p.parts,
                     .block_x = kPagedRowThreads},
         page_copy_kernel, p);
  return true;
}

}  // namespace powerhouse::cuda
