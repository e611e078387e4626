// The sixteen levels of bitsandbytes' 4-bit types, by code. NF4 (Dettmers et al. 2023, arXiv 2305.14314): quantiles of
// the normal distribution. FP4: a sign, two bits of exponent and one of mantissa, over 12.
//
// `static`: see float16.h.
#pragma once

namespace powerhouse {

enum class FourBit : unsigned char { nf4, fp4 };

static constexpr float kNf4Levels[16] = {-1.0f,
                                         -0.6961928009986877f,
                                         -0.5250730514526367f,
                                         -0.39491748809814453f,
                                         -0.28444138169288635f,
                                         -0.18477343022823334f,
                                         -0.09105003625154495f,
                                         0.0f,
                                         0.07958029955625534f,
                                         0.16093020141124725f,
                                         0.24611230194568634f,
                                         0.33791524171829224f,
                                         0.44070982933044434f,
                                         0.5626170039176941f,
                                         0.7229568362236023f,
                                         1.0f};

static constexpr float kFp4Levels[16] = {0.0f,       0.0625f / 12, 8.0f / 12,  1.0f,          4.0f / 12,  6.0f / 12,
                                         2.0f / 12,  3.0f / 12,    0.0f,       -0.0625f / 12, -8.0f / 12, -1.0f,
                                         -4.0f / 12, -6.0f / 12,   -2.0f / 12, -3.0f / 12};

static constexpr const float* four_bit_levels(FourBit kind) { return kind == FourBit::nf4 ? kNf4Levels : kFp4Levels; }

/// LLM.int8's row maximum stands for code 127; bitsandbytes multiplies by this.
static constexpr float kInt8Step = 7.874015718698502e-3f;

}  // namespace powerhouse
