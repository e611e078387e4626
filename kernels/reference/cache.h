// Cells of a key-value cache one by one: how elements are read, and how rows become blocks. The definition; the blocks
// are those of dequantize.h and encode.h, whatever is not finite aside.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/dequantize.h"
#include "kernels/reference/encode.h"

namespace powerhouse::reference {

static inline float read_cell(const void* cells, BlockFormat type, std::int64_t index) {
  switch (type) {
    case BlockFormat::f32: return read_element(cells, Element::f32, index);
    case BlockFormat::bf16: return read_element(cells, Element::bf16, index);
    case BlockFormat::f16: return read_element(cells, Element::f16, index);
    default: break;
  }
  const auto* const block = static_cast<const std::uint8_t*>(cells) + cpu::cache_bytes(type, index / 32 * 32);
  if (type != BlockFormat::q8_0 && type != BlockFormat::q4_0) {
    float values[32];
    dequantize_row(type, block, values, 32);
    return values[index % 32];
  }
  const float scale = read_element(block, Element::f16, 0);
  const std::int64_t i = index % 32;
  if (type == BlockFormat::q8_0) return scale * static_cast<float>(static_cast<std::int8_t>(block[2 + i]));
  return scale * static_cast<float>((block[2 + i % 16] >> (i / 16 * 4) & 15) - 8);
}

static inline void store_block(const float* x, BlockFormat type, std::uint8_t* block) {
  float extreme = 0;  // the first of the largest magnitude
  bool finite = true;
  for (int i = 0; i < 32; ++i) {
    finite = finite && std::isfinite(x[i]);
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (type != BlockFormat::q8_0 && type != BlockFormat::q4_0) {
    std::memset(block, 0, static_cast<std::size_t>(block_info(type).block_bytes));
    if (!finite) return write_element(block, Element::f16, 0, NAN);
    encode_row(type, x, nullptr, 32, block);
    return;
  }
  const bool bytes = type == BlockFormat::q8_0;
  const float scale = bytes ? std::fabs(extreme) / 127.0f : extreme / -8.0f;
  const float turn = std::isfinite(1.0f / scale) ? 1.0f / scale : 0.0f;  // else f16 keeps nothing of the scale
  write_element(block, Element::f16, 0, finite ? scale : NAN);
  std::memset(block + 2, 0, bytes ? 32 : 16);
  for (int i = 0; i < 32 && finite; ++i) {
    if (bytes) {
      block[2 + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::round(x[i] * turn)));
    } else {
      const int code = std::min(15, static_cast<int>(x[i] * turn + 8.5f));
      block[2 + i % 16] = static_cast<std::uint8_t>(block[2 + i % 16] | code << (i / 16 * 4));
    }
  }
}

static inline void store_cache(const cpu::CacheStoreParams& params, std::int64_t begin, std::int64_t end) {
  const auto block_bytes = block_info(params.cache_type).block_bytes;
  auto* const to = static_cast<std::uint8_t*>(params.destination);
  if (block_info(params.cache_type).block_elements == 1) {
    const Element type = params.cache_type == BlockFormat::f32    ? Element::f32
                         : params.cache_type == BlockFormat::bf16 ? Element::bf16
                                                                  : Element::f16;
    for (std::int64_t i = begin; i < end; ++i) {
      write_element(to, type, i, read_element(params.source, params.source_type, i));
    }
    return;
  }
  for (std::int64_t i = begin; i < end; i += 32) {
    float x[32];
    for (int k = 0; k < 32; ++k) x[k] = read_element(params.source, params.source_type, i + k);
    store_block(x, params.cache_type, to + i / 32 * block_bytes);
  }
}

}  // namespace powerhouse::reference
