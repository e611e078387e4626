// Cells of a key-value cache: float types, or ggml's blocks of 32 elements with a scale in f16; how attention reads
// them, and how rows become them.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/dequantize.h"
#include "kernels/cpu/generic/encode.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

struct Q8Cell {
  float16 scale;
  std::int8_t codes[32];
};
/// Element i in the lower half of byte i, element i + 16 in the upper.
struct Q4Cell {
  float16 scale;
  std::uint8_t codes[16];
};
static_assert(sizeof(Q8Cell) == 34 && sizeof(Q4Cell) == 18);

template <typename Cell>
constexpr int kCellElements = 1;
template <>
constexpr int kCellElements<Q8Cell> = 32;
template <>
constexpr int kCellElements<Q4Cell> = 32;

/// Calls op(Tag<Cell>) with the C++ type of a cache's cells as attention reads them: of what is no cell, float, which
/// `decode_head` makes of it.
template <typename Op>
inline void visit_cells(BlockFormat type, Op op) {
  switch (type) {
    case BlockFormat::f32: op(Tag<float>{}); break;
    case BlockFormat::bf16: op(Tag<bfloat16>{}); break;
    case BlockFormat::f16: op(Tag<float16>{}); break;
    case BlockFormat::q8_0: op(Tag<Q8Cell>{}); break;
    case BlockFormat::q4_0: op(Tag<Q4Cell>{}); break;
    default: op(Tag<float>{});
  }
}

/// A head of a type that is no cell, as float32.
inline void decode_head(BlockFormat type, const std::uint8_t* head, float* to, std::int64_t head_dim) {
  dequantize_to(type, head, to, 0, head_dim / 32);
}

/// Steps through pages of keys or values, in bytes.
struct CellSteps {
  std::int64_t first;  // from a page's base to its first token's key-value head
  std::int64_t token;
  std::int64_t head;   // from a head to the next
  std::int64_t bytes;  // of a head
};
inline CellSteps steps_of(BlockFormat type, const AttentionShape& shape, std::int64_t kv_head) {
  return {cache_bytes(type, shape.page_offset + kv_head * shape.kv_head_stride), cache_bytes(type, shape.token_stride),
          cache_bytes(type, shape.kv_head_stride), cache_bytes(type, shape.head_dim)};
}

/// Asks for a head that is read soon: they lie too far apart for the processor to see where they go on.
inline void fetch_head(const std::uint8_t* head, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(head + i, 0, 2);
}

/// Elements [d, d + kWidth) of a head, d a multiple of kWidth. A scale times a code is exact.
template <typename T>
inline Vec read_cells(const T* head, std::int64_t d) {
  return load(head + d);
}
inline Vec read_cells(const Q8Cell* head, std::int64_t d) {
  const Q8Cell& cell = head[d / 32];
  return mul(widen_codes(cell.codes + d % 32), broadcast_f16(cell.scale));
}
inline Vec read_cells(const Q4Cell* head, std::int64_t d) {
  const Q4Cell& cell = head[d / 32];
  return mul(widen_nibbles(cell.codes + d % 16, d % 32 >= 16), broadcast_f16(cell.scale));
}

/// The same for the last `count` < kWidth elements of a head; heads of blocks have none.
template <typename T>
inline Vec read_cells_first(const T* head, std::int64_t d, int count) {
  if constexpr (kCellElements<T> == 1) {
    return load_first(head + d, count);
  } else {
    return read_cells(head, d);
  }
}

template <typename Cell>
inline Vec read_cells(const Cell* head, std::int64_t d, int count) {
  return count == kWidth ? read_cells(head, d) : read_cells_first(head, d, count);
}

constexpr int kCellVectors = 32 / kWidth;

/// x[0, 32) as vectors. False where x holds NaN or infinity: those have no codes.
template <typename T>
inline bool load_block(const T* x, Vec* part) {
  Vec nothing = zero();
  for (int i = 0; i < kCellVectors; ++i) {
    part[i] = load(x + i * kWidth);
    nothing = fma(part[i], zero(), nothing);
  }
  return reduce_add(nothing) == 0.0f;
}

/// What elements are multiplied by to become codes: zero for scales that have no reciprocal, of which f16 keeps
/// nothing.
inline float turn_of(float scale) {
  const float turn = 1.0f / scale;
  return __builtin_isfinite(turn) ? turn : 0.0f;
}

