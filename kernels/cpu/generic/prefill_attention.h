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
// Scratch: queries [head_dim, vectors], out [vectors, padded], scores [kAttentionTile, vectors], keys and values
// [kAttentionTile, padded]; first, past, slope, position, maximum, sum and factor [vectors].
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/score.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kPrefillKeys = static_cast<int>(kAttentionTile);
constexpr int kPrefillVectors = kRegisters / 8;  // vectors a block; by 4 sums each, half the registers

struct PrefillTile {
  float* queries;
  float* out;  // not yet divided by sum
  float* scores;
  float* keys;
  float* values;
  float* first;  // the positions that a vector sees, [first, past), counted from the block's begin
  float* past;
  float* slope;     // with ALiBi
  float* position;  // the vector's own, with ALiBi
  float* maximum;
  float* sum;
  float* factor;
  std::int64_t first_row;
  std::int64_t rows;
  std::int64_t used;     // query vectors
  std::int64_t vectors;  // the same, rounded up to whole Vec
  std::int64_t padded;   // head_dim, rounded up to whole Vec
  std::int64_t head;     // the first query head
};

template <typename T>
inline void prefill_load_queries(const PrefillParams& params, const PrefillTile& tile) {
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    const std::int64_t row = tile.first_row + smaller(vector / params.group, tile.rows - 1);
    const std::int64_t head = tile.head + vector % params.group;
    const T* const q = static_cast<const T*>(params.q) + row * params.q_row_stride + head * params.q_head_stride;
    float* const to = tile.queries + vector;
    for (std::int64_t d = 0; d < params.head_dim; ++d) to[d * tile.vectors] = vector < tile.used ? to_float(q[d]) : 0;
    // A sink is a logit seen before all others, with no value.
    tile.maximum[vector] = params.sinks != nullptr ? params.sinks[head] : -__builtin_inff();
    tile.sum[vector] = params.sinks != nullptr ? 1.0f : 0.0f;
    if (params.alibi_slopes != nullptr) {
      tile.slope[vector] = params.alibi_slopes[head];
      tile.position[vector] = static_cast<float>(params.length - params.rows + row);
    }
  }
  for (std::int64_t i = 0; i < tile.vectors * tile.padded; i += kWidth) store(tile.out + i, zero());
}

/// Widens positions [position + skip, position + count) of a key-value head; the rows before them, which no query sees,
/// and from `count` to a multiple of 4 become zero.
template <typename Cache>
inline void prefill_load_cache(const PrefillParams& params, const PrefillTile& tile, std::int64_t kv_head,
                               std::int64_t position, std::int64_t skip, int count) {
  const std::int64_t head = params.page_offset + kv_head * params.kv_head_stride;
  for (int t = 0; t < (count + 3) / 4 * 4; ++t) {
    const std::int64_t page = (position + t) / params.page_tokens;
    const std::int64_t offset = head + (position + t) % params.page_tokens * params.token_stride;
    for (std::int64_t d = 0; d < tile.padded; d += kWidth) {
      const int width = lanes(params.head_dim, d);
      const bool real = t >= skip && t < count;
      store(tile.keys + t * tile.padded + d,
            real ? read(static_cast<const Cache*>(params.key_pages[page]) + offset + d, width) : zero());
      store(tile.values + t * tile.padded + d,
            real ? read(static_cast<const Cache*>(params.value_pages[page]) + offset + d, width) : zero());
    }
  }
}

/// c[i, j] (+)= sum_k a[i * a_row + k * a_step] * b[k, j] for 4 rows i and kVectors vectors of j.
template <int kVectors>
inline void prefill_multiply(const float* a, std::int64_t a_row, std::int64_t a_step, const float* b,
                             std::int64_t b_stride, std::int64_t depth, bool accumulate, float* c,
                             std::int64_t c_stride) {
  Vec sum[4][kVectors];
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < kVectors; ++j) sum[i][j] = zero();
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Vec row[kVectors];
    for (int j = 0; j < kVectors; ++j) row[j] = load(b + k * b_stride + j * kWidth);
    for (int i = 0; i < 4; ++i) {
      const Vec factor = broadcast(a[i * a_row + k * a_step]);
      for (int j = 0; j < kVectors; ++j) sum[i][j] = fma(factor, row[j], sum[i][j]);
    }
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      float* const to = c + i * c_stride + j * kWidth;
      store(to, accumulate ? add(load(to), sum[i][j]) : sum[i][j]);
    }
  }
}

/// The same for `rows` rows, a multiple of 4, and `columns` columns, a multiple of kWidth.
inline void prefill_product(std::int64_t rows, std::int64_t columns, const float* a, std::int64_t a_row,
                            std::int64_t a_step, const float* b, std::int64_t depth, bool accumulate, float* c) {
  constexpr std::int64_t kBlock = kPrefillVectors * kWidth;
  std::int64_t j = 0;
  for (; j + kBlock <= columns; j += kBlock) {
    for (std::int64_t i = 0; i < rows; i += 4) {
      prefill_multiply<kPrefillVectors>(a + i * a_row, a_row, a_step, b + j, columns, depth, accumulate,
                                        c + i * columns + j, columns);
    }
  }
  for (; j < columns; j += kWidth) {
    for (std::int64_t i = 0; i < rows; i += 4) {
      prefill_multiply<1>(a + i * a_row, a_row, a_step, b + j, columns, depth, accumulate, c + i * columns + j,
                          columns);
    }
  }
}

