// Causal attention of many tokens over a paged cache, tile by tile with the online softmax (Dao 2023): scores never
// leave the cache of the core.
//
// A tile of query vectors (rows times the heads of a group) lies transposed, so that lanes are query vectors: a key is
// read one element at a time and multiplied into all of them, the softmax runs down columns without a sum across lanes,
// and nothing but the queries, once, has to be turned around. Keys come in blocks of kAttentionTile positions that
// begin at its multiples. A score is summed in the order of its index; outputs and the sum of weights are summed in
// that order within a block, then block by block, because one sum over a long cache would drift. So a row's bits depend
// neither on the tile that it lies in nor on where pages end.
//
// Where the processor multiplies pairs of bf16 (AVX512_BF16), an instruction does the work of two. Where queries and
// keys are bf16, scores are made of pairs of them as they lie in memory; with `bf16_products` both products are,
// whatever the types are.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/prefill_tile.h"
#include "kernels/cpu/generic/score.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kPrefillVectors = kRegisters / 8;  // vectors a block; by 4 sums each, half the registers

/// c[i, j] = sum_k a[i, k] b[k, j] or, with kTransposed, c[i, j] += sum_k a[k, i] b[k, j], for 4 rows i and kVectors
/// vectors of j. Strides are in elements; with pairs, k counts them and a product is a sum of two.
template <bool kTransposed, int kVectors, typename T>
inline void prefill_multiply(const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, std::int64_t depth,
                             float* c, std::int64_t c_stride) {
  const std::int64_t a_row = kTransposed ? kLanePack<T> : a_stride;
  const std::int64_t a_step = kTransposed ? a_stride : kLanePack<T>;
  tile_product<4, kVectors>(
      a, a_row, a_step, b, b_stride, depth, [&](int i, int j, Vec sum) __attribute__((always_inline)) {
        float* const to = c + i * c_stride + j * kWidth;
        store(to, kTransposed ? add(load(to), sum) : sum);
      });
}

/// The same for `rows` rows, a multiple of 4, and `columns` columns, a multiple of kWidth; b and c are [., columns].
template <bool kTransposed, typename T>
inline void prefill_product(std::int64_t rows, std::int64_t columns, const T* a, std::int64_t a_stride, const T* b,
                            std::int64_t depth, float* c) {
  constexpr std::int64_t kBlock = kPrefillVectors * kWidth;
  constexpr int kPack = kLanePack<T>;
  const std::int64_t a_row = kTransposed ? kPack : a_stride;
  std::int64_t j = 0;
  for (; j + kBlock <= columns; j += kBlock) {
    for (std::int64_t i = 0; i < rows; i += 4) {
      prefill_multiply<kTransposed, kPrefillVectors>(a + i * a_row, a_stride, b + j * kPack, columns * kPack, depth,
                                                     c + i * columns + j, columns);
    }
  }
  for (; j < columns; j += kWidth) {
    for (std::int64_t i = 0; i < rows; i += 4) {
      prefill_multiply<kTransposed, 1>(a + i * a_row, a_stride, b + j * kPack, columns * kPack, depth,
                                       c + i * columns + j, columns);
    }
  }
}

/// Scale, softcap and ALiBi for `count` keys, where queries were not multiplied by the scale.
inline void prefill_finish_scores(const PrefillParams& params, const PrefillTile& tile, std::int64_t block, int count,
                                  float unit) {
  for (std::int64_t j = 0; j < tile.vectors; j += kWidth) {
    for (int t = 0; t < count; ++t) {
      float* const scores = tile.scores + t * tile.vectors + j;
      Vec score = scaled_score(params, load(scores));
      if (params.alibi_slopes != nullptr) {
        const Vec key = broadcast(static_cast<float>(block + t));
        score = add(score, alibi_bias(params, load(tile.slope + j), key, load(tile.position + j)));
      }
      store(scores, mul(score, broadcast(unit)));
    }
  }
}

/// Forbids a column of vectors what each of them does not see of `count` keys.
inline void prefill_mask(const PrefillTile& tile, std::int64_t j, int count) {
  const Vec forbidden = broadcast(-__builtin_inff());
  const Vec first = load(tile.first + j);
  const Vec past = load(tile.past + j);
  for (int t = 0; t < count; ++t) {
    float* const scores = tile.scores + t * tile.vectors + j;
    const Vec position = broadcast(static_cast<float>(t));
    const Vec seen = select_less(position, first, forbidden, load(scores));
    store(scores, select_less(position, past, seen, forbidden));
  }
}

