// What flash_forward.h and flash_backward.h hold in scratch, and how it gets there.
//
// A tile of query vectors (rows times the heads of a group, row by row) meets blocks of keys. A matrix lies in up to
// three ways: as rows [., padded], whose elements are repeated to all lanes; in groups of kLanePack rows [. / pack,
// padded, pack], as the vectors of a sum over rows; and turned around [head_dim / pack, vectors, pack], as the vectors
// of a sum over elements. Without pairs the first two are one.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/score.h"
#include "kernels/cpu/generic/tile_product.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kFlashVectors = kRegisters / 16;                 // vectors of scores that are summed together
constexpr std::int64_t kFlashColumn = kFlashVectors * kWidth;  // the query vectors in them
static_assert(32 % kFlashColumn == 0);

/// What products of a type are made of.
template <typename T>
inline Tag<float> flash_lane(Tag<T>) {
  return {};
}
#ifdef POWERHOUSE_DOT_BF16
inline Tag<bfloat16> flash_lane(Tag<bfloat16>) { return {}; }
#endif

/// Hands out scratch, arrays of whole cache lines.
struct FlashScratch {
  float* next;
  template <typename Lane>
  Lane* take(std::int64_t count) {
    float* const taken = next;
    next += count / kLanePack<Lane>;
    return reinterpret_cast<Lane*>(taken);
  }
};

struct FlashTile {
  std::int64_t head;  // the first query head
  std::int64_t first_row;
  std::int64_t used;     // query vectors
  std::int64_t vectors;  // the same, rounded up to whole columns
  std::int64_t group;
  std::int64_t padded;
  float* position;  // of each vector
  float* slope;     // with ALiBi

  std::int64_t row(std::int64_t vector) const {
    return first_row + static_cast<std::uint32_t>(smaller(vector, used - 1)) / static_cast<std::uint32_t>(group);
  }
  std::int64_t head_of(std::int64_t vector) const {
    return head + static_cast<std::uint32_t>(vector) % static_cast<std::uint32_t>(group);
  }
  std::int64_t last_row() const { return row(used - 1); }
};

/// Keys [begin, end) that some of the vectors [vector, vector + count) see of a block.
struct FlashKeys {
  std::int64_t begin, end;
};
inline FlashKeys flash_seen(const FlashParams& params, const FlashTile& tile, std::int64_t vector, std::int64_t count,
                            std::int64_t block) {
  const std::int64_t first = params.window > 0 ? tile.row(vector) - params.window + 1 : 0;
  return {larger(block, first), smaller(block + kFlashBlock, tile.row(vector + count - 1) + 1)};
}

/// The first key that a part's rows see from row `row` on, at the begin of its block.
inline std::int64_t flash_first_block(const FlashParams& params, std::int64_t row) {
  const std::int64_t first = params.window > 0 ? larger(0, row - params.window + 1) : 0;
  return first / kFlashBlock * kFlashBlock;
}

/// Calls op(tile) for each tile of a part, with all but the arrays set.
template <typename Op>
inline void flash_tiles(const FlashParams& params, const FlashPart& part, std::int64_t kv_head, Op op) {
  const std::int64_t rows = flash_rows(params.group);
  FlashTile tile{};
  tile.head = kv_head * params.group;
  tile.group = params.group;
  tile.padded = flash_padded(params.head_dim);
  for (tile.first_row = part.begin; tile.first_row < part.end; tile.first_row += rows) {
    tile.used = smaller(rows, part.end - tile.first_row) * params.group;
    tile.vectors = (tile.used + 31) / 32 * 32;
    op(tile);
  }
}

/// at(row) of a matrix [rows, heads, head_dim] of a part's keys; at(vector) of one of queries, null behind the
/// last.
template <typename T>
inline auto flash_key_at(const void* base, std::int64_t row_stride, std::int64_t head_stride, const FlashPart& part,
                         std::int64_t kv_head) {
  const T* const from = static_cast<const T*>(base) + kv_head * head_stride;
  return [=](std::int64_t row) { return row < part.end ? from + flash_key_row(part, row) * row_stride : nullptr; };
}
template <typename T>
inline auto flash_query_at(const void* base, std::int64_t row_stride, std::int64_t head_stride, const FlashPart& part,
                           const FlashTile& tile) {
  const T* const from = static_cast<const T*>(base) + part.first * row_stride;
  return [=, &tile](std::int64_t vector) {
    return vector < tile.used ? from + tile.row(vector) * row_stride + tile.head_of(vector) * head_stride : nullptr;
  };
}

/// Elements from d on of a head of `size`; zeros behind the last, and where `from` is null.
template <typename T>
inline Vec flash_read(const T* from, std::int64_t d, std::int64_t size) {
  return from != nullptr && d < size ? read(from + d, lanes(size, d)) : zero();
}

