// Attention of one token over a paged cache with the online softmax (Milakov and Gimelshein 2018): a decode step reads
// K and V once, so several query heads of a key-value head share every vector that is loaded and widened. Neighbouring
// key-value heads go through the cache together, because one head alone is a few lines of each position, far apart.
//
// The cache is taken in tiles of kAttentionTile positions, which begin at multiples of it wherever pages end: scores,
// then weights under a running maximum, then the weighted sum of V. What was summed before is rescaled only where the
// maximum grew. A tile is summed on its own before it is added to those before it: one sum over a long cache would
// drift. The order of sums depends on positions alone. A row that comes in parts leaves each part's state to
// merge_attention.h.
//
// Scratch, for the query heads of a run of key-value heads: q and out [heads, padded], scores [heads, kAttentionTile],
// maximum and sum [heads]; keys or values of a head that are read by way of float32 [kAttentionTile, padded].
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/cache.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/score.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kTile = static_cast<int>(kAttentionTile);
constexpr int kSharing = kRegisters / 8;  // query heads that share a load; by 4 sums each, half the registers

struct AttentionState {
  float* q;            // [heads, padded]
  float* out;          // [heads, padded], not yet divided by sum
  float* scores;       // [heads, kTile], then weights
  float* maximum;      // [heads]
  float* sum;          // [heads]
  float* decoded;      // [kTile, padded]
  std::int64_t head;   // the first query head of the run
  std::int64_t heads;  // query heads of the run
  std::int64_t head_dim;
  std::int64_t padded;  // head_dim rounded up to whole vectors; the padding is zero
};

/// Where up to kTile positions of the run's first key-value head begin; keys from `count` to the next multiple of 4
/// repeat the last one.
struct Tile {
  const std::uint8_t* keys[kTile];
  const std::uint8_t* values[kTile];
  std::int64_t position;
  int count;
};

inline void find_tile(const AttentionParams& params, const AttentionRow& row, const CellSteps& keys,
                      const CellSteps& values, std::int64_t position, std::int64_t past, Tile& tile) {
  const std::int64_t end = larger(position, smaller((position / kTile + 1) * kTile, past));
  std::int64_t page = position / params.page_tokens;
  std::int64_t in_page = position % params.page_tokens;
  tile.position = position;
  tile.count = static_cast<int>(end - position);
  for (int t = 0; t < tile.count; ++t) {
    tile.keys[t] = static_cast<const std::uint8_t*>(row.key_pages[page]) + keys.first + in_page * keys.token;
    tile.values[t] = static_cast<const std::uint8_t*>(row.value_pages[page]) + values.first + in_page * values.token;
    if (++in_page == params.page_tokens) {
      in_page = 0;
      ++page;
    }
  }
  for (int t = tile.count; t % 4 != 0; ++t) tile.keys[t] = tile.keys[tile.count - 1];
}

/// Keys or values of one key-value head in a tile, and those of the next tile, which are fetched meanwhile.
struct HeadCells {
  const std::uint8_t* const* cells;
  std::int64_t shift;  // from what they point to
  int count;
  const std::uint8_t* const* next;
  std::int64_t next_shift;
  int next_count;
  std::int64_t next_bytes;

  void fetch(int t) const {
    if (t < next_count) fetch_head(next[t] + next_shift, next_bytes);
  }
};

/// The same as float32, where attention does not read their type as it lies.
struct DecodedCells {
  const std::uint8_t* heads[kTile];

  HeadCells decode(BlockFormat type, const AttentionState& state, HeadCells from) {
    if (is_cell_type(type)) return from;
    const int count = (from.count + 3) / 4 * 4;
    for (int t = 0; t < count; ++t) {
      float* const to = state.decoded + t * state.padded;
      heads[t] = reinterpret_cast<const std::uint8_t*>(to);
      if (t < from.count) decode_head(type, from.cells[t] + from.shift, to, state.head_dim);
      if (t >= from.count) heads[t] = heads[from.count - 1];
    }
    from.cells = heads;
    from.shift = 0;
    return from;
  }
};

