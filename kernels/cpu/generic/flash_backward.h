// Gradients of causal attention of packed documents (Dao 2023): the weights are made again from scores and the kept
// logarithms, tile by tile.
//
// Tiles of query vectors meet blocks of keys in order. Scores and the gradients of weights (dout v^T) are summed side
// by side, with lanes as query vectors, and become the weights P and the scores' gradients dS in registers. Gradients
// of keys and values are summed over all of a part's tiles and heads in scratch, of queries over a tile's blocks: one
// order, whatever the number of threads. dS is without the scale, which the sums get at the end.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/flash_tile.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

template <typename Lane>
struct FlashBackward {
  const FlashBackwardParams& params;
  Lane* keys;            // rows
  Lane* values;          // rows
  Lane* key_groups;      // in groups
  Lane* queries;         // turned
  Lane* douts;           // turned
  Lane* query_groups;    // in groups
  Lane* dout_groups;     // in groups
  Lane* weights;         // P of a block, rows [kFlashBlock, vectors]
  Lane* gradients;       // dS of a block, rows
  Lane* gradient_pairs;  // dS in groups [kFlashBlock / pack, vectors, pack]; without pairs the rows
  float* dq;             // [vectors, padded]
  float* dk;             // [keys, padded]
  float* dv;             // [keys, padded]
  float* lse;            // in the units of flash_weight
  float* delta;
  float unit;  // from products to scores of flash_weight
};

/// P and dS of kWidth query vectors from `vector` on and the key: product = q k, gradient = dout v.
struct FlashCell {
  Vec weight, gradient;
};
template <bool kPlain, bool kMasked, typename Lane>
inline FlashCell flash_cell(const FlashBackward<Lane>& backward, const FlashTile& tile, std::int64_t vector,
                            std::int64_t key, Vec product, Vec gradient) {
  const FlashParams& params = backward.params;
  const Vec place = broadcast(static_cast<float>(key));
  const Vec lse = load(backward.lse + vector);
  Vec score;
  Vec slope = broadcast(1.0f);  // of the softcap
  if constexpr (kPlain) {
    score = fma(product, broadcast(backward.unit), sub(zero(), lse));
  } else {
    score = scaled_score(params, product);
    if (params.softcap > 0.0f) {
      const Vec part = mul(score, broadcast(1.0f / params.softcap));
      slope = sub(slope, mul(part, part));
    }
    if (params.alibi_slopes != nullptr) {
      score = add(score, alibi_bias(params, load(tile.slope + vector), place, load(tile.position + vector)));
    }
    score = fma(score, broadcast(kFlashUnit<Lane>), sub(zero(), lse));
  }
  Vec weight = flash_weight<Lane>(score);
  if constexpr (kMasked) weight = flash_mask(params, weight, place, load(tile.position + vector), zero());
  Vec change = mul(weight, sub(gradient, load(backward.delta + vector)));
  if constexpr (!kPlain) change = mul(change, slope);
  return {weight, change};
}

