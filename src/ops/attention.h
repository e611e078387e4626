// Causal attention with grouped queries, over fresh keys and values or over pages of a cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/common/blocks.h"
#include "powerhouse/device.h"
#include "powerhouse/model_config.h"

namespace powerhouse::ops {

/// How a layer attends, beyond causality.
struct AttentionRule {
  float scale = 1.0f;
  std::int64_t window = 0;  ///< a row sees this many of the last keys, its own among them; 0: all
  float softcap = 0.0f;     ///< above 0: score = softcap * tanh(score / softcap)
  std::optional<Alibi> alibi{};
  at::Tensor sinks{};          ///< [heads], a logit that takes part in each softmax and is dropped
  at::Tensor device_slopes{};  ///< alibi_slopes on the query's device, where they have been made already
};

/// ALiBi's slope of each head, with the multipliers that the bias has: `scale` is that of the scores.
std::vector<float> alibi_slopes(const Alibi& alibi, std::int64_t heads, float scale);

/// One sequence: query [new, heads, head_dim] attends key and value [total, kv_heads, head_dim], total >= new; query
/// row i sees keys 0 .. total - new + i. Returns [new, heads * head_dim]. Differentiable.
at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const AttentionRule& rule);

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
  BlockFormat key_type = BlockFormat::f32;  // cpu::is_cache_type
  BlockFormat value_type = BlockFormat::f32;
  std::int64_t num_key_value_heads = 0;
  std::int64_t page_tokens = 0;
  std::int64_t page_offset = 0;  // elements from where a page begins to this layer's part of it
};

/// Whether our own CPU kernels know all of the rule.
bool kernels_take(const AttentionRule& rule);

/// The same by our own CPU kernels, in place on the pages: query [rows, heads, head_dim], packed over sequences.
/// Returns [rows, heads * head_dim]. No gradient. In exact numerics every row is attended alone.
at::Tensor paged_attention(const at::Tensor& query, std::span<const PagedSequence> sequences, const PageLayout& layout,
                           const AttentionRule& rule, Numerics numerics = Numerics::fast);

}  // namespace powerhouse::ops
