// Rotary position embedding in place: the definition.
#pragma once

#include "kernels/cpu/kernels.h"

namespace powerhouse::reference {

static inline void rope(const cpu::RopeParams& params, std::int64_t begin, std::int64_t end) {
  const std::int64_t half = params.rotary_dim / 2;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t token = item / params.heads;
    const std::int64_t head = token * params.token_stride + item % params.heads * params.head_stride;
    const std::int64_t table = (params.positions == nullptr ? token : params.positions[token]) * params.table_stride;
    for (std::int64_t i = 0; i < half; ++i) {
      const std::int64_t first = head + (params.interleaved ? 2 * i : i);
      const std::int64_t second = first + (params.interleaved ? 1 : half);
      const float a = read_element(params.data, params.type, first);
      const float b = read_element(params.data, params.type, second);
      const float cos = params.cos[table + i];
      const float sin = params.sin[table + i];
      write_element(params.data, params.type, first, a * cos - b * sin);
      write_element(params.data, params.type, second, b * cos + a * sin);
    }
  }
}

}  // namespace powerhouse::reference