/// P and dS of a column of query vectors and the keys [key, key + 4).
template <bool kPlain, bool kMasked, typename Lane>
inline void flash_cells(const FlashBackward<Lane>& backward, const FlashTile& tile, std::int64_t vector,
                        std::int64_t key, std::int64_t place) {
  constexpr int kPack = kLanePack<Lane>;
  const std::int64_t depth = (backward.params.head_dim + kPack - 1) / kPack;
  const std::int64_t step = tile.vectors * kPack;
  const Lane* queries = backward.queries + vector * kPack;
  const Lane* douts = backward.douts + vector * kPack;
  const Lane* const keys = backward.keys + key * tile.padded;
  const Lane* const values = backward.values + key * tile.padded;
  Vec product[4][kFlashVectors];
  Vec gradient[4][kFlashVectors];
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < kFlashVectors; ++j) product[i][j] = gradient[i][j] = zero();
  }
  for (std::int64_t k = 0; k < depth; ++k, queries += step, douts += step) {
    typename Dot<Lane>::Register query[kFlashVectors];
    typename Dot<Lane>::Register dout[kFlashVectors];
    for (int j = 0; j < kFlashVectors; ++j) {
      query[j] = Dot<Lane>::read(queries + j * Dot<Lane>::kStep);
      dout[j] = Dot<Lane>::read(douts + j * Dot<Lane>::kStep);
    }
    for (int i = 0; i < 4; ++i) {
      const auto of_key = Dot<Lane>::repeat(keys + i * tile.padded + k * kPack);
      const auto of_value = Dot<Lane>::repeat(values + i * tile.padded + k * kPack);
      for (int j = 0; j < kFlashVectors; ++j) {
        product[i][j] = Dot<Lane>::accumulate(product[i][j], of_key, query[j]);
        gradient[i][j] = Dot<Lane>::accumulate(gradient[i][j], of_value, dout[j]);
      }
    }
  }
  for (int j = 0; j < kFlashVectors; ++j) {
    const std::int64_t at = vector + j * kWidth;
    for (int i = 0; i < 4; ++i) {
      const FlashCell cell = flash_cell<kPlain, kMasked>(backward, tile, at, key + i, product[i][j], gradient[i][j]);
      store_as(backward.weights + (place + i) * tile.vectors + at, cell.weight);
      store_as(backward.gradients + (place + i) * tile.vectors + at, cell.gradient);
      gradient[i][j] = cell.gradient;
    }
    if constexpr (kPack == 2) {
      for (int i = 0; i < 4; i += 2) {
        store_operands(backward.gradient_pairs + (place + i) * tile.vectors + at * 2, gradient[i][j],
                       gradient[i + 1][j]);
      }
    }
  }
}

template <typename Lane>
inline void flash_block_cells(const FlashBackward<Lane>& backward, const FlashTile& tile, std::int64_t block) {
  const bool plain = flash_plain(backward.params);
  for (std::int64_t vector = 0; vector < tile.used; vector += kFlashColumn) {
    const FlashKeys seen = flash_seen(backward.params, tile, vector, kFlashColumn, block);
    for (std::int64_t key = seen.begin / 4 * 4; key < seen.end; key += 4) {
      const std::int64_t place = key - block;
      const bool masked = flash_hides(backward.params, tile, vector, key, 4);
      if (!plain) {
        flash_cells<false, true>(backward, tile, vector, key, place);
      } else if (masked) {
        flash_cells<true, true>(backward, tile, vector, key, place);
      } else {
        flash_cells<true, false>(backward, tile, vector, key, place);
      }
    }
  }
}

/// dv += P^T dout and dk += dS^T q, over the vectors that see a key.
template <typename Lane>
inline void flash_add_keys(const FlashBackward<Lane>& backward, const FlashTile& tile, std::int64_t block) {
  constexpr int kPack = kLanePack<Lane>;
  const FlashParams& params = backward.params;
  const std::int64_t past = smaller(block + kFlashBlock, tile.last_row() + 1);
  for (std::int64_t key = block; key < past; key += 4) {
    const std::int64_t first = larger(0, key - tile.first_row) * tile.group / kPack * kPack;
    std::int64_t end = tile.used;
    if (params.window > 0) end = smaller(end, (key + 3 + params.window - tile.first_row) * tile.group);
    if (first >= end) continue;
    const std::int64_t depth = (end - first + kPack - 1) / kPack;
    const std::int64_t at = (key - block) * tile.vectors + first;
    const auto add_to = [&](float* sums) {
      return [ sums, &tile ](int i, std::int64_t d, Vec sum) __attribute__((always_inline)) {
        float* const to = sums + i * tile.padded + d;
        store(to, add(load(to), sum));
      };
    };
    tile_rows(backward.weights + at, tile.vectors, kPack, backward.dout_groups + first * tile.padded, tile.padded,
              depth, add_to(backward.dv + key * tile.padded));
    tile_rows(backward.gradients + at, tile.vectors, kPack, backward.query_groups + first * tile.padded, tile.padded,
              depth, add_to(backward.dk + key * tile.padded));
  }
}

