// States of an optimizer kept as codes: a block of kStateBlock to float32 and back.
//
// Both ways are look-ups of one element after the other, but where registers hold the tables (vec/codes_avx512.h); what
// is arithmetic in them runs in vectors.
#pragma once

#include <cstdint>

#include "kernels/common/float16.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/optimizer_params.h"
#ifdef __AVX512F__
#include "kernels/cpu/vec/codes_avx512.h"
#endif

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

#ifndef __AVX512F__
inline void decode_codes(const float* values, const std::uint8_t* codes, float* to) {
  for (std::int64_t i = 0; i < kStateBlock; ++i) to[i] = values[codes[i]];
}
#endif

/// The block from `begin` on, of which `count` elements exist, into `to` [kStateBlock]: zeros behind the last.
inline void decode_block(const UpdateState& state, std::int64_t begin, float* to, std::int64_t count) {
  const auto* const codes = static_cast<const std::uint8_t*>(state.data) + begin;
  const float* const values = state.codes->values;
  if (count == kStateBlock) {
    decode_codes(values, codes, to);
  } else {
    for (std::int64_t i = 0; i < count; ++i) to[i] = values[codes[i]];
    for (std::int64_t i = count; i < kStateBlock; ++i) to[i] = 0;
  }
  const Vec scale = broadcast(state.absmax[begin / kStateBlock]);
  for (std::int64_t i = 0; i < kStateBlock; i += kWidth) store(to + i, mul(load(to + i), scale));
}

/// Codes of numbers in [-1, 1].
inline void look_up_codes(const StateCodes& map, const float* from, std::uint8_t* codes, std::int64_t count) {
  const std::uint8_t* const first = map.first;
  const float* const bounds = map.bounds;
  for (std::int64_t i = 0; i < count; ++i) {
    const unsigned code = first[float_bits(from[i]) >> 16];
    codes[i] = static_cast<std::uint8_t>(code + (bounds[code] < from[i] ? 1u : 0u));
  }
}

/// The reverse of decode_block, which overwrites `from`.
inline void encode_block(const UpdateState& state, std::int64_t begin, float* from, std::int64_t count) {
  for (std::int64_t i = count; i < kStateBlock; ++i) from[i] = 0;
  Vec largest = zero();
  for (std::int64_t i = 0; i < kStateBlock; i += kWidth) largest = max(largest, absolute(load(from + i)));
  const float absmax = reduce_max(largest);
  state.absmax[begin / kStateBlock] = absmax;
  // 1e-38 as bitsandbytes has it: a block of zeros stays one.
  const Vec inverse = broadcast(1.0f / (absmax > 1e-38f ? absmax : 1e-38f));
  for (std::int64_t i = 0; i < kStateBlock; i += kWidth) store(from + i, mul(load(from + i), inverse));
  auto* const codes = static_cast<std::uint8_t*>(state.data) + begin;
#ifdef __AVX512F__
  if (state.codes->segments != nullptr && count == kStateBlock) {
    const CodeFinder finder(*state.codes->segments);
    constexpr std::int64_t kAtOnce = 4 * kWidth;  // so that they overlap: a branch waits for all before it
    for (std::int64_t i = 0; i < kStateBlock; i += kAtOnce) {
      unsigned undecided = 0;
      for (std::int64_t k = i; k < i + kAtOnce; k += kWidth) undecided |= finder.find(load(from + k), codes + k);
      if (undecided != 0) look_up_codes(*state.codes, from + i, codes + i, kAtOnce);
    }
    return;
  }
#endif
  look_up_codes(*state.codes, from, codes, count);
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
