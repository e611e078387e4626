// What the kernels of training's attention, forward and backward, are told; part of kernels.h, whose rules hold here.
#pragma once

#include <cstdint>

#include "kernels/cpu/attention_params.h"

namespace powerhouse::cpu {

/// Query rows [begin, end) of one document, which begins at row `first` of the packed tensors. Rows count from there.
/// A document that continues another counts that one's rows before its own: the first `prefix` keys are rows from
/// `prefix_first` on, and `begin` is not below `prefix`.
struct FlashPart {
  std::int64_t first = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  /// Where other parts have gradients for the same keys, backward: float32 sums over these rows, dk and dv [2,
  /// flash_keys(end), flash_padded(head_dim)] of each key-value head, for the caller to add up in order. Null: dk and
  /// dv themselves are written.
  float* sums = nullptr;
  std::int64_t prefix = 0;
  std::int64_t prefix_first = 0;
};

/// The row of the packed tensors where a part's key lies.
static constexpr std::int64_t flash_key_row(const FlashPart& part, std::int64_t key) {
  return (key < part.prefix ? part.prefix_first : part.first) + key;
}

/// Causal softmax attention over packed documents: row i of a document sees its rows up to i, with a window only the
/// last `window` of them. Of AttentionShape everything of the cache but the number of key-value heads is unused.
/// Products are made of pairs of bf16 where `type` is bf16 and the processor has them (AVX512_BF16): weights and the
/// gradients of scores are rounded to bf16 then. What one row of a tile sees is multiplied for all of them, with
/// weights of zero where a row does not see it, so that a value that is not finite reaches rows of its document that
/// stand before it, and no other document.
struct FlashParams : AttentionShape {
  const void* q = nullptr;  ///< [rows, num_heads, head_dim]
  const void* k = nullptr;  ///< [rows, num_kv_heads, head_dim]
  const void* v = nullptr;  ///< the same
  void* out = nullptr;      ///< [rows, num_heads, head_dim]; backward only reads it
  float* lse = nullptr;     ///< [num_heads, rows]: log(sum(exp(score))), sinks among them; backward only reads it
  std::int64_t q_row_stride = 0;
  std::int64_t k_row_stride = 0;
  std::int64_t k_head_stride = 0;
  std::int64_t v_row_stride = 0;
  std::int64_t v_head_stride = 0;
  std::int64_t out_row_stride = 0;
  std::int64_t lse_head_stride = 0;
  std::int64_t window = 0;           ///< 0: none
  const FlashPart* parts = nullptr;  ///< [parts]; work items: part * num_kv_heads + kv_head
};

/// The gradients (Dao 2023): with P = exp(score - lse) and D = sum(dout * out), dv = P^T dout and the score's gradient
/// is P * (dout v^T - D). All of `type`. Work items as forward; a document in one part gives dk and dv.
struct FlashBackwardParams : FlashParams {
  const void* dout = nullptr;  ///< [rows, num_heads, head_dim]
  void* dq = nullptr;          ///< [rows, num_heads, head_dim], contiguous
  void* dk = nullptr;          ///< [rows, num_kv_heads, head_dim], contiguous
  void* dv = nullptr;          ///< the same
  float* delta = nullptr;      ///< [num_heads, rows], D; strides of lse
  std::int64_t dout_row_stride = 0;
  std::int64_t dout_head_stride = 0;
};

/// Keys of a block, and the multiples that keys and elements of a head are padded to in scratch.
static constexpr std::int64_t kFlashBlock = 64;
static constexpr std::int64_t flash_keys(std::int64_t keys) { return (keys + 7) / 8 * 8; }
static constexpr std::int64_t flash_padded(std::int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

/// Query rows of a tile, and its vectors (rows times heads of the group), rounded up to whole columns.
static constexpr std::int64_t flash_rows(std::int64_t group) { return prefill_rows(group); }
static constexpr std::int64_t flash_vectors(std::int64_t group) { return (flash_rows(group) * group + 31) / 32 * 32; }

/// Floats of scratch that each thread brings to `flash_forward`; `keys` is the largest `end` of its parts.
static constexpr std::int64_t flash_forward_floats(std::int64_t group, std::int64_t head_dim, std::int64_t keys) {
  const std::int64_t padded = flash_padded(head_dim);
  return flash_vectors(group) * (2 * padded + kFlashBlock + 8) + 2 * flash_keys(keys) * padded + 32 * kFlashBlock + 15;
}

/// Likewise for `flash_backward`.
static constexpr std::int64_t flash_backward_floats(std::int64_t group, std::int64_t head_dim, std::int64_t keys) {
  const std::int64_t padded = flash_padded(head_dim);
  return flash_vectors(group) * (5 * padded + 3 * kFlashBlock + 8) + 5 * flash_keys(keys) * padded + 15;
}

}  // namespace powerhouse::cpu
