// Sums of matrix products of bf16, for training: C = A1 B1 + A2 B2 + ..., each operand turned whichever way.
//
// B is packed (matmul_pack.h): sixteen rows side by side, so that a register of it meets what is repeated of A from
// memory (Goto and van de Geijn 2008). A block of B's columns is packed once, and blocks of A that stay in the
// second-level cache are multiplied by it. Pairs of A that are neighbours are read where they lie, others are packed
// too, as integers all are; for a few rows B is not worth packing. An element is summed in the order of terms and k, in
// passes, whatever is computed beside it.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/matmul_pack.h"
#include "kernels/cpu/kernels.h"

#ifdef POWERHOUSE_MATMUL
namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

constexpr int kMatmulRows = 8;     // of a tile
constexpr int kMatmulVectors = 3;  // columns of a tile: 24 sums, 3 registers of B and one of A

/// The elements [k, k + depth) of each term that come in one pass.
struct MatmulSlice {
  std::int64_t k[kMatmulTerms];
  std::int64_t depth[kMatmulTerms];
  std::int64_t groups;  // of all terms
};

/// Rows of A are read where they are if pairs of k lie side by side in them.
inline bool is_read_in_place(const MatmulSide& a, std::int64_t depth) {
  return kSidePack == 2 && !kIntegers && a.k_stride == 1 && depth % 2 == 0;
}

/// Rows of A that are float32 stay rows: their elements are repeated one by one, wherever they lie.
inline bool is_kept_in_rows(const MatmulSide& a) { return kSidePack == 1 && a.k_stride == 1; }

/// Panels of rows [first, end), each with the elements of all terms.
inline void pack_b(const MatmulParams& params, const MatmulSlice& slice, std::int64_t first, std::int64_t end,
                   MatmulLane* to) {
  for (int t = 0; t < params.term_count; ++t) {
    pack_part(params.terms[t].b, first, end, slice.k[t], slice.depth[t], to, slice.groups * kSideGroup);
    to += groups_of(slice.depth[t]) * kSideGroup;
  }
}

/// Likewise, but for what is read in place.
inline void pack_a(const MatmulParams& params, const MatmulSlice& slice, std::int64_t first, std::int64_t end,
                   MatmulLane* to) {
  for (int t = 0; t < params.term_count; ++t) {
    const MatmulSide& a = params.terms[t].a;
    if (is_kept_in_rows(a)) {
      widen_part(a, first, end, slice.k[t], slice.depth[t], to, slice.groups * kSideGroup);
    } else if (!is_read_in_place(a, slice.depth[t])) {
      pack_part(a, first, end, slice.k[t], slice.depth[t], to, slice.groups * kSideGroup);
    }
    to += groups_of(slice.depth[t]) * kSideGroup;
  }
}

