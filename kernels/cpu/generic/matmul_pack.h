// Sides of matrix products of bf16 as matmul.h multiplies them: panels of sixteen rows, whose elements at one k lie
// side by side. With the dot products of AVX512_BF16 two elements of k each. Processors without those instructions, and
// those where they are slow (dispatch.cpp), have the dot products of 16-bit integers of AVX512_VNNI, for which elements
// become integers (matmul_integers.h), or have elements widened to float32.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/matmul_integers.h"
#include "kernels/cpu/kernels.h"

#ifdef __AVX512BW__
#define POWERHOUSE_MATMUL
namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

#ifdef POWERHOUSE_DOT_BF16
using MatmulLane = bfloat16;
constexpr auto kMatmulForm = MatmulForm::bf16;
#elif defined(POWERHOUSE_VNNI)
#define POWERHOUSE_MATMUL_INTEGERS
using MatmulLane = std::int16_t;
constexpr auto kMatmulForm = MatmulForm::integers;
#else
using MatmulLane = float;
constexpr auto kMatmulForm = MatmulForm::f32;
#endif
constexpr bool kIntegers = kMatmulForm == MatmulForm::integers;
constexpr std::int64_t kSideRows = 16;                                  // of a packed panel
constexpr std::int64_t kSidePack = sizeof(float) / sizeof(MatmulLane);  // elements of k in a word of 32 bits
constexpr std::int64_t kSideGroup = kSideRows * kSidePack;  // elements of a panel's rows that are neighbours

constexpr std::int64_t kBlock = 16 * kSidePack;               // elements of k that a panel's rows are turned by
constexpr std::int64_t kGroupsOfBlock = kIntegers ? 17 : 16;  // behind integers their units

inline std::int64_t groups_of(std::int64_t depth) {
  if constexpr (kIntegers) return (depth + kBlock - 1) / kBlock * kGroupsOfBlock;
  return (depth + kSidePack - 1) / kSidePack;
}

/// All of 32 elements, or the first `count`. Masked loads of 16-bit elements take many cycles on some processors, and
/// compilers like to make both into one.
template <bool kAll>
inline __m512i load_elements(const bfloat16* from, std::int64_t count) {
  if constexpr (kAll) return _mm512_loadu_si512(from);
  return count <= 0 ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi16(0xFFFFFFFFu >> (32 - count), from);
}

inline __m512i widened_words(__m256i bits) { return _mm512_castps_si512(widen_bf16(bits)); }