/// dq += dS k
template <typename Lane>
inline void flash_add_queries(const FlashBackward<Lane>& backward, const FlashTile& tile, std::int64_t block) {
  constexpr int kPack = kLanePack<Lane>;
  for (std::int64_t vector = 0; vector < tile.used; vector += 4) {
    FlashKeys seen = flash_seen(backward.params, tile, vector, 4, block);
    seen.begin = seen.begin / kPack * kPack;
    if (seen.begin >= seen.end) continue;
    tile_rows(
        backward.gradient_pairs + (seen.begin - block) * tile.vectors + vector * kPack, kPack, tile.vectors * kPack,
        backward.key_groups + seen.begin * tile.padded, tile.padded, (seen.end - seen.begin + kPack - 1) / kPack,
        [&](int i, std::int64_t d, Vec sum) __attribute__((always_inline)) {
          float* const to = backward.dq + (vector + i) * tile.padded + d;
          store(to, add(load(to), sum));
        });
  }
}

/// Everything of a tile's queries that its blocks read.
template <typename T, typename Lane>
inline void flash_place_tile(const FlashBackward<Lane>& backward, const FlashPart& part, const FlashTile& tile) {
  const FlashBackwardParams& params = backward.params;
  const std::int64_t size = params.head_dim;
  const auto query = flash_query_at<T>(params.q, params.q_row_stride, params.q_head_stride, part, tile);
  const auto dout = flash_query_at<T>(params.dout, params.dout_row_stride, params.dout_head_stride, part, tile);
  const auto out = flash_query_at<T>(params.out, params.out_row_stride, params.out_head_stride, part, tile);
  flash_turn(query, tile.vectors, size, backward.queries);
  flash_turn(dout, tile.vectors, size, backward.douts);
  flash_place_groups(query, 0, tile.vectors, size, backward.query_groups);
  flash_place_groups(dout, 0, tile.vectors, size, backward.dout_groups);
  flash_place_vectors(params, tile);
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    backward.lse[vector] = backward.delta[vector] = 0.0f;
    if (vector >= tile.used) continue;
    const std::int64_t at = tile.head_of(vector) * params.lse_head_stride + part.first + tile.row(vector);
    Vec sum = zero();
    for (std::int64_t d = 0; d < size; d += kWidth) {
      sum = fma(flash_read(out(vector), d, size), flash_read(dout(vector), d, size), sum);
    }
    params.delta[at] = backward.delta[vector] = reduce_add(sum);
    backward.lse[vector] = params.lse[at] * kFlashUnit<Lane>;
  }
  for (std::int64_t i = 0; i < tile.vectors * tile.padded; i += kWidth) store(backward.dq + i, zero());
}

/// A row of sums times `factor`, as T.
template <typename T>
inline void flash_write(const float* from, float factor, std::int64_t size, T* to) {
  for (std::int64_t d = 0; d < size; d += kWidth) write(to + d, mul(load(from + d), broadcast(factor)), lanes(size, d));
}

template <typename T, typename Lane>
inline void flash_backward_tile(const FlashBackward<Lane>& backward, const FlashPart& part, const FlashTile& tile) {
  const FlashBackwardParams& params = backward.params;
  flash_place_tile<T>(backward, part, tile);
  for (std::int64_t block = flash_first_block(params, tile.first_row); block <= tile.last_row(); block += kFlashBlock) {
    flash_block_cells(backward, tile, block);
    flash_add_keys(backward, tile, block);
    flash_add_queries(backward, tile, block);
  }
  const std::int64_t heads = params.num_kv_heads * params.group;
  for (std::int64_t vector = 0; vector < tile.used; ++vector) {
    const std::int64_t row = (part.first + tile.row(vector)) * heads + tile.head_of(vector);
    flash_write(backward.dq + vector * tile.padded, params.scale, params.head_dim,
                static_cast<T*>(params.dq) + row * params.head_dim);
  }
}