template <int kStep, int kRows, int kVectors>
inline __attribute__((always_inline)) void add_products(Vec (&sum)[kRows][kVectors], const MatmulLane* a,
                                                        const std::int64_t (&row)[kRows], const MatmulLane*& b,
                                                        std::int64_t panel, std::int64_t groups) {
  for (std::int64_t group = 0; group < groups; ++group) {
    Dot<MatmulLane>::Register weight[kVectors];
    for (int j = 0; j < kVectors; ++j) weight[j] = Dot<MatmulLane>::read(b + j * panel);
    b += kSideGroup;
    for (int i = 0; i < kRows; ++i) {
      const auto factor = Dot<MatmulLane>::repeat(a + row[i]);
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Dot<MatmulLane>::accumulate(sum[i][j], factor, weight[j]);
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

/// Rows [m, m + rows) and the columns of kVectors panels from n on. `a`: the packed panel in which the rows begin at
/// `place`.
template <typename T, int kRows, int kVectors>
inline void matmul_tile(const MatmulParams& params, const MatmulSlice& slice, const MatmulLane* a, std::int64_t place,
                        const MatmulLane* b, std::int64_t m, int rows, std::int64_t n, bool more) {
  const std::int64_t panel = slice.groups * kSideGroup;
  Vec sum[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) sum[i][j] = zero();
  }
  for (int t = 0; t < params.term_count; ++t) {
    const std::int64_t groups = groups_of(slice.depth[t]);
#ifdef POWERHOUSE_MATMUL_INTEGERS
    for (std::int64_t group = 0; group < groups; group += kGroupsOfBlock, b += kGroupsOfBlock * kSideGroup) {
      add_integers<kRows, kVectors>(sum, a + place * kSidePack + group * kSideGroup, b, panel);
    }
#else
    const MatmulSide& side = params.terms[t].a;
    std::int64_t row[kRows];
    if (is_read_in_place(side, slice.depth[t])) {
      for (int i = 0; i < kRows; ++i) row[i] = (i < rows ? i : 0) * side.stride;
      const auto* const first = static_cast<const bfloat16*>(side.data) + m * side.stride + slice.k[t];
      const auto* const from = reinterpret_cast<const MatmulLane*>(first);
      add_products<kSidePack, kRows, kVectors>(sum, from, row, b, panel, groups);
    } else if (is_kept_in_rows(side)) {
      for (int i = 0; i < kRows; ++i) row[i] = (i < rows ? i : 0) * slice.depth[t];
      add_products<1, kRows, kVectors>(sum, a + place * slice.depth[t], row, b, panel, groups);
    } else {
      for (int i = 0; i < kRows; ++i) row[i] = kSidePack * i;
      add_products<kSideGroup, kRows, kVectors>(sum, a + place * kSidePack, row, b, panel, groups);
    }
#endif
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
inline void matmul_rows(const MatmulParams& params, const MatmulSlice& slice, const MatmulLane* a, const MatmulLane* b,
                        std::int64_t m, std::int64_t end, std::int64_t n, bool more) {
  constexpr int kRows = kVectors == 1 ? 2 * kMatmulRows : kMatmulRows;
  for (std::int64_t at = m; at < end; at += kRows) {
    const std::int64_t place = at - m;
    const MatmulLane* const from = a + place / kSideRows * slice.groups * kSideGroup;
    const auto rows = static_cast<int>(smaller(end - at, kRows));
    matmul_tile<T, kRows, kVectors>(params, slice, from, place % kSideRows, b, at, rows, n, more);
  }
}

/// The part of y that is computed.
struct MatmulRange {
  std::int64_t first_row, end_row, first_column, end_column;
};

#ifndef POWERHOUSE_MATMUL_INTEGERS
/// Eight rows of a packed panel of A and up to 32 columns from n on, whose words are made on the way: too few rows to
/// pay for packing B.
template <typename T>
inline void unpacked_tile(const MatmulParams& params, const MatmulSlice& slice, const MatmulLane* a, std::int64_t m,
                          int rows, std::int64_t n, std::int64_t end, bool more) {
  const MatmulSide& side = params.terms[0].b;
  const auto* b = static_cast<const bfloat16*>(side.data) + slice.k[0] * side.k_stride + n;
  Vec sum[kMatmulRows][2];
  for (int i = 0; i < kMatmulRows; ++i) sum[i][0] = sum[i][1] = zero();
  for_groups(b, side.k_stride, end - n, slice.depth[0], [&](__m512i low, __m512i high) {
    for (int i = 0; i < kMatmulRows; ++i) {
      const auto factor = Dot<MatmulLane>::repeat(a + kSidePack * i);
      sum[i][0] = Dot<MatmulLane>::accumulate(sum[i][0], factor, reinterpret_cast<Dot<MatmulLane>::Register>(low));
      sum[i][1] = Dot<MatmulLane>::accumulate(sum[i][1], factor, reinterpret_cast<Dot<MatmulLane>::Register>(high));
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

constexpr std::int64_t kFewRows = 3 * kSideRows;
// Nothing of B is packed beside few rows of A, which may be longer than what blocks of many rows have.
static_assert(kFewRows * kMatmulDepth * static_cast<std::int64_t>(sizeof(MatmulLane)) <=
              kMatmulBytesOfA + kMatmulBytesOfB);

inline bool has_few_rows(const MatmulParams& params) {
  return params.rows <= kFewRows && params.term_count == 1 && params.terms[0].b.k_stride != 1 &&
         params.terms[0].a.k_stride != 1;
}

template <typename T>
inline void multiply_unpacked(const MatmulParams& params, const MatmulSlice& slice, const MatmulRange& range, bool more,
                              MatmulLane* a) {
  const std::int64_t panel = slice.groups * kSideGroup;
  pack_a(params, slice, range.first_row, range.end_row, a);
  for (std::int64_t n = range.first_column; n < range.end_column; n += 2 * kWidth) {
    for (std::int64_t m = range.first_row; m < range.end_row; m += kMatmulRows) {
      const std::int64_t place = m - range.first_row;
      const auto rows = static_cast<int>(smaller(range.end_row - m, kMatmulRows));
      unpacked_tile<T>(params, slice, a + place / kSideRows * panel + place % kSideRows * kSidePack, m, rows, n,
                       range.end_column, more);
    }
  }
}
#endif

template <typename T>
inline void multiply_packed(const MatmulParams& params, const MatmulSlice& slice, const MatmulRange& range, bool more,
                            MatmulLane* a, const MatmulLane* b) {
  const std::int64_t panel = slice.groups * kSideGroup;
  constexpr std::int64_t kTileColumns = kMatmulVectors * kWidth;
  const std::int64_t rows = larger(1, kMatmulBytesOfA / (panel * static_cast<std::int64_t>(sizeof(MatmulLane)))) *
                            kSideRows;  // which stay in the cache
  for (std::int64_t m = range.first_row; m < range.end_row; m += rows) {
    const std::int64_t end = smaller(range.end_row, m + rows);
    pack_a(params, slice, m, end, a);
    std::int64_t n = range.first_column;
    const MatmulLane* from = b;
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
  auto* const a = reinterpret_cast<MatmulLane*>(room.scratch);
  MatmulLane* const b = a + kMatmulBytesOfA / sizeof(MatmulLane);
  MatmulSlice slice{};
  for (bool more = false;; more = true) {
    std::int64_t depth = sizeof(T) == sizeof(float) ? kMatmulPass : kMatmulDepth;
    slice.groups = 0;
    bool last = true;
    for (int t = 0; t < params.term_count; ++t) {
      slice.k[t] += slice.depth[t];
      const std::int64_t rest = params.terms[t].depth - slice.k[t];
      // Integers share a unit with the same neighbours wherever a pass ends.
      slice.depth[t] = rest <= depth ? rest : kIntegers ? depth / kBlock * kBlock : depth;
      depth = rest <= depth ? depth - rest : 0;
      slice.groups += groups_of(slice.depth[t]);
      last = last && slice.k[t] + slice.depth[t] == params.terms[t].depth;
    }
#ifndef POWERHOUSE_MATMUL_INTEGERS
    if (has_few_rows(params)) {
      multiply_unpacked<T>(params, slice, range, more, a);
      if (last) return;
      continue;
    }
#endif
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
