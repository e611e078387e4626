// Attention of one token over a paged cache with the online softmax (Milakov and Gimelshein 2018): a decode step reads
// K and V once, so all query heads of a key-value head are served from one pass.
//
// The cache is taken in tiles of 16 positions. A tile is widened to float32 in scratch (read in place where it is
// float32 already); then scores, running maximum, rescaling and the weighted sum of V follow tile by tile. Tiles begin
// at multiples of 16 and end at page ends, so the order of sums depends on positions alone.
//
// Scratch: q [group, padded], out [group, padded], tile [16, padded], scores [group, 16], maximum and sum [group].
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kTile = 16;

/// The positions of one tile as float32 rows; rows from `count` on repeat the last one.
struct Tile {
  const float* row[kTile];
};

struct AttentionState {
  float* q;        // [group, padded]
  float* out;      // [group, padded], not yet divided by sum
  float* tile;     // [kTile, padded]
  float* scores;   // [group, kTile]
  float* maximum;  // [group]
  float* sum;      // [group]
  std::int64_t group;
  std::int64_t padded;  // head_dim rounded up to whole vectors; the padding is zero
};

template <typename T>
inline void widen(const T* from, float* to, std::int64_t size) {
  for (std::int64_t i = 0; i < size; i += kWidth) store(to + i, read(from + i, lanes(size, i)));
}

template <typename T>
inline Tile read_tile(const T* first, std::int64_t token_stride, int count, std::int64_t head_dim,
                      const AttentionState& state) {
  Tile tile;
  for (int t = 0; t < kTile; ++t) {
    const int token = t < count ? t : count - 1;
    if constexpr (sizeof(T) == sizeof(float)) {
      if (head_dim == state.padded) {
        tile.row[t] = first + token * token_stride;
        continue;
      }
    }
    float* const row = state.tile + token * state.padded;
    if (t < count) widen(first + t * token_stride, row, head_dim);
    tile.row[t] = row;
  }
  return tile;
}

/// scores[g, t] = q[g] . k[t]; eight positions at once keep eight sums in flight.
inline void score_tile(const AttentionState& state, const Tile& keys) {
  for (std::int64_t g = 0; g < state.group; ++g) {
    const float* const q = state.q + g * state.padded;
    for (int t = 0; t < kTile; t += 8) {
      Vec sum[8];
      for (Vec& lane : sum) lane = zero();
      for (std::int64_t d = 0; d < state.padded; d += kWidth) {
        const Vec part = load(q + d);
        for (int i = 0; i < 8; ++i) sum[i] = fma(part, load(keys.row[t + i] + d), sum[i]);
      }
      float* const scores = state.scores + g * kTile + t;
      reduce_add4(sum[0], sum[1], sum[2], sum[3], scores);
      reduce_add4(sum[4], sum[5], sum[6], sum[7], scores + 4);
    }
  }
}

/// Turns a head's scores into weights under the new maximum and returns the factor for what was summed before.
inline float weigh_tile(const AttentionParams& params, const AttentionState& state, std::int64_t g, int count) {
  constexpr float kMinusInfinity = -__builtin_inff();
  float* const scores = state.scores + g * kTile;
  Vec best = broadcast(kMinusInfinity);
  for (int t = 0; t < kTile; t += kWidth) {
    Vec score = mul(load(scores + t), broadcast(params.scale));
    if (params.softcap > 0.0f) {
      score = mul(tanh(mul(score, broadcast(1.0f / params.softcap))), broadcast(params.softcap));
    }
    score = keep_first(score, static_cast<int>(larger(0, smaller(count - t, kWidth))), kMinusInfinity);
    store(scores + t, score);
    best = max(score, best);
  }
  const float tile_maximum = reduce_max(best);
  const float maximum = tile_maximum > state.maximum[g] ? tile_maximum : state.maximum[g];
  // Nothing but -infinity so far: any finite pivot gives weights of zero instead of NaN.
  const float pivot = maximum == kMinusInfinity ? 0.0f : maximum;
  Vec sum = zero();
  for (int t = 0; t < kTile; t += kWidth) {
    const Vec weight = exp(sub(load(scores + t), broadcast(pivot)));
    store(scores + t, weight);
    sum = add(sum, weight);
  }
  float factor[kWidth];
  store(factor, exp(broadcast(state.maximum[g] - pivot)));
  state.maximum[g] = maximum;
  state.sum[g] = state.sum[g] * factor[0] + reduce_add(sum);
  return factor[0];
}

