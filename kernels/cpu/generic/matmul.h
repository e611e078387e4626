// Sums of matrix products of bf16, for training: C = A1 B1 + A2 B2 + ..., each operand turned whichever way.
//
// B is packed: sixteen rows side by side, two elements of k each, so that a register of it meets pairs of A that are
// repeated from memory (Goto and van de Geijn 2008, with the dot products of AVX512_BF16). A block of B's columns is
// packed once, and blocks of A that stay in the second-level cache are multiplied by it. Pairs of A that are neighbours
// are read where they lie, others are packed too; for a few rows B is not worth packing. An element is summed in the
// order of terms and k, in passes, whatever is computed beside it.
#pragma once

#include <cstdint>

#include "kernels/cpu/kernels.h"

#ifdef POWERHOUSE_DOT_BF16
namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr std::int64_t kSideRows = 16;   // of a packed panel
constexpr std::int64_t kSideGroup = 32;  // elements of a panel's rows at k and k + 1
constexpr int kMatmulRows = 8;           // of a tile
constexpr int kMatmulVectors = 3;        // columns of a tile: 24 sums, 3 registers of B and one of A

inline std::int64_t groups_of(std::int64_t depth) { return (depth + 1) / 2; }

/// All of 32 elements, or the first `count`. Masked loads of 16-bit elements take many cycles on some processors, and
/// compilers like to make both into one.
template <bool kAll>
inline __m512i load_elements(const bfloat16* from, std::int64_t count) {
  if constexpr (kAll) return _mm512_loadu_si512(from);
  return count <= 0 ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi16(0xFFFFFFFFu >> (32 - count), from);
}

/// k neighbours: 16 rows of 32 elements are turned at once.
inline void pack_along_k(const bfloat16* from, std::int64_t stride, std::int64_t rows, std::int64_t depth,
                         bfloat16* to) {
  __m512i row[16];
  for (; rows >= 16 && depth >= 32; depth -= 32, from += 32, to += 16 * kSideGroup) {
    for (std::int64_t i = 0; i < 16; ++i) {
      row[i] = load_elements<true>(from + i * stride, 32);
      __builtin_prefetch(from + (16 + i) * stride, 0, 2);  // the next panel: weights come from memory
    }
    turn_registers(row, to, 64);
  }
  for (; depth > 0; depth -= 32, from += 32, to += 16 * kSideGroup) {
    const std::int64_t there = smaller(depth, 32);
    for (std::int64_t i = 0; i < 16; ++i) row[i] = load_elements<false>(from + i * stride, i < rows ? there : 0);
    alignas(64) bfloat16 turned[16 * kSideGroup];
    turn_registers(row, turned, 64);
    __builtin_memcpy(to, turned, static_cast<std::size_t>(groups_of(there)) * 64);
  }
}

/// Calls op(elements of k, elements of k + 1) for pairs of k, of 32 rows that are neighbours; zeros where there are
/// none.
template <typename Op>
inline __attribute__((always_inline)) void for_pairs(const bfloat16* from, std::int64_t k_stride, std::int64_t rows,
                                                     std::int64_t depth, Op op) {
  std::int64_t k = 0;
  if (rows >= 32) {
    for (; k + 2 <= depth; k += 2, from += 2 * k_stride) {
      constexpr std::int64_t kAhead = 16;  // a walk across rows is too far for the processor to foresee
      for (int i = 0; i < 2; ++i) __builtin_prefetch(from + (kAhead + i) * k_stride);
      op(load_elements<true>(from, 32), load_elements<true>(from + k_stride, 32));
    }
  }
  const std::int64_t count = smaller(rows, 32);
  for (; k < depth; k += 2, from += 2 * k_stride) {
    op(load_elements<false>(from, count), load_elements<false>(from + k_stride, k + 1 < depth ? count : 0));
  }
}