/// Scores of `count` keys become weights under the running maximum, which scales what was summed before. Pairs of bf16
/// take the place of two scores each.
template <typename Lane>
inline void prefill_weigh(const PrefillTile& tile, int count, bool masked) {
  const Vec forbidden = broadcast(-__builtin_inff());
  bool grown = false;
  for (std::int64_t j = 0; j < tile.vectors; j += kWidth) {
    if (masked) prefill_mask(tile, j, count);
    const Vec before = load(tile.maximum + j);
    Vec best = before;
    for (int t = 0; t < count; ++t) best = max(load(tile.scores + t * tile.vectors + j), best);
    store(tile.maximum + j, best);
    // Nothing but -infinity so far: any finite pivot gives weights of zero instead of NaN.
    const Vec pivot = select_less(forbidden, best, best, zero());
    const Vec factor = exp(mul(sub(before, pivot), broadcast(1.0f / kScoreUnit<Lane>)));
    store(tile.factor + j, factor);
    Vec sum = zero();
    const auto weight = [&](int t) __attribute__((always_inline)) {
      const Vec score = sub(load(tile.scores + t * tile.vectors + j), pivot);
      const Vec value = kLanePack<Lane> == 1 ? exp(score) : exp2_short(score);
      sum = add(sum, value);
      return value;
    };
    if constexpr (kLanePack<Lane> == 1) {
      for (int t = 0; t < count; ++t) store(tile.scores + t * tile.vectors + j, weight(t));
    } else {
      Lane* const pairs = reinterpret_cast<Lane*>(tile.scores) + 2 * j;
      for (int t = 0; t < count; t += 2) {
        const Vec even = weight(t);
        const Vec odd = t + 1 < count ? weight(t + 1) : zero();
        store_operands(pairs + t * tile.vectors, even, odd);
      }
    }
    store(tile.sum + j, fma(load(tile.sum + j), factor, sum));
    grown = grown || equal_mask(before, best) != (1u << kWidth) - 1u;
  }
  if (!grown) return;
  for (std::int64_t vector = 0; vector < tile.used; ++vector) {
    const Vec factor = broadcast(tile.factor[vector]);
    float* const out = tile.out + vector * tile.padded;
    for (std::int64_t d = 0; d < tile.padded; d += kWidth) store(out + d, mul(load(out + d), factor));
  }
}

/// One tile; a Lane is bfloat16 where a product is made of pairs.
template <typename ScoreLane, typename ValueLane>
inline void prefill_tile(const PrefillParams& params, const PrefillTile& tile, std::int64_t kv_head) {
  constexpr int kPack = kLanePack<ScoreLane>;
  constexpr int kValuePack = kLanePack<ValueLane>;
  const std::int64_t first_position = params.length - params.rows + tile.first_row;
  const std::int64_t end = first_position + tile.rows;
  const std::int64_t begin = params.window > 0 ? larger(0, first_position + 1 - params.window) : 0;
  constexpr float kUnit = kScoreUnit<ValueLane>;
  const bool finished = scales_queries<ScoreLane, ValueLane>(params);
  visit(params.type, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    prefill_load_queries<ScoreLane, T>(params, tile, finished ? kUnit * params.scale : 1.0f);
  });
  prefill_begin(params, tile, kUnit);
  for (std::int64_t block = begin / kPrefillKeys * kPrefillKeys; block < end; block += kPrefillKeys) {
    const auto count = static_cast<int>(smaller(kPrefillKeys, end - block));
    // The first row sees least at the block's end, the last row least at its begin.
    const bool masked = first_position + 1 < block + count || (params.window > 0 && end - params.window > block);
    if (masked) prefill_bounds(params, tile, block);
    prefill_load_cache<ScoreLane, ValueLane>(params, tile, kv_head, block, begin - block, count);
    // scores[t, vector] = sum_d keys[t, d] * queries[d, vector]
    prefill_product<false>((count + 3) / 4 * 4, tile.vectors, reinterpret_cast<const ScoreLane*>(tile.keys),
                           tile.padded, reinterpret_cast<const ScoreLane*>(tile.queries),
                           (params.head_dim + kPack - 1) / kPack, tile.scores);
    if (!finished) prefill_finish_scores(params, tile, block, count, kUnit);
    prefill_weigh<ValueLane>(tile, count, masked);
    // out[vector, d] += sum_t weights[t, vector] * values[t, d]
    prefill_product<true>((tile.used + 3) / 4 * 4, tile.padded, reinterpret_cast<const ValueLane*>(tile.scores),
                          tile.vectors * kValuePack, reinterpret_cast<const ValueLane*>(tile.values),
                          (count + kValuePack - 1) / kValuePack, tile.out);
  }
  visit(params.type, [&](auto tag) { prefill_store<typename decltype(tag)::Type>(params, tile); });
}

void prefill_attention(const PrefillParams& params, std::int64_t begin, std::int64_t end, float* scratch) {
  const std::int64_t rows = prefill_rows(params.group);
  const std::int64_t tiles = (params.rows + rows - 1) / rows;
  PrefillTile tile{};
  tile.padded = (params.head_dim + kWidth - 1) / kWidth * kWidth;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t kv_head = item % params.num_kv_heads;
    // Early tiles see few keys, late ones many: they take turns.
    const std::int64_t turn = item / params.num_kv_heads;
    tile.first_row = (turn % 2 == 0 ? turn / 2 : tiles - 1 - turn / 2) * rows;
    tile.rows = smaller(rows, params.rows - tile.first_row);
    tile.used = tile.rows * params.group;
    tile.vectors = (tile.used + kWidth - 1) / kWidth * kWidth;
    tile.head = kv_head * params.group;
    float* next = on_cache_line(scratch);
    const auto take = [&next](std::int64_t floats) {
      float* const taken = next;
      next += floats;
      return taken;
    };
    tile.queries = take(tile.vectors * tile.padded);
    tile.out = take(tile.vectors * tile.padded);
    tile.scores = take(kPrefillKeys * tile.vectors);
    tile.keys = take(kPrefillKeys * tile.padded);
    tile.values = take(kPrefillKeys * tile.padded);
    tile.first = take(tile.vectors);
    tile.past = take(tile.vectors);
    tile.slope = take(tile.vectors);
    tile.position = take(tile.vectors);
    tile.maximum = take(tile.vectors);
    tile.sum = take(tile.vectors);
    tile.factor = take(tile.vectors);
    tile.decoded = take(2 * tile.padded);
    visit_lanes(params, [&](auto score, auto value) {
      prefill_tile<typename decltype(score)::Type, typename decltype(value)::Type>(params, tile, kv_head);
    });
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