/// out[g] = out[g] * factor + sum_t weights[t] * v[t], four vectors of a head at a time.
template <int kVectors>
inline void add_values(const AttentionState& state, std::int64_t g, float factor, const Tile& values, int count,
                       std::int64_t d) {
  const float* const weights = state.scores + g * kTile;
  float* const out = state.out + g * state.padded + d;
  Vec sum[kVectors];
  for (int i = 0; i < kVectors; ++i) sum[i] = mul(load(out + i * kWidth), broadcast(factor));
  for (int t = 0; t < count; ++t) {
    const Vec weight = broadcast(weights[t]);
    for (int i = 0; i < kVectors; ++i) sum[i] = fma(weight, load(values.row[t] + d + i * kWidth), sum[i]);
  }
  for (int i = 0; i < kVectors; ++i) store(out + i * kWidth, sum[i]);
}

template <typename Cache>
inline void attend_tile(const AttentionParams& params, const AttentionState& state, const Cache* keys,
                        const Cache* values, int count) {
  score_tile(state, read_tile(keys, params.token_stride, count, params.head_dim, state));
  // The keys' tile is spent: scratch now takes the values'.
  const Tile tile = read_tile(values, params.token_stride, count, params.head_dim, state);
  for (std::int64_t g = 0; g < state.group; ++g) {
    const float factor = weigh_tile(params, state, g, count);
    std::int64_t d = 0;
    for (; d + 4 * kWidth <= state.padded; d += 4 * kWidth) add_values<4>(state, g, factor, tile, count, d);
    for (; d < state.padded; d += kWidth) add_values<1>(state, g, factor, tile, count, d);
  }
}

template <typename Cache>
inline void attend(const AttentionParams& params, const AttentionState& state, const AttentionRow& row,
                   std::int64_t kv_head) {
  for (std::int64_t position = row.begin; position < row.end;) {
    const std::int64_t page = position / params.page_tokens;
    const std::int64_t in_page = position % params.page_tokens;
    const std::int64_t tile_end = smaller((position / kTile + 1) * kTile, (page + 1) * params.page_tokens);
    const int count = static_cast<int>(smaller(tile_end, row.end) - position);
    const std::int64_t offset = params.page_offset + in_page * params.token_stride + kv_head * params.kv_head_stride;
    attend_tile(params, state, static_cast<const Cache*>(row.key_pages[page]) + offset,
                static_cast<const Cache*>(row.value_pages[page]) + offset, count);
    position += count;
  }
}

template <typename T>
inline void load_queries(const AttentionParams& params, const AttentionState& state, const T* q) {
  for (std::int64_t g = 0; g < state.group; ++g) {
    widen(q + g * params.q_head_stride, state.q + g * state.padded, params.head_dim);
    for (std::int64_t d = 0; d < state.padded; d += kWidth) store(state.out + g * state.padded + d, zero());
    state.maximum[g] = -__builtin_inff();
    state.sum[g] = 0.0f;
  }
}

template <typename T>
inline void store_outputs(const AttentionParams& params, const AttentionState& state, bool empty, T* out) {
  for (std::int64_t g = 0; g < state.group; ++g) {
    const Vec sum = broadcast(empty ? 1.0f : state.sum[g]);
    for (std::int64_t d = 0; d < params.head_dim; d += kWidth) {
      write(out + g * params.out_head_stride + d, div(load(state.out + g * state.padded + d), sum),
            lanes(params.head_dim, d));
    }
  }
}

void attention(const AttentionParams& params, std::int64_t begin, std::int64_t end, float* scratch) {
  AttentionState state{};
  state.group = params.group;
  state.padded = (params.head_dim + kWidth - 1) / kWidth * kWidth;
  state.q = scratch;
  state.out = state.q + state.group * state.padded;
  state.tile = state.out + state.group * state.padded;
  state.scores = state.tile + kTile * state.padded;
  state.maximum = state.scores + state.group * kTile;
  state.sum = state.maximum + state.group;
  for (std::int64_t item = begin; item < end; ++item) {
    const AttentionRow& row = params.rows[item / params.num_kv_heads];
    const std::int64_t kv_head = item % params.num_kv_heads;
    const std::int64_t head = kv_head * params.group;
    visit(params.type, [&](auto tag) {
      using T = typename decltype(tag)::Type;
      load_queries(params, state, static_cast<const T*>(row.q) + head * params.q_head_stride);
    });
    visit(params.cache_type, [&](auto tag) { attend<typename decltype(tag)::Type>(params, state, row, kv_head); });
    visit(params.type, [&](auto tag) {
      using T = typename decltype(tag)::Type;
      store_outputs(params, state, row.begin >= row.end, static_cast<T*>(row.out) + head * params.out_head_stride);
    });
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
