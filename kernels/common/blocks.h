// How numbers lie in memory: every element type and block format that files and weights use.
//
// A block format stores `block_elements` consecutive elements of a row in `block_bytes` bytes. Plain types are blocks
// of one element. Layouts follow ggml (GGUF's types); the numbers of GGUF's type ids are in formats/gguf_reader.cpp.
// NF4, FP4 and INT8 are ours: a float32 scale, then 64 (or 32) codes, of four bits the first in the high half of a
// byte. AFFINE are ours too: whole numbers with a scale and a zero, as GPTQ, AWQ and their kin have them. A block is
// the f16 scale, the f16 zero, then for each 32 elements their low four bits (byte i: elements i and 16 + i) and of 6
// bits the upper two (byte 4 v + e: elements 16 v + e and 4, 8 and 12 further), or of 8 bits a byte each, signed.
// value = scale * code - scale * zero.
#pragma once

#include <cstddef>
#include <cstdint>

namespace powerhouse {

enum class BlockFormat : std::uint8_t {
  // plain
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,
  f8_e5m2,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  // ggml legacy
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q8_1,
  // ggml k-quants
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  q8_k,
  // ggml i-quants
  iq1_s,
  iq1_m,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  iq4_nl,
  iq4_xs,
  // ternary and microscaling
  tq1_0,
  tq2_0,
  mxfp4,
  nvfp4,
  q1_0,
  q2_0,
  // bitsandbytes' codes beside their scales (formats/bitsandbytes.h)
  nf4,
  fp4,
  int8_rows,
  nf4_32,
  fp4_32,
  // codes with a scale and a zero a block, made of other packings (formats/affine_rows.h)
  affine4_32,
  affine4_64,
  affine4_128,
  affine6_32,
  affine6_64,
  affine6_128,
  affine8_32,
  affine8_64,
  affine8_128,
};

static constexpr int kBlockFormatCount = static_cast<int>(BlockFormat::affine8_128) + 1;

struct BlockInfo {
  const char* name;             ///< GGUF's upper-case name (Q4_K), or safetensors' (F32, F8_E4M3)
  std::int32_t block_elements;  ///< elements a block
  std::int32_t block_bytes;     ///< bytes a block
};

/// The sizes of ggml's ggml-common.h, one row a format, in the order of the enumeration.
/// `static`: see float16.h.
static constexpr BlockInfo kBlockInfos[kBlockFormatCount] = {
    {"F64", 1, 8},
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"BF16", 1, 2},
    {"F8_E4M3", 1, 1},
    {"F8_E5M2", 1, 1},
    {"I64", 1, 8},
    {"I32", 1, 4},
    {"I16", 1, 2},
    {"I8", 1, 1},
    {"U64", 1, 8},
    {"U32", 1, 4},
    {"U16", 1, 2},
    {"U8", 1, 1},
    {"BOOL", 1, 1},
    {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},
    {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},
    {"Q8_0", 32, 34},
    {"Q8_1", 32, 36},
    {"Q2_K", 256, 84},
    {"Q3_K", 256, 110},
    {"Q4_K", 256, 144},
    {"Q5_K", 256, 176},
    {"Q6_K", 256, 210},
    {"Q8_K", 256, 292},
    {"IQ1_S", 256, 50},
    {"IQ1_M", 256, 56},
    {"IQ2_XXS", 256, 66},
    {"IQ2_XS", 256, 74},
    {"IQ2_S", 256, 82},
    {"IQ3_XXS", 256, 98},
    {"IQ3_S", 256, 110},
    {"IQ4_NL", 32, 18},
    {"IQ4_XS", 256, 136},
    {"TQ1_0", 256, 54},
    {"TQ2_0", 256, 66},
    {"MXFP4", 32, 17},
    {"NVFP4", 64, 36},
    {"Q1_0", 128, 18},
    {"Q2_0", 64, 18},
    {"NF4", 64, 36},
    {"FP4", 64, 36},
    {"INT8", 64, 68},
    {"NF4_32", 32, 20},
    {"FP4_32", 32, 20},
    {"AFFINE4_32", 32, 20},
    {"AFFINE4_64", 64, 36},
    {"AFFINE4_128", 128, 68},
    {"AFFINE6_32", 32, 28},
    {"AFFINE6_64", 64, 52},
    {"AFFINE6_128", 128, 100},
    {"AFFINE8_32", 32, 36},
    {"AFFINE8_64", 64, 68},
    {"AFFINE8_128", 128, 132},
};

/// Whether it is one of AFFINE, and how many bits its codes have.
static constexpr bool is_affine(BlockFormat format) { return format >= BlockFormat::affine4_32; }
static constexpr int affine_bits(BlockFormat format) {
  return format < BlockFormat::affine6_32 ? 4 : format < BlockFormat::affine8_32 ? 6 : 8;
}

static constexpr BlockInfo block_info(BlockFormat format) { return kBlockInfos[static_cast<int>(format)]; }

}  // namespace powerhouse
