// What becomes of q.k before the softmax, in both attention kernels.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// Scale, then the softcap.
inline Vec scaled_score(const AttentionShape& shape, Vec product) {
  const Vec score = mul(product, broadcast(shape.scale));
  if (shape.softcap <= 0.0f) return score;
  return mul(tanh(mul(score, broadcast(1.0f / shape.softcap))), broadcast(shape.softcap));
}

/// ALiBi (Press, Smith and Lewis 2022). Positions relative to the query keep the bias of near keys exact, however long
/// the sequence is: a query's own bias would cancel in the softmax, but its size would cost the scores their last bits.
inline Vec alibi_bias(const AttentionShape& shape, Vec slope, Vec key, Vec query) {
  if (!shape.alibi_in_bf16) return mul(slope, sub(key, query));
  const auto rounded = [slope](Vec position) __attribute__((always_inline)) {
    return round_to<bfloat16>(mul(round_to<bfloat16>(slope), round_to<bfloat16>(position)));
  };
  return mul(sub(rounded(key), rounded(query)), broadcast(shape.scale));
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