/// Scale, softcap and ALiBi for `count` keys. Where there is scale alone, prefill_weigh applies it in passing.
inline void prefill_finish_scores(const PrefillParams& params, const PrefillTile& tile, std::int64_t block, int count) {
  for (std::int64_t j = 0; j < tile.vectors; j += kWidth) {
    for (int t = 0; t < count; ++t) {
      float* const scores = tile.scores + t * tile.vectors + j;
      Vec score = scaled_score(params, load(scores));
      if (params.alibi_slopes != nullptr) {
        const Vec key = broadcast(static_cast<float>(block + t));
        score = add(score, alibi_bias(params, load(tile.slope + j), key, load(tile.position + j)));
      }
      store(scores, score);
    }
  }
}

/// Scores of `count` keys, times `scale`, become weights under the running maximum, which scales what was summed
/// before.
inline void prefill_weigh(const PrefillTile& tile, int count, float scale, bool masked) {
  const Vec forbidden = broadcast(-__builtin_inff());
  bool grown = false;
  for (std::int64_t j = 0; j < tile.vectors; j += kWidth) {
    const Vec before = load(tile.maximum + j);
    Vec best = before;
    for (int t = 0; t < count; ++t) {
      float* const scores = tile.scores + t * tile.vectors + j;
      Vec score = mul(load(scores), broadcast(scale));
      if (masked) {
        const Vec position = broadcast(static_cast<float>(t));
        const Vec seen = select_less(position, load(tile.first + j), forbidden, score);
        score = select_less(position, load(tile.past + j), seen, forbidden);
      }
      store(scores, score);
      best = max(score, best);
    }
    store(tile.maximum + j, best);
    // Nothing but -infinity so far: any finite pivot gives weights of zero instead of NaN.
    const Vec pivot = select_less(forbidden, best, best, zero());
    const Vec factor = exp(sub(before, pivot));
    store(tile.factor + j, factor);
    Vec sum = zero();
    for (int t = 0; t < count; ++t) {
      float* const scores = tile.scores + t * tile.vectors + j;
      const Vec weight = exp(sub(load(scores), pivot));
      store(scores, weight);
      sum = add(sum, weight);
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

template <typename T>
inline void prefill_store(const PrefillParams& params, const PrefillTile& tile) {
  for (std::int64_t vector = 0; vector < tile.used; ++vector) {
    const std::int64_t row = tile.first_row + vector / params.group;
    T* const out = static_cast<T*>(params.out) + row * params.out_row_stride +
                   (tile.head + vector % params.group) * params.out_head_stride;
    const Vec sum = broadcast(tile.sum[vector]);
    for (std::int64_t d = 0; d < params.head_dim; d += kWidth) {
      write(out + d, div(load(tile.out + vector * tile.padded + d), sum), lanes(params.head_dim, d));
    }
  }
}

/// What each vector sees of the block that begins at position `block`.
inline void prefill_bounds(const PrefillParams& params, const PrefillTile& tile, std::int64_t block) {
  const std::int64_t first_position = params.length - params.rows + tile.first_row;
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    const std::int64_t past = first_position + smaller(vector / params.group, tile.rows - 1) + 1 - block;
    const std::int64_t first = params.window > 0 ? past - params.window : 0;
    tile.first[vector] = static_cast<float>(larger(0, smaller(first, kPrefillKeys)));
    tile.past[vector] = static_cast<float>(larger(0, smaller(past, kPrefillKeys)));
  }
}

inline void prefill_tile(const PrefillParams& params, const PrefillTile& tile, std::int64_t kv_head) {
  const std::int64_t first_position = params.length - params.rows + tile.first_row;
  const std::int64_t end = first_position + tile.rows;
  const std::int64_t begin = params.window > 0 ? larger(0, first_position + 1 - params.window) : 0;
  visit(params.type, [&](auto tag) { prefill_load_queries<typename decltype(tag)::Type>(params, tile); });
  for (std::int64_t block = begin / kPrefillKeys * kPrefillKeys; block < end; block += kPrefillKeys) {
    const auto count = static_cast<int>(smaller(kPrefillKeys, end - block));
    // The first row sees least at the block's end, the last row least at its begin.
    const bool masked = first_position + 1 < block + count || (params.window > 0 && end - params.window > block);
    if (masked) prefill_bounds(params, tile, block);
    visit(params.cache_type, [&](auto tag) {
      prefill_load_cache<typename decltype(tag)::Type>(params, tile, kv_head, block, begin - block, count);
    });
    // scores[t, vector] = sum_d keys[t, d] * queries[d, vector]
    prefill_product((count + 3) / 4 * 4, tile.vectors, tile.keys, tile.padded, 1, tile.queries, params.head_dim, false,
                    tile.scores);
    const bool plain = params.softcap <= 0.0f && params.alibi_slopes == nullptr;
    if (!plain) prefill_finish_scores(params, tile, block, count);
    prefill_weigh(tile, count, plain ? params.scale : 1.0f, masked);
    // out[vector, d] += sum_t scores[t, vector] * values[t, d]
    prefill_product((tile.used + 3) / 4 * 4, tile.padded, tile.scores, 1, tile.vectors, tile.values, count, true,
                    tile.out);
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
    float* next = scratch;
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
    prefill_tile(params, tile, kv_head);
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
