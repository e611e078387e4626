// Blocks of quantized files as dense numbers: what a product of many rows by LibTorch's GEMM reads.
//
// A format says where a block's codes and scales are; everything else is one multiplication, an addition where the
// format has minima, and one rounding, in the order of kernels/reference/dequantize.cpp and so with its bits. The loops
// over bytes have fixed lengths, which compilers turn into vectors. Formats without a struct here take the reference's
// loop and are rounded.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/four_bit.h"
#include "kernels/cpu/generic/dequantize_formats.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

inline Vec vec_f16(const std::uint8_t* bytes) {
  float16 value;
  std::memcpy(&value, bytes, sizeof value);
  return broadcast_f16(value);
}

/// out = scale * code + min of the group that an element stands in.
template <int kGroup, bool kMin, typename T>
inline void scale_codes(const std::int8_t* codes, int elements, const float* scales, const float* mins, T* out) {
  for (int i = 0; i < elements; i += kWidth) {
    Vec value = mul(broadcast(scales[i / kGroup]), widen_codes(codes + i));
    if constexpr (kMin) value = sub(value, broadcast(mins[i / kGroup]));
    store(out + i, value);
  }
}

/// One scale (and minimum) a block, which stands at its beginning.
template <typename F, typename T>
inline void one_level(const std::uint8_t* block, T* out) {
  alignas(64) std::int8_t codes[F::kElements];
  F::codes(block, codes);
  const Vec scale = vec_f16(block);
  Vec min{};
  if constexpr (F::kMin) min = vec_f16(block + 2);
  for (int i = 0; i < F::kElements; i += kWidth) {
    Vec value = mul(scale, widen_codes(codes + i));
    if constexpr (F::kMin) value = add(value, min);
    store(out + i, value);
  }
}

/// A scale and a zero a block.
template <typename F, typename T>
inline void dequantize_affine(const std::uint8_t* source, T* out, std::int64_t begin, std::int64_t end) {
  for (std::int64_t at = begin; at < end; ++at) {
    const std::uint8_t* const block = source + at * F::kBytes;
    T* const to = out + at * F::kElements;
    alignas(64) std::int8_t codes[F::kElements];
    F::codes(block, codes);
    const Vec scale = vec_f16(block);
    const Vec min = mul(scale, vec_f16(block + 2));
    for (int i = 0; i < F::kElements; i += kWidth) store(to + i, sub(mul(scale, widen_codes(codes + i)), min));
  }
}

/// Scales of groups, themselves quantized.
template <typename F, typename T>
inline void two_levels(const std::uint8_t* block, T* out) {
  alignas(64) std::int8_t codes[F::kElements];
  alignas(64) std::int8_t parts[2][16];
  alignas(64) float scales[2][16];
  F::codes(block, codes);
  F::scales(block, parts[0], parts[1]);
  for (int i = 0; i < 16; i += kWidth) {
    store(scales[0] + i, mul(vec_f16(block + F::kScaleAt), widen_codes(parts[0] + i)));
    if constexpr (F::kMin) store(scales[1] + i, mul(vec_f16(block + F::kScaleAt + 2), widen_codes(parts[1] + i)));
  }
  scale_codes<F::kGroup, F::kMin>(codes, F::kElements, scales[0], scales[1], out);
}

template <typename F, typename T>
void dequantize_blocks(const std::uint8_t* source, T* out, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint8_t* const block = source + i * F::kBytes;
    if constexpr (F::kTwoLevels) {
      two_levels<F>(block, out + i * F::kElements);
    } else {
      one_level<F>(block, out + i * F::kElements);
    }
  }
}

/// bitsandbytes' blocks: a float32 scale, then codes.
template <int kElements, typename T>
void dequantize_levels(const float* levels, const std::uint8_t* source, T* out, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint8_t* const block = source + (4 + kElements / 2) * i;
    float scale;
    std::memcpy(&scale, block, sizeof scale);
    alignas(64) float values[kElements];
    for (int k = 0; k < kElements / 2; ++k) {
      values[2 * k] = levels[block[4 + k] >> 4];
      values[2 * k + 1] = levels[block[4 + k] & 15];
    }
    T* const to = out + kElements * i;
    for (int k = 0; k < kElements; k += kWidth) store(to + k, mul(load(values + k), broadcast(scale)));
  }
}

