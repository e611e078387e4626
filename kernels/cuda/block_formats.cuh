// The block formats of the CUDA kernels: a format's decoder by its name, and a kernel's instance by a format.
#pragma once

#include "kernels/cuda/grid_decoders.cuh"

namespace powerhouse::cuda {

template <BlockFormat kFormat>
static __device__ __forceinline__ void decode_eight(const std::uint8_t* block, int at, Eight& out) {
  if constexpr (kFormat == BlockFormat::q4_0) decode_q4_0(block, at, out);
  if constexpr (kFormat == BlockFormat::q4_1) decode_q4_1(block, at, out);
  if constexpr (kFormat == BlockFormat::q5_0) decode_q5_0(block, at, out);
  if constexpr (kFormat == BlockFormat::q5_1) decode_q5_1(block, at, out);
  if constexpr (kFormat == BlockFormat::q8_0) decode_q8_0(block, at, out);
  if constexpr (kFormat == BlockFormat::q2_k) decode_q2_k(block, at, out);
  if constexpr (kFormat == BlockFormat::q3_k) decode_q3_k(block, at, out);
  if constexpr (kFormat == BlockFormat::q4_k) decode_q4_k(block, at, out);
  if constexpr (kFormat == BlockFormat::q5_k) decode_q5_k(block, at, out);
  if constexpr (kFormat == BlockFormat::q6_k) decode_q6_k(block, at, out);
  if constexpr (kFormat == BlockFormat::iq1_s) decode_iq1_s(block, at, out);
  if constexpr (kFormat == BlockFormat::iq1_m) decode_iq1_m(block, at, out);
  if constexpr (kFormat == BlockFormat::iq2_xxs) decode_iq2_xxs(block, at, out);
  if constexpr (kFormat == BlockFormat::iq2_xs) decode_iq2_xs(block, at, out);
  if constexpr (kFormat == BlockFormat::iq2_s) decode_iq2_s(block, at, out);
  if constexpr (kFormat == BlockFormat::iq3_xxs) decode_iq3_xxs(block, at, out);
  if constexpr (kFormat == BlockFormat::iq3_s) decode_iq3_s(block, at, out);
  if constexpr (kFormat == BlockFormat::iq4_nl) decode_iq4_nl(block, at, out);
  if constexpr (kFormat == BlockFormat::iq4_xs) decode_iq4_xs(block, at, out);
  if constexpr (kFormat == BlockFormat::tq1_0) decode_tq1_0(block, at, out);
  if constexpr (kFormat == BlockFormat::tq2_0) decode_tq2_0(block, at, out);
  if constexpr (kFormat == BlockFormat::mxfp4) decode_mxfp4(block, at, out);
  if constexpr (kFormat == BlockFormat::nf4) decode_four_bit(kNf4Table, block, at, out);
  if constexpr (kFormat == BlockFormat::fp4) decode_four_bit(kFp4Table, block, at, out);
  if constexpr (kFormat == BlockFormat::nf4_32) decode_four_bit(kNf4Table, block, at, out);
  if constexpr (kFormat == BlockFormat::fp4_32) decode_four_bit(kFp4Table, block, at, out);
  if constexpr (kFormat == BlockFormat::int8_rows) decode_int8(block, at, out);
}

template <BlockFormat kFormat>
struct FormatTag {
  static constexpr BlockFormat kValue = kFormat;
};

/// Formats whose kernels are compiled together.
template <BlockFormat... kFormats>
struct FormatFamily {};
using LegacyFormats =
    FormatFamily<BlockFormat::q4_0, BlockFormat::q4_1, BlockFormat::q5_0, BlockFormat::q5_1, BlockFormat::q8_0>;
using KFormats =
    FormatFamily<BlockFormat::q2_k, BlockFormat::q3_k, BlockFormat::q4_k, BlockFormat::q5_k, BlockFormat::q6_k>;
using GridFormats = FormatFamily<BlockFormat::iq1_s, BlockFormat::iq1_m, BlockFormat::iq2_xxs, BlockFormat::iq2_xs,
                                 BlockFormat::iq2_s, BlockFormat::iq3_xxs, BlockFormat::iq3_s>;
using LevelFormats =
    FormatFamily<BlockFormat::iq4_nl, BlockFormat::iq4_xs, BlockFormat::tq1_0, BlockFormat::tq2_0, BlockFormat::mxfp4,
                 BlockFormat::nf4, BlockFormat::fp4, BlockFormat::nf4_32, BlockFormat::fp4_32, BlockFormat::int8_rows>;

/// visitor(FormatTag<...>{}) with the format; false for one that is not of the family.
template <BlockFormat... kFormats, typename Visitor>
bool visit_family(FormatFamily<kFormats...>, BlockFormat format, const Visitor& visitor) {
  return ((format == kFormats && (visitor(FormatTag<kFormats>{}), true)) || ...);
}

/// The same; false for a format that no decoder knows.
template <typename Visitor>
bool visit_format(BlockFormat format, const Visitor& visitor) {
  return visit_family(LegacyFormats{}, format, visitor) || visit_family(KFormats{}, format, visitor) ||
         visit_family(GridFormats{}, format, visitor) || visit_family(LevelFormats{}, format, visitor);
}

}  // namespace powerhouse::cuda
