// Rotary position embedding: the definition.
#pragma once

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline void rope(const cpu::RopeParams& params, std::int64_t begin, std::int64_t end) {
  const std::int64_t half = params.rotary_dim / 2;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t token = item / params.heads;
    const std::int64_t head = token * params.token_stride + item % params.heads * params.head_stride;
    const std::int64_t table = (params.positions == nullptr ? token : params.positions[token]) * params.table_stride;
    const void* const from = params.source == nullptr ? params.data : params.source;
    const std::int64_t from_head =
        params.source == nullptr ? head
                                 : token * params.source_token_stride + item % params.heads * params.source_head_stride;
    for (std::int64_t i = params.rotary_dim; params.source != nullptr && i < params.head_dim; ++i) {
      write_element(params.data, params.type, head + i, read_element(from, params.type, from_head + i));
    }
    for (std::int64_t i = 0; i < half; ++i) {
      const std::int64_t first = params.interleaved ? 2 * i : i;
      const std::int64_t second = first + (params.interleaved ? 1 : half);
      const float a = read_element(from, params.type, from_head + first);
      const float b = read_element(from, params.type, from_head + second);
      const float cos = params.cos[table + i];
      const float sin = params.inverse ? -params.sin[table + i] : params.sin[table + i];
      write_element(params.data, params.type, head + first, a * cos - b * sin);
      write_element(params.data, params.type, head + second, b * cos + a * sin);
    }
  }
}

}  // namespace powerhouse::reference