/// scores[g, t] = q[g] . k[t] for kHeads heads from g, four positions at once.
template <int kHeads, typename Cell>
inline void score_heads(const AttentionState& state, std::int64_t g, const HeadCells& keys) {
  for (int t = 0; t < keys.count; t += 4) {
    for (int i = t; i < t + 4; ++i) keys.fetch(i);
    const Cell* from[4];
    for (int i = 0; i < 4; ++i) from[i] = reinterpret_cast<const Cell*>(keys.cells[t + i] + keys.shift);
    Vec sum[kHeads][4];
    for (auto& head : sum) {
      for (Vec& position : head) position = zero();
    }
    const auto step = [&](std::int64_t d, auto read_part) __attribute__((always_inline)) {
      Vec key[4];
      for (int i = 0; i < 4; ++i) key[i] = read_part(from[i]);
      for (int h = 0; h < kHeads; ++h) {
        const Vec q = load(state.q + (g + h) * state.padded + d);
        for (int i = 0; i < 4; ++i) sum[h][i] = fma(q, key[i], sum[h][i]);
      }
    };
    std::int64_t d = 0;
    for (; d + kWidth <= state.head_dim; d += kWidth) {
      step(
          d, [d](const Cell* head) __attribute__((always_inline)) { return read_cells(head, d); });
    }
    if (d < state.head_dim) {
      const int rest = static_cast<int>(state.head_dim - d);
      step(
          d, [ d, rest ](const Cell* head) __attribute__((always_inline)) { return read_cells_first(head, d, rest); });
    }
    for (int h = 0; h < kHeads; ++h) {
      reduce_add4(sum[h][0], sum[h][1], sum[h][2], sum[h][3], state.scores + (g + h) * kTile + t);
    }
  }
}

/// Multiplies what head g has summed so far.
inline void rescale(const AttentionState& state, std::int64_t g, float factor) {
  float* const out = state.out + g * state.padded;
  for (std::int64_t d = 0; d < state.padded; d += kWidth) store(out + d, mul(load(out + d), broadcast(factor)));
  state.sum[g] *= factor;
}

/// Finishes head g's scores of `count` positions, and returns the largest.
inline float finish_scores(const AttentionParams& params, const AttentionRow& row, const AttentionState& state,
                           std::int64_t g, std::int64_t position, int count) {
  static constexpr float kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  float* const scores = state.scores + g * kTile;
  Vec best = broadcast(-__builtin_inff());
  for (int t = 0; t < count; t += kWidth) {
    Vec score = scaled_score(params, load(scores + t));
    if (params.alibi_slopes != nullptr) {
      const Vec key = add(load(kLane), broadcast(static_cast<float>(position + t)));
      const Vec query = broadcast(static_cast<float>(row.position));
      score = add(score, alibi_bias(params, broadcast(params.alibi_slopes[state.head + g]), key, query));
    }
    score = keep_first(score, lanes(count, t), -__builtin_inff());
    store(scores + t, score);
    best = max(score, best);
  }
  return reduce_max(best);
}

/// Turns head g's scores into weights under the running maximum.
inline void weigh(const AttentionState& state, std::int64_t g, int count, float tile_maximum) {
  constexpr float kMinusInfinity = -__builtin_inff();
  float* const scores = state.scores + g * kTile;
  if (tile_maximum > state.maximum[g]) {
    float factor[kWidth];
    store(factor, exp(broadcast(state.maximum[g] - tile_maximum)));
    rescale(state, g, factor[0]);
    state.maximum[g] = tile_maximum;
  }
  // Nothing but -infinity so far: any finite pivot gives weights of zero instead of NaN.
  const Vec pivot = broadcast(state.maximum[g] == kMinusInfinity ? 0.0f : state.maximum[g]);
  Vec sum = zero();
  for (int t = 0; t < count; t += kWidth) {
    const Vec weight = exp(sub(load(scores + t), pivot));
    store(scores + t, weight);
    sum = add(sum, weight);
  }
  state.sum[g] += reduce_add(sum);
}

