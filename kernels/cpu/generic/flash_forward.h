// Causal attention of packed documents with the online softmax (Dao 2023), for training: beside the output it keeps the
// logarithm of each row's sum, from which backward makes the weights again.
//
// A part's keys and values are laid out once (flash_tile.h); a tile of query vectors meets them block by block. Scores
// of a column of vectors are summed with lanes as query vectors, so that the softmax runs down columns, and become
// weights while they are in the first-level cache.
#pragma once

#include <math.h>

#include <cstdint>

#include "kernels/cpu/generic/flash_tile.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

template <typename Lane>
struct FlashForward {
  const FlashParams& params;
  Lane* keys;      // rows
  Lane* values;    // in groups
  Lane* queries;   // turned
  Lane* weights;   // of a block, in groups [kFlashBlock / pack, vectors, pack]
  float* scores;   // of a column [kFlashBlock, kFlashColumn]
  float* out;      // [vectors, padded], not yet divided by sum
  float* maximum;  // of `scores` as they are stored
  float* sum;
  float* factor;  // what `out` is multiplied by
  float unit;     // from stored scores to those of flash_weight
};

template <bool kPlain, bool kMasked, typename Lane>
inline void flash_scores(const FlashForward<Lane>& forward, const FlashTile& tile, std::int64_t vector,
                         std::int64_t key, float* scores, Vec* best) {
  constexpr int kPack = kLanePack<Lane>;
  const FlashParams& params = forward.params;
  const Lane* const keys = forward.keys + key * tile.padded;
  tile_product<8, kFlashVectors>(
      keys, tile.padded, kPack, forward.queries + vector * kPack, tile.vectors * kPack,
      (params.head_dim + kPack - 1) / kPack, [&](int i, int j, Vec product) __attribute__((always_inline)) {
        Vec score = product;
        const Vec place = broadcast(static_cast<float>(key + i));
        const Vec position = load(tile.position + vector + j * kWidth);
        if constexpr (!kPlain) {
          score = scaled_score(params, score);
          if (params.alibi_slopes != nullptr) {
            score = add(score, alibi_bias(params, load(tile.slope + vector + j * kWidth), place, position));
          }
        }
        if constexpr (kMasked) score = flash_mask(params, score, place, position, broadcast(-__builtin_inff()));
        best[j] = max(score, best[j]);
        store(scores + i * kFlashColumn + j * kWidth, score);
      });
}

/// Scores of keys [begin, end) of the block, both multiples of 8, become weights under the running maximum.
template <typename Lane>
inline void flash_weigh(const FlashForward<Lane>& forward, const FlashTile& tile, std::int64_t vector,
                        std::int64_t begin, std::int64_t end, const Vec* bests) {
  constexpr int kPack = kLanePack<Lane>;
  const Vec unit = broadcast(forward.unit);
  for (int j = 0; j < kFlashVectors; ++j) {
    const std::int64_t at = vector + j * kWidth;
    const Vec before = load(forward.maximum + at);
    const Vec best = bests[j];
    store(forward.maximum + at, best);
    // Nothing but -infinity so far: any finite pivot gives weights of zero instead of NaN.
    const Vec pivot = select_less(broadcast(-__builtin_inff()), best, best, zero());
    const Vec factor = exp(mul(sub(before, pivot), broadcast(forward.unit / kFlashUnit<Lane>)));
    store(forward.factor + at, factor);
    const Vec shift = mul(sub(zero(), pivot), unit);
    Vec sum = zero();
    const auto weight = [&](std::int64_t t) __attribute__((always_inline)) {
      const Vec value = flash_weight<Lane>(fma(load(forward.scores + t * kFlashColumn + j * kWidth), unit, shift));
      sum = add(sum, value);
      return value;
    };
    Lane* const to = forward.weights + at * kPack;
    for (std::int64_t t = begin; t < end; t += kPack) {
      const Vec even = weight(t);
      if constexpr (kPack == 1) {
        store(to + t * tile.vectors, even);
      } else {
        store_operands(to + t * tile.vectors, even, weight(t + 1));
      }
    }
    store(forward.sum + at, fma(load(forward.sum + at), factor, sum));
  }
}

/// One column of query vectors against a block of keys.
template <bool kPlain, typename Lane>
inline void flash_column(const FlashForward<Lane>& forward, const FlashTile& tile, std::int64_t vector,
                         std::int64_t block) {
  const FlashKeys seen = flash_seen(forward.params, tile, vector, kFlashColumn, block);
  if (seen.begin >= seen.end) {
    for (int j = 0; j < kFlashVectors; ++j) store(forward.factor + vector + j * kWidth, broadcast(1.0f));
    return;
  }
  const std::int64_t begin = seen.begin / 8 * 8;
  const std::int64_t end = (seen.end + 7) / 8 * 8;
  Vec best[kFlashVectors];
  for (int j = 0; j < kFlashVectors; ++j) best[j] = load(forward.maximum + vector + j * kWidth);
  for (std::int64_t key = begin; key < end; key += 8) {
    float* const scores = forward.scores + (key - block) * kFlashColumn;
    if (flash_hides(forward.params, tile, vector, key, 8)) {
      flash_scores<kPlain, true>(forward, tile, vector, key, scores, best);
    } else {
      flash_scores<kPlain, false>(forward, tile, vector, key, scores, best);
    }
  }
  flash_weigh(forward, tile, vector, begin - block, end - block, best);
}

