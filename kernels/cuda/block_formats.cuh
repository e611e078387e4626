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

/// visitor(FormatTag<...>{}) with the format; false for one that no decoder knows.
template <typename Visitor>
bool visit_format(BlockFormat format, const Visitor& visitor) {
  switch (format) {
#define POWERHOUSE_FORMAT(name) \
  case BlockFormat::name: visitor(FormatTag<BlockFormat::name>{}); return true;
    POWERHOUSE_FORMAT(q4_0)
    POWERHOUSE_FORMAT(q4_1)
    POWERHOUSE_FORMAT(q5_0)
    POWERHOUSE_FORMAT(q5_1)
    POWERHOUSE_FORMAT(q8_0)
    POWERHOUSE_FORMAT(q2_k)
    POWERHOUSE_FORMAT(q3_k)
    POWERHOUSE_FORMAT(q4_k)
    POWERHOUSE_FORMAT(q5_k)
    POWERHOUSE_FORMAT(q6_k)
    POWERHOUSE_FORMAT(iq1_s)
    POWERHOUSE_FORMAT(iq1_m)
    POWERHOUSE_FORMAT(iq2_xxs)
    POWERHOUSE_FORMAT(iq2_xs)
    POWERHOUSE_FORMAT(iq2_s)
    POWERHOUSE_FORMAT(iq3_xxs)
    POWERHOUSE_FORMAT(iq3_s)
    POWERHOUSE_FORMAT(iq4_nl)
    POWERHOUSE_FORMAT(iq4_xs)
    POWERHOUSE_FORMAT(tq1_0)
    POWERHOUSE_FORMAT(tq2_0)
    POWERHOUSE_FORMAT(mxfp4)
    POWERHOUSE_FORMAT(nf4)
    POWERHOUSE_FORMAT(fp4)
    POWERHOUSE_FORMAT(nf4_32)
    POWERHOUSE_FORMAT(fp4_32)
    POWERHOUSE_FORMAT(int8_rows)
#undef POWERHOUSE_FORMAT
    default: return false;
  }
}

}  // namespace powerhouse::cuda
