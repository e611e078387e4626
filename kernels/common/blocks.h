// How numbers lie in memory: every element type and block format that files and weights use.
//
// A block format stores `block_elements` consecutive elements of a row in `block_bytes` bytes. Plain types are blocks
// of one element. Layouts follow ggml (GGUF's types); the numbers of GGUF's type ids are in formats/gguf_reader.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace powerhouse {

enum class BlockFormat : std::uint8_t {
  // plain
  f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, i32, i16, i8, u64, u32, u16, u8, boolean,
  // ggml legacy
  q4_0, q4_1, q5_0, q5_1, q8_0, q8_1,
  // ggml k-quants
  q2_k, q3_k, q4_k, q5_k, q6_k, q8_k,
  // ggml i-quants
  iq1_s, iq1_m, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s, iq4_nl, iq4_xs,
  // ternary and microscaling
  tq1_0, tq2_0, mxfp4, nvfp4,
};

inline constexpr int kBlockFormatCount = static_cast<int>(BlockFormat::nvfp4) + 1;

struct BlockInfo {
  const char* name;            // GGUF's upper-case name (Q4_K), or safetensors' (F32, F8_E4M3)
  std::int32_t block_elements;
  std::int32_t block_bytes;
};

}  // namespace powerhouse