/// Sixteen words of neighbours: pairs of elements, or elements widened; all of them, or the first `count` elements.
template <bool kAll>
inline __m512i load_words_of(const bfloat16* from, std::int64_t count) {
  if constexpr (kSidePack == 2) return load_elements<kAll>(from, count);
  if constexpr (kAll) return widened_words(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  return widened_words(_mm512_castsi512_si256(load_elements<false>(from, count)));
}

/// Of elements that stay what they are nothing more is made.
inline void finish_block(bfloat16*) {}
inline void finish_block(float*) {}
#ifdef POWERHOUSE_MATMUL_INTEGERS
inline void finish_block(std::int16_t* to) { make_integers(to); }
#endif

/// k neighbours: 16 rows of 16 words are turned at once.
inline void pack_along_k(const bfloat16* from, std::int64_t stride, std::int64_t rows, std::int64_t depth,
                         MatmulLane* to) {
  __m512i row[16];
  for (; rows >= 16 && depth >= kBlock; depth -= kBlock, from += kBlock, to += kGroupsOfBlock * kSideGroup) {
    for (std::int64_t i = 0; i < 16; ++i) {
      row[i] = load_words_of<true>(from + i * stride, kBlock);
      __builtin_prefetch(from + (16 + i) * stride, 0, 2);  // the next panel: weights come from memory
    }
    turn_registers(row, to, 64);
    finish_block(to);
  }
  for (; depth > 0; depth -= kBlock, from += kBlock, to += kGroupsOfBlock * kSideGroup) {
    const std::int64_t there = smaller(depth, kBlock);
    for (std::int64_t i = 0; i < 16; ++i) row[i] = load_words_of<false>(from + i * stride, i < rows ? there : 0);
    alignas(64) MatmulLane turned[16 * kSideGroup];
    turn_registers(row, turned, 64);
    const std::int64_t groups = kIntegers ? 16 : groups_of(there);
    __builtin_memcpy(to, turned, static_cast<std::size_t>(groups) * 64);
    finish_block(to);
  }
}

/// Words of 32 rows that are neighbours, for kSidePack elements of k each.
template <bool kAll>
inline void load_groups(const bfloat16* from, std::int64_t k_stride, std::int64_t count, bool odd, __m512i& low,
                        __m512i& high) {
  const __m512i first = load_elements<kAll>(from, count);
  if constexpr (kSidePack == 2) {
    const Interleaved pairs = interleaved(first, load_elements<kAll>(from + (odd ? k_stride : 0), odd ? count : 0));
    low = pairs.low;
    high = pairs.high;
  } else {
    low = widened_words(_mm512_castsi512_si256(first));
    high = widened_words(_mm512_extracti64x4_epi64(first, 1));
  }
}

/// Calls op(words of the first sixteen rows, words of the others) for each kSidePack elements of k, of 32 rows that are
/// neighbours; zeros where there are none.
template <typename Op>
inline __attribute__((always_inline)) void for_groups(const bfloat16* from, std::int64_t k_stride, std::int64_t rows,
                                                      std::int64_t depth, Op op) {
  std::int64_t k = 0;
  __m512i low;
  __m512i high;
  if (rows >= 32) {
    for (; k + kSidePack <= depth; k += kSidePack, from += kSidePack * k_stride) {
      constexpr std::int64_t kAhead = 16;  // a walk across rows is too far for the processor to foresee
      for (std::int64_t i = 0; i < kSidePack; ++i) __builtin_prefetch(from + (kAhead + i) * k_stride);
      load_groups<true>(from, k_stride, 32, true, low, high);
      op(low, high);
    }
  }
  const std::int64_t count = smaller(rows, 32);
  for (; k < depth; k += kSidePack, from += kSidePack * k_stride) {
    load_groups<false>(from, k_stride, count, k + 1 < depth, low, high);
    op(low, high);
  }
}

/// Rows of the panel neighbours. Two panels, `step` elements apart.
inline void pack_across_k(const bfloat16* from, std::int64_t k_stride, std::int64_t rows, std::int64_t depth,
                          MatmulLane* to, std::int64_t step) {
  const bool second = rows > kSideRows;
  const auto store_both = [&](__m512i low, __m512i high) {
    _mm512_store_si512(to, low);
    if (second) _mm512_store_si512(to + step, high);
    to += kSideGroup;
  };
  if constexpr (!kIntegers) return for_groups(from, k_stride, rows, depth, store_both);
  for (; depth > 0; depth -= kBlock, from += kBlock * k_stride, to += kSideGroup) {
    MatmulLane* const block = to;
    for_groups(from, k_stride, rows, smaller(depth, kBlock), store_both);
    while (to < block + 16 * kSideGroup) store_both(_mm512_setzero_si512(), _mm512_setzero_si512());
    finish_block(block);
    if (second) finish_block(block + step);
  }
}

/// Elements [k, k + depth) of rows [first, end), in panels `step` elements apart.
inline void pack_part(const MatmulSide& side, std::int64_t first, std::int64_t end, std::int64_t k, std::int64_t depth,
                      MatmulLane* to, std::int64_t step) {
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

/// Likewise as float32, but each row of a panel behind the other.
inline void widen_part(const MatmulSide& side, std::int64_t first, std::int64_t end, std::int64_t k, std::int64_t depth,
                       MatmulLane* to, std::int64_t step) {
  for (std::int64_t i = first; i < end; i += kSideRows, to += step) {
    for (std::int64_t row = i; row < smaller(end, i + kSideRows); ++row) {
      const auto* const from = static_cast<const bfloat16*>(side.data) + row * side.stride + k;
      float* const into = reinterpret_cast<float*>(to) + (row - i) * depth;
      for (std::int64_t j = 0; j < depth; j += kWidth)
        write(into + j, read(from + j, lanes(depth, j)), lanes(depth, j));
    }
  }
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
#endif