/// Elements [d, d + kWidth) of a head as operands.
template <typename T, typename Lane>
inline void flash_copy(const T* from, std::int64_t d, std::int64_t size, Lane* to) {
  store_as(to, flash_read(from, d, size));
}
/// Those of two, side by side.
template <typename T, typename Lane>
inline void flash_copy_pairs(const T* even, const T* odd, std::int64_t d, std::int64_t size, Lane* to) {
  store_operands(to, flash_read(even, d, size), flash_read(odd, d, size));
}
#ifdef POWERHOUSE_DOT_BF16
// Operands already: their bits.
inline __m256i flash_bits(const bfloat16* from, std::int64_t d) {
  return from != nullptr ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + d)) : _mm256_setzero_si256();
}
inline void flash_copy(const bfloat16* from, std::int64_t d, std::int64_t size, bfloat16* to) {
  if (d + kWidth > size) return store_as(to, flash_read(from, d, size));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), flash_bits(from, d));
}
inline void flash_copy_pairs(const bfloat16* even, const bfloat16* odd, std::int64_t d, std::int64_t size,
                             bfloat16* to) {
  if (d + kWidth > size) return store_operands(to, flash_read(even, d, size), flash_read(odd, d, size));
  const __m512i first = _mm512_castsi256_si512(flash_bits(even, d));
  _mm512_storeu_si512(to, interleaved(first, _mm512_castsi256_si512(flash_bits(odd, d))).low);
}
#endif

template <typename Lane, typename At>
inline void flash_place_rows(At at, std::int64_t begin, std::int64_t end, std::int64_t size, Lane* to) {
  const std::int64_t padded = flash_padded(size);
  for (std::int64_t row = begin; row < end; ++row) {
    for (std::int64_t d = 0; d < padded; d += kWidth) flash_copy(at(row), d, size, to + row * padded + d);
  }
}

/// begin and end are even.
template <typename Lane, typename At>
inline void flash_place_groups(At at, std::int64_t begin, std::int64_t end, std::int64_t size, Lane* to) {
  if constexpr (kLanePack<Lane> == 1) {
    flash_place_rows(at, begin, end, size, to);
  } else {
    const std::int64_t padded = flash_padded(size);
    for (std::int64_t row = begin; row < end; row += 2) {
      const auto* const even = at(row);
      const auto* const odd = at(row + 1);
      for (std::int64_t d = 0; d < padded; d += kWidth) {
        flash_copy_pairs(even, odd, d, size, to + row * padded + 2 * d);
      }
    }
  }
}

template <typename Lane, typename At>
inline void flash_turn(At at, std::int64_t vectors, std::int64_t size, Lane* to) {
  constexpr std::int64_t kPack = kLanePack<Lane>;
  constexpr std::int64_t kLine = 16 * kPack;
  alignas(64) Lane block[16 * kLine];
  for (std::int64_t vector = 0; vector < vectors; vector += 16) {
    for (std::int64_t d = 0; d < size; d += kLine) {
      for (std::int64_t i = 0; i < 16; ++i) {
        const auto* const from = at(vector + i);
        for (std::int64_t e = 0; e < kLine; e += kWidth) flash_copy(from, d + e, size, block + i * kLine + e);
      }
      turn_words(block, to + d * vectors + vector * kPack, vectors * static_cast<std::int64_t>(sizeof(float)));
    }
  }
}

/// Positions, and slopes where there are any.
inline void flash_place_vectors(const FlashParams& params, const FlashTile& tile) {
  for (std::int64_t vector = 0; vector < tile.vectors; ++vector) {
    tile.position[vector] = static_cast<float>(tile.row(vector));
    if (params.alibi_slopes != nullptr) tile.slope[vector] = params.alibi_slopes[tile.head_of(vector)];
  }
}

/// Whether nothing but a scale stands between products and softmax; a maximum of products is one of scores then.
inline bool flash_plain(const FlashParams& params) {
  return params.softcap <= 0.0f && params.alibi_slopes == nullptr && params.scale > 0.0f;
}

/// Weights that become bf16 are powers of 2, and cheap: their scores are in units of ln 2.
template <typename Lane>
constexpr float kFlashUnit = kLanePack<Lane> == 1 ? 1.0f : 1.44269504f;
template <typename Lane>
inline Vec flash_weight(Vec score) {
  return kLanePack<Lane> == 1 ? exp(score) : exp2_short(score);
}

/// Whether one of `count` keys from `key` on is hidden from one of a column's vectors.
inline bool flash_hides(const FlashParams& params, const FlashTile& tile, std::int64_t vector, std::int64_t key,
                        std::int64_t count) {
  if (key + count - 1 > tile.row(vector)) return true;
  return params.window > 0 && key <= tile.row(vector + kFlashColumn - 1) - params.window;
}

/// `value` where a vector sees the key, `other` elsewhere.
inline Vec flash_mask(const FlashParams& params, Vec value, Vec key, Vec position, Vec other) {
  const Vec seen = select_less(position, key, other, value);
  if (params.window <= 0) return seen;
  return select_less(key, sub(position, broadcast(static_cast<float>(params.window - 1))), other, seen);
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
