// Causal attention with grouped queries, over fresh keys and values or over pages of a cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace powerhouse::ops {

/// One sequence: query [new, heads, head_dim] attends key and value [total, kv_heads, head_dim], total >= new; query
/// row i sees keys 0 .. total - new + i. Returns [new, heads * head_dim]. Differentiable.
at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, float scale);

/// The keys and values of one sequence as pages [page_tokens, num_key_value_heads, head_dim].
struct PagedSequence {
  std::span<const void* const> key_pages;
  std::span<const void* const> value_pages;
  std::int64_t length = 0;     // tokens visible to the last of `rows`
  std::int64_t first_row = 0;  // rows of the packed query that belong to it
  std::int64_t rows = 0;
};

/// What the pages of all sequences have in common.
struct PageLayout {
  at::ScalarType type = at::kFloat;
  std::int64_t num_key_value_heads = 0;
  std::int64_t page_tokens = 0;
};

/// The same by our own CPU kernels, in place on the pages: query [rows, heads, head_dim], packed over sequences.
/// Returns [rows, heads * head_dim]. No gradient.
at::Tensor paged_attention(const at::Tensor& query, std::span<const PagedSequence> sequences, const PageLayout& layout,
                           float scale);

}  // namespace powerhouse::ops
