// Softmax attention of single tokens over a paged cache: the definition, two passes in float64 over all positions of
// whole rows.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/cache.h"

namespace powerhouse::reference {

/// The index of a position's first element within its page.
static inline std::int64_t cache_offset(const cpu::AttentionParams& params, std::int64_t position,
                                        std::int64_t kv_head) {
  return params.page_offset + position % params.page_tokens * params.token_stride + kv_head * params.kv_head_stride;
}

/// ALiBi's bias of a position for the row's query.
static inline double alibi_bias(const cpu::AttentionParams& params, const cpu::AttentionRow& row, std::int64_t position,
                                std::int64_t head) {
  const float slope = params.alibi_slopes[head];
  if (!params.alibi_in_bf16) return static_cast<double>(slope) * static_cast<double>(position - row.position);
  const auto rounded = [&](std::int64_t place) {
    const float factor = round_element(static_cast<float>(place), Element::bf16);
    return static_cast<double>(round_element(round_element(slope, Element::bf16) * factor, Element::bf16));
  };
  return static_cast<double>(params.scale) * (rounded(position) - rounded(row.position));
}

static inline double attention_score(const cpu::AttentionParams& params, const cpu::AttentionRow& row,
                                     std::int64_t position, std::int64_t head) {
  const void* const keys = row.key_pages[position / params.page_tokens];
  const std::int64_t key = cache_offset(params, position, head / params.group);
  double score = 0;
  for (std::int64_t d = 0; d < params.head_dim; ++d) {
    score += static_cast<double>(read_element(row.q, params.type, head * params.q_head_stride + d)) *
             static_cast<double>(read_cell(keys, params.key_type, key + d));
  }
  score *= static_cast<double>(params.scale);
  if (params.softcap > 0) {
    const auto cap = static_cast<double>(params.softcap);
    score = cap * std::tanh(score / cap);
  }
  if (params.alibi_slopes != nullptr) score += alibi_bias(params, row, position, head);
  return score;
}

static inline void attention(const cpu::AttentionParams& params, std::int64_t begin, std::int64_t end) {
  std::vector<double> weights;  // of the positions [row.begin, row.end)
  for (std::int64_t item = begin; item < end; ++item) {
    const cpu::AttentionRow& row = params.rows[item / params.num_kv_heads];
    const std::int64_t kv_head = item % params.num_kv_heads;
    for (std::int64_t head = kv_head * params.group; head < (kv_head + 1) * params.group; ++head) {
      const double sink = params.sinks != nullptr ? static_cast<double>(params.sinks[head]) : -INFINITY;
      double best = sink;
      weights.clear();
      for (std::int64_t t = row.begin; t < row.end; ++t) {
        weights.push_back(attention_score(params, row, t, head));
        best = std::fmax(best, weights.back());
      }
      double total = params.sinks != nullptr ? std::exp(sink - best) : 0;
      for (double& weight : weights) {
        weight = std::exp(weight - best);
        total += weight;
      }
      for (std::int64_t d = 0; d < params.head_dim; ++d) {
        double sum = 0;
        for (std::int64_t t = row.begin; t < row.end; ++t) {
          const void* const values = row.value_pages[t / params.page_tokens];
          sum += weights[static_cast<std::size_t>(t - row.begin)] / total *
                 static_cast<double>(read_cell(values, params.value_type, cache_offset(params, t, kv_head) + d));
        }
        write_element(row.out, params.type, head * params.out_head_stride + d, static_cast<float>(sum));
      }
    }
  }
}

}  // namespace powerhouse::reference
