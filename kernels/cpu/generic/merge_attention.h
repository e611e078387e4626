// The parts of a row's attention put together: each part's sums come under the maximum of all of them, and are added in
// the order of their positions, whoever computed them.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// The parts of one head, `stride` floats apart: maximum, sum, and the weighted sum of values.
struct HeadParts {
  const float* first;
  std::int64_t count;
  std::int64_t stride;
};

template <typename T>
inline void merge_head(const HeadParts& parts, const float* sink, std::int64_t head_dim, T* out) {
  constexpr int kVectors = 4;
  // A sink is a logit seen before all others, with no value.
  float best = sink != nullptr ? *sink : -__builtin_inff();
  for (std::int64_t i = 0; i < parts.count; ++i) {
    const float maximum = parts.first[i * parts.stride];
    if (maximum > best) best = maximum;
  }
  // Nothing but -infinity: any finite pivot gives weights of zero instead of NaN.
  const Vec pivot = broadcast(best == -__builtin_inff() ? 0.0f : best);
  for (std::int64_t d = 0; d < head_dim; d += kVectors * kWidth) {
    Vec total = sink != nullptr ? exp(sub(broadcast(*sink), pivot)) : zero();
    Vec sum[kVectors];
    for (Vec& vector : sum) vector = zero();
    for (std::int64_t i = 0; i < parts.count; ++i) {
      const float* const part = parts.first + i * parts.stride;
      const Vec factor = exp(sub(broadcast(part[0]), pivot));
      total = fma(factor, broadcast(part[1]), total);
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t at = d + v * kWidth;
        if (at < head_dim) sum[v] = fma(factor, read(part + 2 + at, lanes(head_dim, at)), sum[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t at = d + v * kWidth;
      if (at < head_dim) write(out + at, div(sum[v], total), lanes(head_dim, at));
    }
  }
}

void merge_attention(const AttentionMergeParams& params, std::int64_t begin, std::int64_t end) {
  const std::int64_t stride = attention_partial_floats(params.num_heads, params.head_dim);
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for (std::int64_t item = begin; item < end; ++item) {
      const AttentionMerge& row = params.rows[item / params.num_heads];
      const std::int64_t head = item % params.num_heads;
      const HeadParts parts{row.partials + attention_partial_floats(head, params.head_dim), row.parts, stride};
      merge_head(parts, params.sinks != nullptr ? params.sinks + head : nullptr, params.head_dim,
                 static_cast<T*>(row.out) + head * params.out_head_stride);
    }
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
