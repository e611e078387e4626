// A super-block on its way to bytes: 256 elements in groups of 16 or 32, whose scales (and minima) are found by a
// search and then quantized themselves. What a search has to fill is apart from what is made of it, so that searches of
// several groups at once (kernels/cpu/generic/encode_k.h) end in the same bytes.
#pragma once

#include "kernels/common/blocks.h"
#include "kernels/reference/encode_search.h"

namespace powerhouse::encoding {

struct SuperBlock {
  float scales[16];         ///< of groups, found by a search
  float minima[16];         ///< where the format has them
  float weights[16];        ///< sums over groups, where importance is given
  std::uint8_t codes[256];  ///< of the search; kept by groups whose scale's code is 0
  float steps[16];          ///< what scales became in the block
  float lows[16];           ///< and minima
};

/// How a format's groups are searched.
struct KFormat {
  BlockFormat format;
  int group;    ///< elements
  int most;     ///< the largest code; of formats without minimum, 2 * half - 1
  bool affine;  ///< has minima
  AffineSearch plain, weighted;
};
const KFormat* k_format(BlockFormat format) noexcept;

/// The weights of a group's squared errors. `row_part` and `importance` are the super-block's, which is 256 elements.
/// spread: of spread_of().
float spread_of(BlockFormat format, const float* super_block) noexcept;
void group_weights(const KFormat& format, const float* x, const float* importance, float spread,
                   float* weights) noexcept;

/// Quantizes scales and minima into the block, whose other bytes become zero, and fills `steps` and `lows`.
void put_scales(const KFormat& format, bool weighted, SuperBlock& super, std::uint8_t* block) noexcept;

/// IQ4_XS: quantizes the scales of 8 groups into the block and puts what they became in their place.
void put_level_scales(float* scales, std::uint8_t* block) noexcept;

/// Codes of all elements into the block.
void put_codes(const KFormat& format, const std::uint8_t* codes, std::uint8_t* block) noexcept;

}  // namespace powerhouse::encoding