/// Rows of the panel neighbours: elements k and k + 1 are interleaved. Two panels, `step` elements apart.
inline void pack_across_k(const bfloat16* from, std::int64_t k_stride, std::int64_t rows, std::int64_t depth,
                          bfloat16* to, std::int64_t step) {
  const bool second = rows > kSideRows;
  for_pairs(from, k_stride, rows, depth, [&](__m512i even, __m512i odd) {
    const Interleaved pairs = interleaved(even, odd);
    _mm512_store_si512(to, pairs.low);
    if (second) _mm512_store_si512(to + step, pairs.high);
    to += kSideGroup;
  });
}

/// The elements [k, k + depth) of each term that come in one pass.
struct MatmulSlice {
  std::int64_t k[kMatmulTerms];
  std::int64_t depth[kMatmulTerms];
  std::int64_t groups;  // of all terms
};

/// Rows of A are read where they are if pairs of k lie side by side in them.
inline bool is_read_in_place(const MatmulSide& a, std::int64_t depth) { return a.k_stride == 1 && depth % 2 == 0; }

/// Elements [k, k + depth) of rows [first, end), in panels `step` elements apart.
inline void pack_part(const MatmulSide& side, std::int64_t first, std::int64_t end, std::int64_t k, std::int64_t depth,
                      bfloat16* to, std::int64_t step) {
  const auto* from = static_cast<const bfloat16*>(side.data) + first * side.stride + k * side.k_stride;
  const std::int64_t panels = side.k_stride == 1 ? 1 : 2;
  for (std::int64_t i = first; i < end; i += panels * kSideRows, to += panels * step) {
    if (side.k_stride == 1) {
      pack_along_k(from, side.stride, end - i, depth, to);
    } else {
      pack_across_k(from, side.k_stride, end - i, depth, to, step);
    }
    from += panels * kSideRows * side.stride;
  }
}

/// Panels of rows [first, end), each with the elements of all terms.
inline void pack_b(const MatmulParams& params, const MatmulSlice& slice, std::int64_t first, std::int64_t end,
                   bfloat16* to) {
  for (int t = 0; t < params.term_count; ++t) {
    pack_part(params.terms[t].b, first, end, slice.k[t], slice.depth[t], to, slice.groups * kSideGroup);
    to += groups_of(slice.depth[t]) * kSideGroup;
  }
}

/// Likewise, but for what is read in place.
inline void pack_a(const MatmulParams& params, const MatmulSlice& slice, std::int64_t first, std::int64_t end,
                   bfloat16* to) {
  for (int t = 0; t < params.term_count; ++t) {
    const MatmulSide& a = params.terms[t].a;
    if (!is_read_in_place(a, slice.depth[t])) {
      pack_part(a, first, end, slice.k[t], slice.depth[t], to, slice.groups * kSideGroup);
    }
    to += groups_of(slice.depth[t]) * kSideGroup;
  }
}

template <int kStep, int kRows, int kVectors>
inline __attribute__((always_inline)) void add_products(Vec (&sum)[kRows][kVectors], const bfloat16* a,
                                                        const std::int64_t (&row)[kRows], const bfloat16*& b,
                                                        std::int64_t panel, std::int64_t groups) {
  for (std::int64_t group = 0; group < groups; ++group) {
    Dot<bfloat16>::Register weight[kVectors];
    for (int j = 0; j < kVectors; ++j) weight[j] = Dot<bfloat16>::read(b + j * panel);
    b += kSideGroup;
    for (int i = 0; i < kRows; ++i) {
      const auto factor = Dot<bfloat16>::repeat(a + row[i]);
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Dot<bfloat16>::accumulate(sum[i][j], factor, weight[j]);
    }
    a += kStep;
  }
}

template <typename T>
inline void store_sum(const MatmulParams& params, Vec sum, std::int64_t m, std::int64_t n, int count, bool more) {
  T* const y = static_cast<T*>(params.y) + m * params.y_stride + n;
  Vec value = mul(sum, broadcast(params.scale));
  if (params.bias != nullptr && !more) value = add(value, read(params.bias + n, count));
  if (more || params.add) value = add(value, read(y, count));
  write(y, value, count);
}