/// out = out * factor + weights * values
template <typename Lane>
inline void flash_add_values(const FlashForward<Lane>& forward, const FlashTile& tile, std::int64_t block) {
  constexpr int kPack = kLanePack<Lane>;
  for (std::int64_t vector = 0; vector < tile.used; vector += 4) {
    FlashKeys seen = flash_seen(forward.params, tile, vector, 4, block);
    seen.begin = seen.begin / kPack * kPack;
    if (seen.begin >= seen.end) continue;
    const Lane* const weights = forward.weights + (seen.begin - block) * tile.vectors + vector * kPack;
    const Lane* const values = forward.values + seen.begin * tile.padded;
    tile_rows(
        weights, kPack, tile.vectors * kPack, values, tile.padded, (seen.end - seen.begin + kPack - 1) / kPack,
        [&](int i, std::int64_t d, Vec sum) __attribute__((always_inline)) {
          float* const to = forward.out + (vector + i) * tile.padded + d;
          store(to, fma(load(to), broadcast(forward.factor[vector + i]), sum));
        });
  }
}

template <typename T, typename Lane>
inline void flash_store(const FlashForward<Lane>& forward, const FlashPart& part, const FlashTile& tile) {
  const FlashParams& params = forward.params;
  for (std::int64_t vector = 0; vector < tile.used; ++vector) {
    const std::int64_t row = part.first + tile.row(vector);
    const std::int64_t head = tile.head_of(vector);
    params.lse[head * params.lse_head_stride + row] =
        forward.maximum[vector] * (forward.unit / kFlashUnit<Lane>)+::logf(forward.sum[vector]);
    T* const out = static_cast<T*>(params.out) + row * params.out_row_stride + head * params.out_head_stride;
    const Vec sum = broadcast(forward.sum[vector]);
    for (std::int64_t d = 0; d < params.head_dim; d += kWidth) {
      write(out + d, div(load(forward.out + vector * tile.padded + d), sum), lanes(params.head_dim, d));
    }
  }
}

template <typename T, typename Lane>
inline void flash_forward_tile(const FlashForward<Lane>& forward, const FlashPart& part, const FlashTile& tile) {
  const FlashParams& params = forward.params;
  const bool plain = flash_plain(params);
  flash_turn(flash_query_at<T>(params.q, params.q_row_stride, params.q_head_stride, part, tile), tile.vectors,
             params.head_dim, forward.queries);
  flash_place_vectors(params, tile);
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    // A sink is a logit seen before all others, with no value.
    const bool sink = params.sinks != nullptr;
    forward.maximum[vector] =
        sink ? params.sinks[tile.head_of(vector)] * kFlashUnit<Lane> / forward.unit : -__builtin_inff();
    forward.sum[vector] = sink ? 1.0f : 0.0f;
  }
  for (std::int64_t i = 0; i < tile.vectors * tile.padded; i += kWidth) store(forward.out + i, zero());
  for (std::int64_t block = flash_first_block(params, tile.first_row); block <= tile.last_row(); block += kFlashBlock) {
    for (std::int64_t vector = 0; vector < tile.used; vector += kFlashColumn) {
      if (plain) {
        flash_column<true>(forward, tile, vector, block);
      } else {
        flash_column<false>(forward, tile, vector, block);
      }
    }
    flash_add_values(forward, tile, block);
  }
  flash_store<T>(forward, part, tile);
}

template <typename T, typename Lane>
inline void flash_forward_part(const FlashParams& params, const FlashPart& part, std::int64_t kv_head, float* scratch) {
  FlashForward<Lane> forward{.params = params};
  FlashScratch room{on_cache_line(scratch)};
  const std::int64_t padded = flash_padded(params.head_dim);
  const std::int64_t vectors = flash_vectors(params.group);
  const std::int64_t keys = flash_keys(part.end);
  forward.keys = room.take<Lane>(keys * padded);
  forward.values = room.take<Lane>(keys * padded);
  forward.queries = room.take<Lane>(vectors * padded);
  forward.out = room.take<float>(vectors * padded);
  forward.weights = room.take<Lane>(kFlashBlock * vectors);
  forward.scores = room.take<float>(kFlashBlock * kFlashColumn);
  forward.maximum = room.take<float>(vectors);
  forward.sum = room.take<float>(vectors);
  forward.factor = room.take<float>(vectors);
  float* const position = room.take<float>(vectors);
  float* const slope = room.take<float>(vectors);
  forward.unit = flash_plain(params) ? params.scale * kFlashUnit<Lane> : kFlashUnit<Lane>;
  const std::int64_t begin = flash_first_block(params, part.begin);
  flash_place_rows(flash_key_at<T>(params.k, params.k_row_stride, params.k_head_stride, part, kv_head), begin, keys,
                   params.head_dim, forward.keys);
  flash_place_groups(flash_key_at<T>(params.v, params.v_row_stride, params.v_head_stride, part, kv_head), begin, keys,
                     params.head_dim, forward.values);
  flash_tiles(params, part, kv_head, [&](FlashTile& tile) {
    tile.position = position;
    tile.slope = slope;
    flash_forward_tile<T>(forward, part, tile);
  });
}

void flash_forward(const FlashParams& params, std::int64_t begin, std::int64_t end, float* scratch) {
  for (std::int64_t item = begin; item < end; ++item) {
    visit(params.type, [&](auto type) {
      flash_forward_part<typename decltype(type)::Type, typename decltype(flash_lane(type))::Type>(
          params, params.parts[item / params.num_kv_heads], item % params.num_kv_heads, scratch);
    });
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
