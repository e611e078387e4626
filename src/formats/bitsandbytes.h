// bitsandbytes' quantized folders: codes whose scales stand beside them under names of their own, put together.
//
// 4 bits: `weight` (uint8 [n / 2, 1], the first element of two in the high half), `weight.absmax`, `weight.quant_map`
// and `weight.quant_state.bitsandbytes__nf4` (or fp4), bytes of JSON with block size and shape; scales that are
// quantized themselves bring `weight.nested_absmax` and `weight.nested_quant_map`. LLM.int8(): `weight` (int8) and
// `SCB`, each row's maximum. A weight becomes one tensor of blocks (NF4, FP4, INT8 of kernels/common/blocks.h) in
// memory, its scales in float32, from which other rooms read rows like any quantized file's. bitsandbytes counts blocks
// through the whole matrix: where a row's end falls into one, or blocks are of 32, ours are of 32 and repeat its scale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "formats/tensor_view.h"
#include "kernels/common/four_bit.h"

namespace powerhouse {

/// The tensors of a folder whose config.json names bitsandbytes as its quantization; what is not quantized stays as it
/// is. Error{format} for broken states and wrong sizes, naming tensor and file; Error{unsupported} for
/// blocks or rows that are no multiple of 32 elements (of LLM.int8: 64).
std::vector<TensorView> join_bitsandbytes(std::vector<TensorView> tensors);

/// Whether a weight is one of those.
constexpr bool is_bitsandbytes(BlockFormat format) {
  return format == BlockFormat::nf4 || format == BlockFormat::fp4 || format == BlockFormat::nf4_32 ||
         format == BlockFormat::fp4_32 || format == BlockFormat::int8_rows;
}

/// The format of 4-bit codes whose blocks have `block_size` elements, in rows of `columns`; both multiples of 32.
constexpr BlockFormat four_bit_format(FourBit kind, std::int64_t block_size, std::int64_t columns) {
  const bool nf4 = kind == FourBit::nf4;
  if (block_size % 64 == 0 && columns % 64 == 0) return nf4 ? BlockFormat::nf4 : BlockFormat::fp4;
  return nf4 ? BlockFormat::nf4_32 : BlockFormat::fp4_32;
}
constexpr FourBit four_bit_kind(BlockFormat format) {
  return format == BlockFormat::nf4 || format == BlockFormat::nf4_32 ? FourBit::nf4 : FourBit::fp4;
}

/// Blocks of a matrix: from 4-bit codes and a scale for each `block_size` elements of the whole matrix.
std::vector<std::byte> four_bit_blocks(BlockFormat format, const std::uint8_t* codes, const float* absmax,
                                       std::int64_t elements, std::int64_t block_size);

/// The same of int8 codes [rows, columns] and each row's largest magnitude; columns are a multiple of 64.
std::vector<std::byte> int8_blocks(const std::int8_t* codes, const float* absmax, std::int64_t rows,
                                   std::int64_t columns);

}  // namespace powerhouse