/// Rows [m, m + rows) and the columns of kVectors panels from n on. `a`: the rows' packed panel.
template <typename T, int kRows, int kVectors>
inline void matmul_tile(const MatmulParams& params, const MatmulSlice& slice, const bfloat16* a, const bfloat16* b,
                        std::int64_t m, int rows, std::int64_t n, bool more) {
  const std::int64_t panel = slice.groups * kSideGroup;
  Vec sum[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) sum[i][j] = zero();
  }
  for (int t = 0; t < params.term_count; ++t) {
    const MatmulSide& side = params.terms[t].a;
    const std::int64_t groups = groups_of(slice.depth[t]);
    std::int64_t row[kRows];
    if (is_read_in_place(side, slice.depth[t])) {
      for (int i = 0; i < kRows; ++i) row[i] = (i < rows ? i : 0) * side.stride;
      const auto* const from = static_cast<const bfloat16*>(side.data) + m * side.stride + slice.k[t];
      add_products<2, kRows, kVectors>(sum, from, row, b, panel, groups);
    } else {
      for (int i = 0; i < kRows; ++i) row[i] = 2 * i;
      add_products<kSideGroup, kRows, kVectors>(sum, a, row, b, panel, groups);
    }
    a += groups * kSideGroup;
  }
  for (int j = 0; j < kVectors; ++j, n += kWidth) {
    const auto count = static_cast<int>(smaller(params.columns - n, kWidth));
    for (int i = 0; i < kRows; ++i) {
      if (i < rows) store_sum<T>(params, sum[i][j], m + i, n, count, more);
    }
  }
}

template <typename T, int kVectors>
inline void matmul_rows(const MatmulParams& params, const MatmulSlice& slice, const bfloat16* a, const bfloat16* b,
                        std::int64_t m, std::int64_t end, std::int64_t n, bool more) {
  constexpr int kRows = kVectors == 1 ? 2 * kMatmulRows : kMatmulRows;
  for (std::int64_t at = m; at < end; at += kRows) {
    const std::int64_t place = at - m;
    const bfloat16* const from = a + place / kSideRows * slice.groups * kSideGroup + place % kSideRows * 2;
    const auto rows = static_cast<int>(smaller(end - at, kRows));
    matmul_tile<T, kRows, kVectors>(params, slice, from, b, at, rows, n, more);
  }
}

/// Eight rows of a packed panel of A and up to 32 columns from n on, whose elements at k and k + 1 are interleaved on
/// the way: too few rows to pay for packing B.
template <typename T>
inline void unpacked_tile(const MatmulParams& params, const MatmulSlice& slice, const bfloat16* a, std::int64_t m,
                          int rows, std::int64_t n, std::int64_t end, bool more) {
  const MatmulSide& side = params.terms[0].b;
  const auto* b = static_cast<const bfloat16*>(side.data) + slice.k[0] * side.k_stride + n;
  Vec sum[kMatmulRows][2];
  for (int i = 0; i < kMatmulRows; ++i) sum[i][0] = sum[i][1] = zero();
  for_pairs(b, side.k_stride, end - n, slice.depth[0], [&](__m512i even, __m512i odd) {
    const Interleaved pairs = interleaved(even, odd);
    for (int i = 0; i < kMatmulRows; ++i) {
      const auto factor = Dot<bfloat16>::repeat(a + 2 * i);
      sum[i][0] = Dot<bfloat16>::accumulate(sum[i][0], factor, reinterpret_cast<__m512bh>(pairs.low));
      sum[i][1] = Dot<bfloat16>::accumulate(sum[i][1], factor, reinterpret_cast<__m512bh>(pairs.high));
    }
    a += kSideGroup;
  });
  for (int j = 0; j < 2; ++j, n += kWidth) {
    const auto lanes = static_cast<int>(larger(0, smaller(end - n, kWidth)));
    for (int i = 0; i < kMatmulRows; ++i) {
      if (i < rows) store_sum<T>(params, sum[i][j], m + i, n, lanes, more);
    }
  }
}

/// The part of y that is computed.
struct MatmulRange {
  std::int64_t first_row, end_row, first_column, end_column;
};

constexpr std::int64_t kFewRows = 3 * kSideRows;

