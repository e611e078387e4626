// RoPE of a step of decoding, and its new rows of keys and values into the pages of the cache: one launch for what rope
// and paged_write do in three. A block takes a row; its threads take parts of query heads, then of keys, then of
// values.
#pragma once

#include "kernels/cuda/paged_attention/launchers.h"
#include "kernels/cuda/paged_attention/pages.cuh"
#include "kernels/cuda/rope.cuh"
#include "kernels/cuda/rope_write_params.h"

namespace powerhouse::cuda {

/// Grid: rows of a sequence, sequences.
template <typename T, int kWidth, bool kInterleaved>
__global__ void __launch_bounds__(256) rope_write_kernel(const RopeWriteParams p, const PagedBytes bytes) {
  constexpr int kPairs = kInterleaved && kWidth > 1 ? kWidth / 2 : kWidth;  // of a thread
  begin_next_launch();
  wait_for_launch_before();
  const cpu::RopeParams& rope = p.queries;
  const PagedCache& cache = p.write.cache;
  const PagedSequence sequence(cache, static_cast<int>(blockIdx.y));
  const int own = static_cast<int>(blockIdx.x);
  if (own >= sequence.rows) return;
  const int position = sequence.position(own);
  const std::int64_t row = sequence.first_row + own;
  const int half = static_cast<int>(rope.rotary_dim) / 2, parts = half / kPairs;
  const float* const cos = rope.cos + row * rope.table_stride;
  const float* const sin = rope.sin + row * rope.table_stride;
  const auto turned = [&](const T* from, T* to, int pair) {
    if constexpr (kInterleaved) {
      turn_neighbors<kWidth>(from + 2 * pair, to + 2 * pair, cos + pair, sin + pair, 1.0f);
    } else {
      turn_halves<kWidth>(from + pair, to + pair, half, cos + pair, sin + pair, 1.0f);
    }
  };
  const auto copied = [&](const T* from, T* to, int at) {
    float x[kWidth];
    load_elements(from + at, x);
    store_elements(to + at, x);
  };
  void* const* const key_pages = cache.key_pages + blockIdx.y * cache.table_stride;
  void* const* const value_pages = cache.value_pages + blockIdx.y * cache.table_stride;
  const auto page_row = [&](void* const* pages, int head) {
    return reinterpret_cast<T*>(paged_row(cache, bytes, pages, position, head));
  };
  const int rest = (cache.head_dim - static_cast<int>(rope.rotary_dim)) / kWidth, whole = cache.head_dim / kWidth;
  const int query_items = static_cast<int>(rope.heads) * parts, key_items = cache.kv_heads * (parts + rest);
  const int all = query_items + (position < 0 ? 0 : key_items + cache.kv_heads * whole);
  for (int item = static_cast<int>(threadIdx.x); item < all; item += static_cast<int>(blockDim.x)) {
    if (item < query_items) {
      T* const query = static_cast<T*>(rope.data) + row * rope.token_stride + item / parts * rope.head_stride;
      turned(query, query, item % parts * kPairs);
    } else if (item < query_items + key_items) {
      const int head = (item - query_items) / (parts + rest), part = (item - query_items) % (parts + rest);
      const T* const key =
          static_cast<const T*>(p.write.keys) + row * p.write.key_row_stride + head * p.write.key_head_stride;
      T* const to = page_row(key_pages, head);
      if (part < parts) {
        turned(key, to, part * kPairs);
      } else {
        copied(key, to, static_cast<int>(rope.rotary_dim) + (part - parts) * kWidth);
      }
    } else {
      const int value_item = item - query_items - key_items, head = value_item / whole;
      const T* const value =
          static_cast<const T*>(p.write.values) + row * p.write.value_row_stride + head * p.write.value_head_stride;
      copied(value, page_row(value_pages, head), value_item % whole * kWidth);
    }
  }
}

/// False where the cache has no kernel, or holds something else than elements of the rows' type.
template <typename Launch>
bool launch_rope_write(const Launch& launch, const RopeWriteParams& p) {
  const PagedCache& cache = p.write.cache;
  if (!paged_cache_fits(cache) || cache.type != format_of(p.write.type) || p.queries.type != p.write.type) return false;
  const bool whole = rope_is_whole(p.queries) && Alignment{element_bytes(p.write.type)}
                                                     .pointer(p.write.keys)
                                                     .pointer(p.write.values)
                                                     .elements(p.write.key_row_stride)
                                                     .elements(p.write.key_head_stride)
                                                     .elements(p.write.value_row_stride)
                                                     .elements(p.write.value_head_stride)
                                                     .elements(p.queries.rotary_dim)
                                                     .whole;
  const LaunchShape shape{.grid_x = cache.rows, .grid_y = cache.sequences, .block_x = 256, .early = true};
  const PagedBytes bytes = paged_bytes(cache);
  visit_element(p.write.type, [&](auto tag) {
    using T = decltype(tag);
    const bool pairs = p.queries.interleaved;
    if (whole) {
      launch(shape, pairs ? rope_write_kernel<T, kWidest<T>, true> : rope_write_kernel<T, kWidest<T>, false>, p, bytes);
    } else {
      launch(shape, pairs ? rope_write_kernel<T, 1, true> : rope_write_kernel<T, 1, false>, p, bytes);
    }
  });
  return true;
}

}  // namespace powerhouse::cuda
