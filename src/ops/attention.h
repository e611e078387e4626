// Causal attention with grouped queries, over fresh keys and values or over pages of a cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace powerhouse::ops {

/// One sequence: query [new, heads, head_dim] attends key and value [total, kv_heads, head_dim], total >= new; query
/// row i sees keys 0 .. total - new + i. Returns [new, heads * head_dim]. Differentiable.
at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, float scale);

/// The keys and values of one sequence as pages [page_tokens, kv_heads, head_dim] in the cache's type.
struct PagedSequence {
  std::span<const void* const> key_pages;
  std::span<const void* const> value_pages;
  std::int64_t length = 0;     // tokens visible to the last of `rows`
  std::int64_t first_row = 0;  // rows of the packed query that belong to it
  std::int64_t rows = 0;
};

/// query [rows, heads, head_dim], packed over sequences; for few rows a sequence (decoding). Writes into
/// out [rows, heads * head_dim], of the query's type.
void paged_attention(const at::Tensor& query, std::span<const PagedSequence> sequences, at::ScalarType cache_type,
                     std::int64_t num_key_value_heads, std::int64_t page_tokens, float scale, at::Tensor& out);

}  // namespace powerhouse::ops
