// What prefill_attention.h holds in scratch for a tile of query vectors, and how it gets there and back.
//
// Scratch: queries [head_dim, vectors], out [vectors, padded], scores [kAttentionTile, vectors], keys and values
// [kAttentionTile, padded]; first, past, slope, position, maximum, sum and factor [vectors]. In pairs of bf16 queries
// are [head_dim / 2, vectors, 2], weights, which take the place of scores, [kAttentionTile / 2, vectors, 2] and values
// [kAttentionTile / 2, padded, 2].
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/cache.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/tile_product.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kPrefillKeys = static_cast<int>(kAttentionTile);

/// Calls op(Tag<ScoreLane>, Tag<ValueLane>) with what both products are made of.
template <typename Op>
inline void visit_lanes([[maybe_unused]] const PrefillParams& params, Op op) {
#ifdef POWERHOUSE_DOT_BF16
  if (params.bf16_products) return op(Tag<bfloat16>{}, Tag<bfloat16>{});
  if (params.type == Element::bf16 && params.key_type == BlockFormat::bf16) return op(Tag<bfloat16>{}, Tag<float>{});
#endif
  op(Tag<float>{}, Tag<float>{});
}

struct PrefillTile {
  float* queries;  // or pairs of bf16
  float* out;      // not yet divided by sum
  float* scores;
  float* keys;  // or bf16
  float* values;
  float* first;  // the positions that a vector sees, [first, past), counted from the block's begin
  float* past;
  float* slope;     // with ALiBi
  float* position;  // the vector's own, with ALiBi
  float* maximum;
  float* sum;
  float* factor;
  float* decoded;  // [2, padded], heads that are read by way of float32
  std::int64_t first_row;
  std::int64_t rows;
  std::int64_t used;     // query vectors
  std::int64_t vectors;  // the same, rounded up to whole Vec
  std::int64_t padded;   // head_dim, rounded up to whole Vec
  std::int64_t head;     // the first query head
};

/// Scores whose weights become bf16 are in units of ln 2: their powers are powers of 2, and cheap.
template <typename ValueLane>
constexpr float kScoreUnit = kLanePack<ValueLane> == 1 ? 1.0f : 1.44269504f;

/// Whether queries are multiplied by the scale: wherever nothing but it stands between products and softmax, and
/// products are not made of queries as they lie in memory.
template <typename ScoreLane, typename ValueLane>
inline bool scales_queries(const PrefillParams& params) {
  const bool plain = params.softcap <= 0.0f && params.alibi_slopes == nullptr;
  return plain && kLanePack<ScoreLane> == kLanePack<ValueLane>;
}

/// Turns the queries around, as Lane: float, or bfloat16 for pairs. Each goes through the room of the first key.
template <typename Lane, typename T>
inline void prefill_load_queries(const PrefillParams& params, const PrefillTile& tile, float query_scale) {
  constexpr int kPack = kLanePack<Lane>;
  const Vec scale = broadcast(query_scale);
  Lane* const lying = reinterpret_cast<Lane*>(tile.keys);
  for (std::int64_t d = 0; d < tile.padded; d += kWidth) store(tile.keys + d, zero());
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    const std::int64_t row = tile.first_row + smaller(vector / params.group, tile.rows - 1);
    const std::int64_t head = tile.head + vector % params.group;
    const T* const q = static_cast<const T*>(params.q) + row * params.q_row_stride + head * params.q_head_stride;
    for (std::int64_t d = 0; d < params.head_dim; d += kWidth) {
      const Vec value = vector < tile.used ? read(q + d, lanes(params.head_dim, d)) : zero();
      store_as(lying + d, mul(value, scale));
    }
    Lane* const to = reinterpret_cast<Lane*>(tile.queries) + vector * kPack;
    for (std::int64_t d = 0; d < params.head_dim; d += kPack) {
      __builtin_memcpy(to + d * tile.vectors, lying + d, sizeof(float));
    }
  }
}

/// Nothing is seen yet.
inline void prefill_begin(const PrefillParams& params, const PrefillTile& tile, float unit) {
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    const std::int64_t head = tile.head + vector % params.group;
    // A sink is a logit seen before all others, with no value.
    tile.maximum[vector] = params.sinks != nullptr ? unit * params.sinks[head] : -__builtin_inff();
    tile.sum[vector] = params.sinks != nullptr ? 1.0f : 0.0f;
    if (params.alibi_slopes != nullptr) {
      const std::int64_t row = tile.first_row + vector / params.group;
      tile.slope[vector] = params.alibi_slopes[head];
      tile.position[vector] = static_cast<float>(params.length - params.rows + row);
    }
  }
  for (std::int64_t i = 0; i < tile.vectors * tile.padded; i += kWidth) store(tile.out + i, zero());
}