/// out[g] += sum_t weights[g, t] * v[t] for kHeads heads from g and kVectors vectors from d.
template <int kHeads, int kVectors, typename Cell>
inline void add_values(const AttentionState& state, std::int64_t g, std::int64_t d, const HeadCells& values) {
  const float* const weights = state.scores + g * kTile;
  float* const out = state.out + g * state.padded + d;
  const int last = lanes(state.head_dim, d + (kVectors - 1) * kWidth);
  Vec sum[kHeads][kVectors];
  for (int h = 0; h < kHeads; ++h) {
    for (int i = 0; i < kVectors; ++i) sum[h][i] = zero();
  }
  for (int t = 0; t < values.count; ++t) {
    if (d == 0) values.fetch(t);
    const auto* const from = reinterpret_cast<const Cell*>(values.cells[t] + values.shift);
    Vec value[kVectors];
    for (int i = 0; i < kVectors; ++i) {
      const std::int64_t at = d + i * kWidth;
      value[i] = i < kVectors - 1 || last == kWidth ? read_cells(from, at) : read_cells_first(from, at, last);
    }
    for (int h = 0; h < kHeads; ++h) {
      const Vec weight = broadcast(weights[h * kTile + t]);
      for (int i = 0; i < kVectors; ++i) sum[h][i] = fma(weight, value[i], sum[h][i]);
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    for (int i = 0; i < kVectors; ++i) {
      float* const to = out + h * state.padded + i * kWidth;
      store(to, add(load(to), sum[h][i]));
    }
  }
}

template <int kHeads, typename Cell>
inline void add_heads(const AttentionState& state, std::int64_t g, const HeadCells& values) {
  std::int64_t d = 0;
  for (; d + 4 * kWidth <= state.padded; d += 4 * kWidth) add_values<kHeads, 4, Cell>(state, g, d, values);
  for (; d < state.padded; d += kWidth) add_values<kHeads, 1, Cell>(state, g, d, values);
}

/// Calls op(g, Count<n>) for the heads [begin, end) in shares of kSharing, then for what is left.
template <typename Op>
inline void share_heads(std::int64_t begin, std::int64_t end, Op op) {
  std::int64_t g = begin;
  for (; g + kSharing <= end; g += kSharing) op(g, Count<kSharing>{});
  if (end - g == 3) {
    op(g, Count<3>{});
  } else if (end - g == 2) {
    op(g, Count<2>{});
  } else if (end - g == 1) {
    op(g, Count<1>{});
  }
}

inline void attend(const AttentionParams& params, const AttentionState& state, const AttentionRow& row,
                   std::int64_t kv_head) {
  const CellSteps keys = steps_of(params.key_type, params, kv_head);
  const CellSteps values = steps_of(params.value_type, params, kv_head);
  DecodedCells decoded;
  Tile tiles[2];
  const std::int64_t past = larger(row.end, row.position + 1);  // behind a part there is more to fetch
  find_tile(params, row, keys, values, row.begin, row.end, tiles[0]);
  for (std::int64_t position = row.begin, turn = 0; position < row.end;
       position += tiles[turn].count, turn = 1 - turn) {
    const Tile& tile = tiles[turn];
    Tile& next = tiles[1 - turn];
    find_tile(params, row, keys, values, position + tile.count, past, next);
    const auto head_of = [&](const CellSteps& steps, const std::uint8_t* const* cells,
                             const std::uint8_t* const* next_cells, std::int64_t number) -> HeadCells {
      const std::int64_t shift = number * steps.head;
      return {cells, shift, tile.count, next_cells, shift, next.count, steps.bytes};
    };
    for (std::int64_t begin = 0, number = 0; begin < state.heads; begin += params.group, ++number) {
      const std::int64_t end = begin + params.group;
      const HeadCells head_keys = decoded.decode(params.key_type, state, head_of(keys, tile.keys, next.keys, number));
      visit_cells(params.key_type, [&](auto tag) {
        share_heads(begin, end, [&](std::int64_t g, auto count) {
          score_heads<decltype(count)::kValue, typename decltype(tag)::Type>(state, g, head_keys);
        });
      });
      for (std::int64_t g = begin; g < end; ++g) {
        weigh(state, g, tile.count, finish_scores(params, row, state, g, tile.position, tile.count));
      }
      const HeadCells head_values =
          decoded.decode(params.value_type, state, head_of(values, tile.values, next.values, number));
      visit_cells(params.value_type, [&](auto tag) {
        share_heads(begin, end, [&](std::int64_t g, auto count) {
          add_heads<decltype(count)::kValue, typename decltype(tag)::Type>(state, g, head_values);
        });
      });
    }
  }
}

template <typename T>
inline void load_queries(const AttentionParams& params, const AttentionState& state, bool part, const T* q) {
  for (std::int64_t g = 0; g < state.heads; ++g) {
    widen(q + g * params.q_head_stride, state.q + g * state.padded, params.head_dim);
    for (std::int64_t d = 0; d < state.padded; d += kWidth) store(state.out + g * state.padded + d, zero());
    // A sink is a logit seen before all others, with no value.
    const bool sunk = params.sinks != nullptr && !part;
    state.maximum[g] = sunk ? params.sinks[state.head + g] : -__builtin_inff();
    state.sum[g] = sunk ? 1.0f : 0.0f;
  }
}

inline void store_partial(const AttentionParams& params, const AttentionState& state, float* partial) {
  for (std::int64_t g = 0; g < state.heads; ++g) {
    float* const to = partial + attention_partial_floats(state.head + g, params.head_dim);
    to[0] = state.maximum[g];
    to[1] = state.sum[g];
    for (std::int64_t d = 0; d < params.head_dim; d += kWidth) {
      write(to + 2 + d, load(state.out + g * state.padded + d), lanes(params.head_dim, d));
    }
  }
}

template <typename T>
inline void store_outputs(const AttentionParams& params, const AttentionState& state, bool empty, T* out) {
  for (std::int64_t g = 0; g < state.heads; ++g) {
    const Vec sum = broadcast(empty ? 1.0f : state.sum[g]);
    for (std::int64_t d = 0; d < params.head_dim; d += kWidth) {
      write(out + g * params.out_head_stride + d, div(load(state.out + g * state.padded + d), sum),
            lanes(params.head_dim, d));
    }
  }
}

void attention(const AttentionParams& params, std::int64_t begin, std::int64_t end, float* scratch) {
  AttentionState state{};
  state.head_dim = params.head_dim;
  state.padded = (params.head_dim + kWidth - 1) / kWidth * kWidth;
  const std::int64_t most_heads = kAttentionRun * params.group;
  state.q = on_cache_line(scratch);
  state.out = state.q + most_heads * state.padded;
  state.scores = state.out + most_heads * state.padded;
  state.decoded = state.scores + most_heads * kTile;
  state.maximum = state.decoded + kTile * state.padded;
  state.sum = state.maximum + most_heads;
  for (std::int64_t item = begin; item < end;) {
    const AttentionRow& row = params.rows[item / params.num_kv_heads];
    const std::int64_t kv_head = item % params.num_kv_heads;
    const std::int64_t run = smaller(smaller(end - item, params.num_kv_heads - kv_head), kAttentionRun);
    state.head = kv_head * params.group;
    state.heads = run * params.group;
    visit(params.type, [&](auto tag) {
      using T = typename decltype(tag)::Type;
      load_queries(params, state, row.partial != nullptr,
                   static_cast<const T*>(row.q) + state.head * params.q_head_stride);
    });
    attend(params, state, row, kv_head);
    item += run;
    if (row.partial != nullptr) {
      store_partial(params, state, row.partial);
      continue;
    }
    visit(params.type, [&](auto tag) {
      using T = typename decltype(tag)::Type;
      store_outputs(params, state, row.begin >= row.end,
                    static_cast<T*>(row.out) + state.head * params.out_head_stride);
    });
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