inline bool has_few_rows(const MatmulParams& params) {
  return params.rows <= kFewRows && params.term_count == 1 && params.terms[0].b.k_stride != 1 &&
         params.terms[0].a.k_stride != 1;
}

template <typename T>
inline void multiply_unpacked(const MatmulParams& params, const MatmulSlice& slice, const MatmulRange& range, bool more,
                              bfloat16* a) {
  const std::int64_t panel = slice.groups * kSideGroup;
  pack_a(params, slice, range.first_row, range.end_row, a);
  for (std::int64_t n = range.first_column; n < range.end_column; n += 2 * kWidth) {
    for (std::int64_t m = range.first_row; m < range.end_row; m += kMatmulRows) {
      const std::int64_t place = m - range.first_row;
      const auto rows = static_cast<int>(smaller(range.end_row - m, kMatmulRows));
      unpacked_tile<T>(params, slice, a + place / kSideRows * panel + place % kSideRows * 2, m, rows, n,
                       range.end_column, more);
    }
  }
}

template <typename T>
inline void multiply_packed(const MatmulParams& params, const MatmulSlice& slice, const MatmulRange& range, bool more,
                            bfloat16* a, const bfloat16* b) {
  const std::int64_t panel = slice.groups * kSideGroup;
  constexpr std::int64_t kTileColumns = kMatmulVectors * kWidth;
  const std::int64_t rows = larger(1, kMatmulBytesOfA / (panel * 2)) * kSideRows;  // which stay in the cache
  for (std::int64_t m = range.first_row; m < range.end_row; m += rows) {
    const std::int64_t end = smaller(range.end_row, m + rows);
    pack_a(params, slice, m, end, a);
    std::int64_t n = range.first_column;
    const bfloat16* from = b;
    for (; range.end_column - n > 2 * kWidth; n += kTileColumns, from += kMatmulVectors * panel) {
      matmul_rows<T, kMatmulVectors>(params, slice, a, from, m, end, n, more);
    }
    if (range.end_column - n > kWidth) {
      matmul_rows<T, 2>(params, slice, a, from, m, end, n, more);
    } else if (range.end_column > n) {
      matmul_rows<T, 1>(params, slice, a, from, m, end, n, more);
    }
  }
}

template <typename T>
inline void matmul_range(const MatmulParams& params, const MatmulRange& range, std::int64_t column_item,
                         MatmulRoom& room) {
  auto* const a = reinterpret_cast<bfloat16*>(room.scratch);
  bfloat16* const b = a + kMatmulBytesOfA / 2;
  MatmulSlice slice{};
  for (bool more = false;; more = true) {
    std::int64_t depth = sizeof(T) == sizeof(float) ? kMatmulPass : kMatmulDepth;
    slice.groups = 0;
    bool last = true;
    for (int t = 0; t < params.term_count; ++t) {
      slice.k[t] += slice.depth[t];
      slice.depth[t] = smaller(depth, params.terms[t].depth - slice.k[t]);
      depth -= slice.depth[t];
      slice.groups += groups_of(slice.depth[t]);
      last = last && slice.k[t] + slice.depth[t] == params.terms[t].depth;
    }
    if (has_few_rows(params)) {
      multiply_unpacked<T>(params, slice, range, more, a);
      if (last) return;
      continue;
    }
    const bool only = last && !more;
    if (!only || room.packed != column_item) pack_b(params, slice, range.first_column, range.end_column, b);
    room.packed = only ? column_item : -1;
    multiply_packed<T>(params, slice, range, more, a, b);
    if (last) return;
  }
}

void matmul(const MatmulParams& params, std::int64_t item, MatmulRoom& room) {
  const std::int64_t row_items = (params.rows + params.row_block - 1) / params.row_block;
  const std::int64_t row = item % row_items * params.row_block;
  const std::int64_t column = item / row_items * params.column_block;
  const MatmulRange range{row, smaller(params.rows, row + params.row_block), column,
                          smaller(params.columns, column + params.column_block)};
  if (params.y_type == Element::bf16) return matmul_range<bfloat16>(params, range, item / row_items, room);
  matmul_range<float>(params, range, item / row_items, room);
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
#endif