template <typename T>
void dequantize_int8(const std::uint8_t* source, T* out, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint8_t* const block = source + 68 * i;
    float scale;
    std::memcpy(&scale, block, sizeof scale);
    for (int k = 0; k < 64; k += kWidth) {
      const Vec code = widen_codes(reinterpret_cast<const std::int8_t*>(block) + 4 + k);
      store(out + 64 * i + k, mul(mul(code, broadcast(scale)), broadcast(kInt8Step)));
    }
  }
}

/// By way of float32, as the reference has it.
template <typename T>
void dequantize_plainly(BlockFormat format, const std::uint8_t* source, T* out, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kElements = 256;  // the largest block
  alignas(64) float values[kElements];
  const BlockInfo info = block_info(format);
  const std::int64_t blocks = kElements / info.block_elements;
  for (std::int64_t i = begin; i < end; i += blocks) {
    const std::int64_t count = smaller(end - i, blocks) * info.block_elements;
    dequantize_row(format, source + i * info.block_bytes, values, count);
    T* const to = out + i * info.block_elements;
    for (std::int64_t k = 0; k < count; k += kWidth) {
      const int some = lanes(count, k);
      write(to + k, read(values + k, some), some);
    }
  }
}

template <typename T>
void dequantize_to(BlockFormat format, const std::uint8_t* source, T* out, std::int64_t begin, std::int64_t end) {
  switch (format) {
    case BlockFormat::q4_0: return dequantize_blocks<Q4_0>(source, out, begin, end);
    case BlockFormat::q4_1: return dequantize_blocks<Q4_1>(source, out, begin, end);
    case BlockFormat::q5_0: return dequantize_blocks<Q5_0>(source, out, begin, end);
    case BlockFormat::q5_1: return dequantize_blocks<Q5_1>(source, out, begin, end);
    case BlockFormat::q8_0: return dequantize_blocks<Q8_0>(source, out, begin, end);
    case BlockFormat::iq4_nl: return dequantize_blocks<Iq4Nl>(source, out, begin, end);
    case BlockFormat::q2_k: return dequantize_blocks<Q2_K>(source, out, begin, end);
    case BlockFormat::q3_k: return dequantize_blocks<Q3_K>(source, out, begin, end);
    case BlockFormat::q4_k: return dequantize_blocks<Q4_K>(source, out, begin, end);
    case BlockFormat::q5_k: return dequantize_blocks<Q5_K>(source, out, begin, end);
    case BlockFormat::q6_k: return dequantize_blocks<Q6_K>(source, out, begin, end);
    case BlockFormat::iq4_xs: return dequantize_blocks<Iq4Xs>(source, out, begin, end);
    case BlockFormat::nf4: return dequantize_levels<64>(kNf4Levels, source, out, begin, end);
    case BlockFormat::fp4: return dequantize_levels<64>(kFp4Levels, source, out, begin, end);
    case BlockFormat::nf4_32: return dequantize_levels<32>(kNf4Levels, source, out, begin, end);
    case BlockFormat::fp4_32: return dequantize_levels<32>(kFp4Levels, source, out, begin, end);
    case BlockFormat::int8_rows: return dequantize_int8(source, out, begin, end);
    case BlockFormat::affine4_32: return dequantize_affine<Affine<4, 32>>(source, out, begin, end);
    case BlockFormat::affine4_64: return dequantize_affine<Affine<4, 64>>(source, out, begin, end);
    case BlockFormat::affine4_128: return dequantize_affine<Affine<4, 128>>(source, out, begin, end);
    case BlockFormat::affine6_32: return dequantize_affine<Affine<6, 32>>(source, out, begin, end);
    case BlockFormat::affine6_64: return dequantize_affine<Affine<6, 64>>(source, out, begin, end);
    case BlockFormat::affine6_128: return dequantize_affine<Affine<6, 128>>(source, out, begin, end);
    case BlockFormat::affine8_32: return dequantize_affine<Affine<8, 32>>(source, out, begin, end);
    case BlockFormat::affine8_64: return dequantize_affine<Affine<8, 64>>(source, out, begin, end);
    case BlockFormat::affine8_128: return dequantize_affine<Affine<8, 128>>(source, out, begin, end);
    default: return dequantize_plainly(format, source, out, begin, end);
  }
}

void dequantize(const DequantizeParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    dequantize_to(params.format, static_cast<const std::uint8_t*>(params.source),
                  static_cast<typename decltype(tag)::Type*>(params.destination), begin, end);
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
