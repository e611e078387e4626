// Decoders for whole warps: as decode_eight, but all lanes come together, and keep what all blocks share in registers.
#pragma once

#include "kernels/cuda/block_formats.cuh"

namespace powerhouse::cuda {

template <BlockFormat kFormat>
inline constexpr bool kFourBit = kFormat == BlockFormat::nf4 || kFormat == BlockFormat::fp4 ||
                                 kFormat == BlockFormat::nf4_32 || kFormat == BlockFormat::fp4_32;

template <BlockFormat kFormat>
inline constexpr bool kEightBytes = kFormat == BlockFormat::q8_0 || kFormat == BlockFormat::q6_k ||
                                    kFormat == BlockFormat::tq1_0 || kFormat == BlockFormat::int8_rows;

template <BlockFormat kFormat>
struct WarpDecoder {
  __device__ __forceinline__ explicit WarpDecoder(int) {}
  __device__ __forceinline__ void decode(const std::uint8_t* block, int at, Eight& out) const {
    decode_eight<kFormat>(block, at, out);
  }
};

/// Eight bytes a lane: half of the four lanes with a row's neighbors are turned.
template <BlockFormat kFormat>
requires kEightBytes<kFormat>
struct WarpDecoder<kFormat> {
  bool turned;

  __device__ __forceinline__ explicit WarpDecoder(int lane) : turned(lane % 4 >= 2) {}
  __device__ __forceinline__ void decode(const std::uint8_t* block, int at, Eight& out) const {
    if constexpr (kFormat == BlockFormat::q8_0) decode_q8_0(block, at, out, turned);
    if constexpr (kFormat == BlockFormat::q6_k) decode_q6_k(block, at, out, turned);
    if constexpr (kFormat == BlockFormat::tq1_0) decode_tq1_0(block, at, out, turned);
    if constexpr (kFormat == BlockFormat::int8_rows) decode_int8(block, at, out, turned);
  }
};

/// A lane keeps one of the sixteen levels and asks another for that of a code; read from memory each would need its
/// address too.
template <BlockFormat kFormat>
requires kFourBit<kFormat>
struct WarpDecoder<kFormat> {
  float level;

  __device__ __forceinline__ explicit WarpDecoder(int lane) {
    constexpr bool kIsNf4 = kFormat == BlockFormat::nf4 || kFormat == BlockFormat::nf4_32;
    level = kIsNf4 ? kNf4Table.values[lane % 16] : kFp4Table.values[lane % 16];
  }
  __device__ __forceinline__ void decode(const std::uint8_t* block, int at, Eight& out) const {
    const float scale = as_float(word_at<4>(block));
    const std::uint32_t codes = word_at<4>(block + 4 + at / 2);
#pragma unroll
    for (int i = 0; i < 8; ++i) {  // of the lane's number five bits count, and both halves of a warp have all levels
      out[i] = multiply(shuffle(level, static_cast<int>(codes >> (i / 2 * 8 + (1 - i % 2) * 4))), scale);
    }
  }
};

}  // namespace powerhouse::cuda
