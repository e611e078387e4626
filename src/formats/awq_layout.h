// Where AWQ's words hold what; see awq.h.
#pragma once

#include <cstdint>

namespace powerhouse {

/// gemm: where in a word the nibble of an output stands.
constexpr int awq_shift(std::int64_t output) {
  const int of_eight = static_cast<int>(output % 8);
  return 4 * (of_eight / 2 + of_eight % 2 * 4);
}

/// gemv: words of zeros of an output.
constexpr std::int64_t awq_zeros_width(std::int64_t inputs, std::int64_t group) {
  const std::int64_t multiple = group >= 128 ? 1 : 128 / group;
  const std::int64_t words = (inputs / group + 7) / 8;
  return (words + multiple - 1) / multiple * multiple;
}

}  // namespace powerhouse