/// A block that holds NaN or infinity.
template <typename Cell>
inline void store_nothing(Cell& cell) {
  from_float(__builtin_nanf(""), cell.scale);
  for (auto& code : cell.codes) code = 0;
}

/// The largest whole number that is not above x, |x| < 2^22.
inline Vec floor(Vec x) {
  const Vec near = round_nearest(x);
  return select_less(x, near, sub(near, broadcast(1.0f)), near);
}

template <typename T>
inline void store_block(const T* x, Q8Cell& cell) {
  Vec part[kCellVectors];
  if (!load_block(x, part)) return store_nothing(cell);
  Vec largest = zero();
  for (const Vec& value : part) largest = max(largest, absolute(value));
  const float scale = reduce_max(largest) / 127.0f;
  const float turn = turn_of(scale);
  from_float(scale, cell.scale);
  float whole[32];
  for (int i = 0; i < kCellVectors; ++i) {
    // Halves go away from zero, as roundf has it.
    const Vec value = mul(part[i], broadcast(turn));
    const Vec magnitude = min(broadcast(127.0f), absolute(value));
    const Vec down = floor(magnitude);
    const Vec rest = select_less(sub(magnitude, down), broadcast(0.5f), zero(), broadcast(1.0f));
    store(whole + i * kWidth, copy_sign(add(down, rest), value));
  }
  for (int i = 0; i < 32; ++i) cell.codes[i] = static_cast<std::int8_t>(static_cast<std::int32_t>(whole[i]));
}

template <typename T>
inline void store_block(const T* x, Q4Cell& cell) {
  Vec part[kCellVectors];
  if (!load_block(x, part)) return store_nothing(cell);
  // The first element of the largest magnitude becomes -8.
  float value[32];
  for (int i = 0; i < kCellVectors; ++i) store(value + i * kWidth, part[i]);
  float extreme = 0.0f;
  for (const float one : value) {
    if (__builtin_fabsf(one) > __builtin_fabsf(extreme)) extreme = one;
  }
  const float scale = extreme / -8.0f;
  const float turn = turn_of(scale);
  from_float(scale, cell.scale);
  for (int i = 0; i < kCellVectors; ++i) {
    const Vec shifted = add(mul(part[i], broadcast(turn)), broadcast(8.5f));  // from 0.5 to 16.5
    store(value + i * kWidth, floor(min(broadcast(15.0f), shifted)));
  }
  for (int i = 0; i < 16; ++i) {
    cell.codes[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(value[i] + 16.0f * value[i + 16]));
  }
}

/// Blocks that are no cells, by the encoder of files.
template <typename T>
inline void encode_cells(BlockFormat type, const T* source, std::uint8_t* to, std::int64_t begin, std::int64_t end) {
  const std::int64_t block_bytes = block_info(type).block_bytes;
  for (std::int64_t i = begin; i < end; i += 32) {
    Vec part[kCellVectors];
    std::uint8_t* const block = to + i / 32 * block_bytes;
    if (!load_block(source + i, part)) {  // a scale of NaN
      __builtin_memset(block, 0, static_cast<std::size_t>(block_bytes));
      from_float(__builtin_nanf(""), *reinterpret_cast<float16*>(block));
      continue;
    }
    alignas(64) float x[32];
    for (int k = 0; k < kCellVectors; ++k) store(x + k * kWidth, part[k]);
    bool failed = false;
    encode({.format = type, .rows = x, .columns = 32, .blocks = block, .failed = &failed}, 0, 1);
  }
}

void store_cache(const CacheStoreParams& params, std::int64_t begin, std::int64_t end) {
  if (!is_cell_type(params.cache_type)) {
    return visit(params.source_type, [&](auto tag) {
      encode_cells(params.cache_type, static_cast<const typename decltype(tag)::Type*>(params.source),
                   static_cast<std::uint8_t*>(params.destination), begin, end);
    });
  }
  visit(params.source_type, [&](auto source_tag) {
    visit_cells(params.cache_type, [&](auto cell_tag) {
      using Cell = typename decltype(cell_tag)::Type;
      const auto* const source = static_cast<const typename decltype(source_tag)::Type*>(params.source);
      auto* const destination = static_cast<Cell*>(params.destination);
      if constexpr (kCellElements<Cell> == 1) {
        for (std::int64_t i = begin; i < end; i += kWidth) {
          const int count = lanes(end, i);
          write(destination + i, read(source + i, count), count);
        }
      } else {
        for (std::int64_t i = begin; i < end; i += 32) store_block(source + i, destination[i / 32]);
      }
    });
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