template <typename Lane>
inline FlashBackward<Lane> flash_backward_room(const FlashBackwardParams& params, const FlashPart& part,
                                               std::int64_t kv_head, FlashScratch& room) {
  const std::int64_t vectors = flash_vectors(params.group);
  const std::int64_t keys = flash_keys(part.end) * flash_padded(params.head_dim);
  const std::int64_t queries = vectors * flash_padded(params.head_dim);
  FlashBackward<Lane> backward{.params = params};
  backward.keys = room.take<Lane>(keys);
  backward.values = room.take<Lane>(keys);
  backward.key_groups = kLanePack<Lane> == 1 ? backward.keys : room.take<Lane>(keys);
  backward.queries = room.take<Lane>(queries);
  backward.douts = room.take<Lane>(queries);
  backward.query_groups = room.take<Lane>(queries);
  backward.dout_groups = room.take<Lane>(queries);
  backward.weights = room.take<Lane>(kFlashBlock * vectors);
  backward.gradients = room.take<Lane>(kFlashBlock * vectors);
  backward.gradient_pairs = kLanePack<Lane> == 1 ? backward.gradients : room.take<Lane>(kFlashBlock * vectors);
  backward.dq = room.take<float>(queries);
  backward.dk = part.sums != nullptr ? part.sums + kv_head * 2 * keys : room.take<float>(2 * keys);
  backward.dv = backward.dk + keys;
  backward.lse = room.take<float>(vectors);
  backward.delta = room.take<float>(vectors);
  backward.unit = params.scale * kFlashUnit<Lane>;
  return backward;
}

template <typename T, typename Lane>
inline void flash_backward_part(const FlashBackwardParams& params, const FlashPart& part, std::int64_t kv_head,
                                float* scratch) {
  FlashScratch room{on_cache_line(scratch)};
  const FlashBackward<Lane> backward = flash_backward_room<Lane>(params, part, kv_head, room);
  float* const position = room.take<float>(flash_vectors(params.group));
  float* const slope = room.take<float>(flash_vectors(params.group));
  const std::int64_t size = params.head_dim;
  const std::int64_t padded = flash_padded(size);
  const std::int64_t begin = flash_first_block(params, part.begin);
  const std::int64_t end = flash_keys(part.end);
  const auto key = flash_key_at<T>(params.k, params.k_row_stride, params.k_head_stride, part, kv_head);
  const auto value = flash_key_at<T>(params.v, params.v_row_stride, params.v_head_stride, part, kv_head);
  flash_place_rows(key, begin, end, size, backward.keys);
  flash_place_rows(value, begin, end, size, backward.values);
  if constexpr (kLanePack<Lane> == 2) flash_place_groups(key, begin, end, size, backward.key_groups);
  for (std::int64_t i = 0; i < 2 * end * padded; i += kWidth) store(backward.dk + i, zero());
  flash_tiles(params, part, kv_head, [&](FlashTile& tile) {
    tile.position = position;
    tile.slope = slope;
    flash_backward_tile<T>(backward, part, tile);
  });
  for (std::int64_t row = 0; row < end; ++row) {
    float* const dk = backward.dk + row * padded;
    if (part.sums != nullptr) {
      flash_write(dk, params.scale, size, dk);
    } else if (row < part.end) {
      const std::int64_t to = ((part.first + row) * params.num_kv_heads + kv_head) * size;
      flash_write(dk, params.scale, size, static_cast<T*>(params.dk) + to);
      flash_write(backward.dv + row * padded, 1.0f, size, static_cast<T*>(params.dv) + to);
    }
  }
}

void flash_backward(const FlashBackwardParams& params, std::int64_t begin, std::int64_t end, float* scratch) {
  for (std::int64_t item = begin; item < end; ++item) {
    visit(params.type, [&](auto type) {
      flash_backward_part<typename decltype(type)::Type, typename decltype(flash_lane(type))::Type>(
          params, params.parts[item / params.num_kv_heads], item % params.num_kv_heads, scratch);
    });
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
