// What the formats of blocks are to the tensor cores (block_codes.cuh): constants, without CUDA.
#pragma once

#include <cstdint>

#include "kernels/common/blocks.h"

namespace powerhouse::cuda {

/// Which eight of 32 inputs a lane has, four for either product: eight neighbors; four and the four 16 behind them; the
/// same in pairs that are 16 apart.
enum class LaneInputs : std::uint8_t { eight, four, pairs };

template <BlockFormat kFormat>
struct CodeTraits {
  using F = BlockFormat;
  template <F... kFormats>
  static constexpr bool kIs = ((kFormat == kFormats) || ...);
  static constexpr bool kNibbleLevels = kIs<F::nf4, F::nf4_32, F::fp4, F::fp4_32>;
  static constexpr bool kTable = kNibbleLevels || kIs<F::iq4_nl, F::iq4_xs, F::mxfp4>;
  static constexpr bool kBytes = kIs<F::q8_0, F::int8_rows>;
  static constexpr int kBits = kIs<F::q4_0, F::q4_1, F::q4_k>   ? 4
                               : kIs<F::q5_0, F::q5_1, F::q5_k> ? 5
                               : kIs<F::q6_k>                   ? 6
                               : kIs<F::q3_k>                   ? 3
                               : kIs<F::q2_k>                   ? 2
                                                                : 0;  // exact as they are
  /// All others are decoded to float32 with their scale, and split.
  static constexpr bool kDecoded = kBits == 0 && !kTable && !kBytes;
  /// Whether a chunk is multiplied by turns of the same code: where that is long, and in formats that few models have.
  static constexpr bool kInTurns =
      kDecoded || kIs<F::q4_1, F::q5_0, F::q5_1, F::q2_k, F::q3_k, F::iq4_nl, F::fp4, F::nf4_32, F::fp4_32>;
  /// Products that a weight takes: numbers that no element holds exactly are a sum of two.
  static constexpr int kPlanes = kDecoded || kIs<F::nf4, F::nf4_32> ? 2 : 1;
  static constexpr bool kMins = kIs<F::q4_1, F::q5_1, F::q4_k, F::q5_k, F::q2_k>;
  static constexpr int kZero = kIs<F::q4_0> ? 8 : kIs<F::q5_0> ? 16 : kIs<F::q6_k> ? 32 : kIs<F::q3_k> ? 4 : 0;
  /// What products have too much for each x.
  static constexpr int kSurplus = kBits == 0 ? 0 : (1 << kBits) + kZero;
  /// Inputs whose codes share words.
  static constexpr int kUnit = kIs<F::q6_k, F::q3_k, F::q2_k> ? 128 : kIs<F::q4_k, F::q5_k> ? 64 : 32;
  static constexpr int kGroup = kIs<F::q6_k, F::q3_k, F::q2_k> ? 16 : 32;
  static constexpr LaneInputs kLaneInputs = kIs<F::iq4_nl, F::iq4_xs, F::mxfp4> ? LaneInputs::pairs
                                            : kNibbleLevels || kBytes || kDecoded || kIs<F::q4_k, F::q5_k>
                                                ? LaneInputs::eight
                                                : LaneInputs::four;
  /// Scales that are packed themselves are made floats once for all lanes.
  static constexpr bool kPrepared = kIs<F::q4_k, F::q5_k, F::q6_k, F::q3_k, F::q2_k> || kIs<F::iq4_xs>;
};

/// [planes][256][32]: two levels for a byte, for each lane its own so that no two lanes meet in a bank.
inline constexpr int kLevelTableBytes = 256 * 32 * 4;

/// Floats of a row's prepared scales: a distance that puts eight rows into different banks.
template <BlockFormat kFormat>
inline constexpr int kPreparedFloats = !CodeTraits<kFormat>::kPrepared ? 0
                                       : CodeTraits<kFormat>::kMins    ? 2 * (256 / CodeTraits<kFormat>::kGroup) + 2
                                                                       : 256 / CodeTraits<kFormat>::kGroup + 1;

}  // namespace powerhouse::cuda
