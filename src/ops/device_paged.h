// A paged cache on a device (kernels/cuda/paged_attention_params.h): attention of few rows over it, and what writes,
// gathers and copies its pages. Nothing here is differentiable.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "kernels/cuda/paged_attention_params.h"
#include "ops/attention.h"
#include "ops/device_documents.h"
#include "ops/rope.h"

namespace powerhouse::ops {

/// Whether kernels know heads of this size in a cache of this type.
bool device_cache_takes(BlockFormat type, std::int64_t head_dim);

/// query [all rows, heads, head_dim] over what the cache holds; returns [all rows, heads * head_dim]. float32 queries,
/// or of the cache's type where that is one of numbers.
at::Tensor paged_attention_on_device(const at::Tensor& query, const cuda::PagedCache& cache, const AttentionRule& rule);

/// Rows of key and value [all rows, kv_heads, head_dim] become part of the cache.
void write_pages(const cuda::PagedCache& cache, const at::Tensor& key, const at::Tensor& value);

/// `query` turned in place, the key on its way into the cache, the value as it is: one launch. False, and nothing is
/// done, where the cache holds something else than elements of their type.
bool turn_and_write_pages(const cuda::PagedCache& cache, const at::Tensor& query, const at::Tensor& key,
                          const at::Tensor& value, const RopeTable& table, RopeLayout layout);

/// All positions of all sequences, one behind the other: [positions, kv_heads, head_dim] of `type`. `starts` is int32
/// [sequences + 1] on the device.
struct GatheredPages {
  at::Tensor key, value;
};
GatheredPages gather_pages(const cuda::PagedCache& cache, std::int64_t positions, const at::Tensor& starts,
                           at::ScalarType type);

/// Attention of packed queries over such rows: document i's queries are the last of its keys. Falls back on
/// causal_attention, document by document, where the kernels do not know the heads or the rule.
at::Tensor attention_over(const at::Tensor& query, const GatheredPages& pages, const DeviceDocuments& documents,
                          std::span<const std::int64_t> query_starts, std::span<const std::int64_t> key_starts,
                          const AttentionRule& rule);

/// A copy of a page: `parts` bytes at each of `offsets` (int64, on the device) behind the address.
void copy_page(const void* from, void* to, const at::Tensor& offsets, std::int64_t bytes);

}  // namespace powerhouse::ops