/// A head of the cache as operands: whole vectors, zeros behind the last element.
template <typename Lane, typename Cell>
inline void prefill_place(const Cell* from, Lane* to, std::int64_t size) {
  for (std::int64_t d = 0; d < size; d += kWidth) {
    store_as(to + d, read_cells(from, d, lanes(size, d)));
  }
}
inline void prefill_place(const bfloat16* from, bfloat16* to, std::int64_t size) {
  __builtin_memcpy(to, from, size * sizeof *to);
  for (std::int64_t d = size; d % kWidth != 0; ++d) to[d] = {};
}

/// Heads of the cache at positions of one block, as attention reads them.
template <typename Cell>
struct PrefillHeads {
  BlockFormat type;
  const void* const* pages;
  CellSteps steps;
  std::int64_t page_tokens;
  std::int64_t length;
  std::int64_t head_dim;
  float* decoded;

  const std::uint8_t* at(std::int64_t position) const {
    return static_cast<const std::uint8_t*>(pages[position / page_tokens]) + steps.first +
           position % page_tokens * steps.token;
  }
  /// Good until the call after the next. Asks for the same position of the next block, while this one is taken.
  const Cell* read(std::int64_t position) const {
    const std::uint8_t* const head = at(position);
    if (is_cell_type(type)) return reinterpret_cast<const Cell*>(head);
    float* const room = decoded + position % 2 * head_dim;
    decode_head(type, head, room, head_dim);
    return reinterpret_cast<const Cell*>(room);
  }
  void fetch(std::int64_t position) const {
    if (position < length) fetch_head(at(position), steps.bytes);
  }
};

/// Keys of positions [position + skip, position + count) of a key-value head, as the product of scores reads them; the
/// rows before them, which no query sees, and from `count` to a multiple of 4 become zero.
template <typename Lane, typename Cell>
inline void prefill_load_keys(const PrefillTile& tile, const PrefillHeads<Cell>& heads, std::int64_t position,
                              std::int64_t skip, int count) {
  for (int t = 0; t < (count + 3) / 4 * 4; ++t) {
    Lane* const key = reinterpret_cast<Lane*>(tile.keys) + t * tile.padded;
    heads.fetch(position + t + kPrefillKeys);
    if (t >= skip && t < count) {
      prefill_place(heads.read(position + t), key, heads.head_dim);
    } else {
      __builtin_memset(key, 0, tile.padded * sizeof(Lane));
    }
  }
}

/// Values likewise; of pairs, both together.
template <typename Lane, typename Cell>
inline void prefill_load_values(const PrefillTile& tile, const PrefillHeads<Cell>& heads, std::int64_t position,
                                std::int64_t skip, int count) {
  const Cell* values[2] = {};  // of a pair, null where nothing is seen
  for (int t = 0; t < (count + 3) / 4 * 4; ++t) {
    heads.fetch(position + t + kPrefillKeys);
    values[t % 2] = t >= skip && t < count ? heads.read(position + t) : nullptr;
    if constexpr (kLanePack<Lane> == 1) {
      float* const value = tile.values + t * tile.padded;
      if (values[t % 2] != nullptr) {
        prefill_place(values[t % 2], value, heads.head_dim);
      } else {
        __builtin_memset(value, 0, tile.padded * sizeof(float));
      }
    } else if (t % 2 == 1) {
      Lane* const pairs = reinterpret_cast<Lane*>(tile.values) + (t - 1) * tile.padded;
      for (std::int64_t d = 0; d < heads.head_dim; d += kWidth) {
        const int count_here = lanes(heads.head_dim, d);
        const Vec even = values[0] != nullptr ? read_cells(values[0], d, count_here) : zero();
        const Vec odd = values[1] != nullptr ? read_cells(values[1], d, count_here) : zero();
        store_operands(pairs + 2 * d, even, odd);
      }
    }
  }
}

/// Both, of the block that begins at `position`.
template <typename ScoreLane, typename ValueLane>
inline void prefill_load_cache(const PrefillParams& params, const PrefillTile& tile, std::int64_t kv_head,
                               std::int64_t position, std::int64_t skip, int count) {
  const auto heads_of = [&](auto tag, BlockFormat type, const void* const* pages) {
    return PrefillHeads<typename decltype(tag)::Type>{
        type, pages, steps_of(type, params, kv_head), params.page_tokens, params.length, params.head_dim, tile.decoded};
  };
  visit_cells(params.key_type, [&](auto tag) {
    prefill_load_keys<ScoreLane>(tile, heads_of(tag, params.key_type, params.key_pages), position, skip, count);
  });
  visit_cells(params.value_type, [&](auto tag) {
    prefill_load_values<ValueLane>(tile, heads_of(tag, params.value_type, params.value_pages), position, skip, count);
  });
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

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
