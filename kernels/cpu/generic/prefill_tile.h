// What prefill_attention.h holds in scratch for a tile of query vectors, and how it gets there and back.
//
// Scratch: queries [head_dim, vectors], out [vectors, padded], scores [kAttentionTile, vectors], keys and values
// [kAttentionTile, padded]; first, past, slope, position, maximum, sum and factor [vectors].
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/cache.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kPrefillKeys = static_cast<int>(kAttentionTile);

/// Lanes of queries and keys are float32, or pairs of bf16: the elements that one holds.
template <typename Lane>
constexpr int kPrefillPack = static_cast<int>(sizeof(float) / sizeof(Lane));

/// Calls op(Tag<Lane>) with what the scores are made of.
template <typename Op>
inline void visit_lane([[maybe_unused]] const PrefillParams& params, Op op) {
#ifdef POWERHOUSE_DOT_BF16
  if (params.type == Element::bf16 && params.cache_type == BlockFormat::bf16) return op(Tag<bfloat16>{});
#endif
  op(Tag<float>{});
}

/// Calls op(Tag<T>) with the C++ type of an element type, which is bf16 where lanes are pairs of it.
template <typename Lane, typename Op>
inline void visit_for(Element type, Op op) {
  if constexpr (kPrefillPack<Lane> == 1) {
    visit(type, op);
  } else {
    op(Tag<Lane>{});
  }
}
template <typename Lane, typename Op>
inline void visit_cells_for(BlockFormat type, Op op) {
  if constexpr (kPrefillPack<Lane> == 1) {
    visit_cells(type, op);
  } else {
    op(Tag<Lane>{});
  }
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
  std::int64_t first_row;
  std::int64_t rows;
  std::int64_t used;     // query vectors
  std::int64_t vectors;  // the same, rounded up to whole Vec
  std::int64_t padded;   // head_dim, rounded up to whole Vec
  std::int64_t head;     // the first query head
};

/// One lane of a query: an element, or two.
template <typename T>
inline void prefill_place(const T* from, std::int64_t, float* to) {
  *to = to_float(*from);
}
inline void prefill_place(const bfloat16* from, std::int64_t rest, bfloat16* to) {
  if (rest == 1) {
    to[0] = from[0];
    to[1] = {};
  } else {
    __builtin_memcpy(to, from, 2 * sizeof *to);
  }
}

/// Turns the queries around, as Lane: float, or bfloat16 for pairs.
template <typename Lane, typename T>
inline void prefill_load_queries(const PrefillParams& params, const PrefillTile& tile) {
  constexpr int kPack = kPrefillPack<Lane>;
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    const std::int64_t row = tile.first_row + smaller(vector / params.group, tile.rows - 1);
    const std::int64_t head = tile.head + vector % params.group;
    const T* const q = static_cast<const T*>(params.q) + row * params.q_row_stride + head * params.q_head_stride;
    Lane* const to = reinterpret_cast<Lane*>(tile.queries) + vector * kPack;
    for (std::int64_t d = 0; d < params.head_dim; d += kPack) {
      if (vector < tile.used) {
        prefill_place(q + d, params.head_dim - d, to + d * tile.vectors);
      } else {
        __builtin_memset(to + d * tile.vectors, 0, sizeof(float));
      }
    }
  }
}

/// Nothing is seen yet.
inline void prefill_begin(const PrefillParams& params, const PrefillTile& tile) {
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    const std::int64_t head = tile.head + vector % params.group;
    // A sink is a logit seen before all others, with no value.
    tile.maximum[vector] = params.sinks != nullptr ? params.sinks[head] : -__builtin_inff();
    tile.sum[vector] = params.sinks != nullptr ? 1.0f : 0.0f;
    if (params.alibi_slopes != nullptr) {
      const std::int64_t row = tile.first_row + vector / params.group;
      tile.slope[vector] = params.alibi_slopes[head];
      tile.position[vector] = static_cast<float>(params.length - params.rows + row);
    }
  }
  for (std::int64_t i = 0; i < tile.vectors * tile.padded; i += kWidth) store(tile.out + i, zero());
}

/// Widens positions [position + skip, position + count) of a key-value head, or copies the keys as Lane; the rows
/// before them, which no query sees, and from `count` to a multiple of 4 become zero.
template <typename Lane, typename Cell>
inline void prefill_load_cache(const PrefillParams& params, const PrefillTile& tile, std::int64_t kv_head,
                               std::int64_t position, std::int64_t skip, int count) {
  const std::int64_t head = params.page_offset + kv_head * params.kv_head_stride;
  for (int t = 0; t < (count + 3) / 4 * 4; ++t) {
    const std::int64_t page = (position + t) / params.page_tokens;
    const std::int64_t offset = head + (position + t) % params.page_tokens * params.token_stride;
    Lane* const key = reinterpret_cast<Lane*>(tile.keys) + t * tile.padded;
    float* const value = tile.values + t * tile.padded;
    if (t < skip || t >= count) {
      __builtin_memset(key, 0, tile.padded * sizeof(Lane));
      __builtin_memset(value, 0, tile.padded * sizeof(float));
      continue;
    }
    const Cell* const from = cell_at<Cell>(params.key_pages[page], offset);
    if constexpr (kPrefillPack<Lane> == 1) {
      widen_cells(from, key, params.head_dim);
    } else {
      __builtin_memcpy(key, from, params.head_dim * sizeof(Lane));
      __builtin_memset(key + params.head_dim, 0, (tile.padded - params.head_dim) * sizeof(Lane));
    }
    widen_cells(cell_at<Cell>(params.value_pages[page], offset), value, params.head_dim);
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
