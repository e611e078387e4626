// What flash attention's forward kernel is told. Plain pointers and sizes; strides count elements.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cuda {

/// Where the vectors of a tensor [batch, rows, heads, head_dim] lie; head_dim is contiguous. Vectors begin at multiples
/// of 8 elements. With cu_seqlens the batch's documents lie one after another in the rows, and `batch` is unused.
struct VectorStrides {
  std::int64_t batch = 0;
  std::int64_t row = 0;
  std::int64_t head = 0;
};

/// Dropout of the weights, whose mask is a function of its key: computed again in backward, never stored.
///
/// The weight of document b, head h, query i and key j takes the 16-bit word j % 8 of the Philox block counter +
/// ((b heads + h) queries + i) ceil(keys / 8) + j / 8, i and j counted within the document, and is kept where that is
/// at least `threshold`: the numbers that ops::dropped takes for weights [batch heads queries, keys].
struct FlashDropout {
  std::uint32_t threshold = 0;    ///< rate * 65,536, below 65,536; 0: none
  float kept = 1.0f;              ///< what a kept weight is multiplied by: 65,536 / (65,536 - threshold)
  std::uint32_t key[2] = {0, 0};  ///< the run's seed, its low half first
  std::uint64_t counter = 0;      ///< tells uses apart: the first of their blocks
  std::uint32_t lane = 0;         ///< tells modules apart
  std::uint32_t stream = 0;       ///< RandomStream::dropout
};

/// Softmax attention (Dao 2023): out = softmax(score) v with score(i, j) = scale q_i k_j, then softcap, then ALiBi.
///
/// Query i of a document of `queries` rows stands at key i + keys - queries (the last query at the last key), and sees
/// the keys from window_left before to window_right after that place. Rows that see no key give zeros.
struct FlashForwardParams {
  const void* q = nullptr;  ///< [batch, queries, heads, head_dim]
  const void* k = nullptr;  ///< [batch, keys, kv_heads, head_dim]
  const void* v = nullptr;  ///< the same
  void* out = nullptr;      ///< as q
  float* lse =
      nullptr;  ///< [batch, heads, queries]: log(sum(exp(score))), sinks among them; -inf where nothing is seen
  VectorStrides q_strides{}, k_strides{}, v_strides{}, out_strides{};
  std::int64_t lse_batch_stride = 0;  ///< unused with cu_seqlens
  std::int64_t lse_head_stride = 0;
  int batch = 1;
  int heads = 1;
  int kv_heads = 1;  ///< divides heads; query head h reads key-value head h / (heads / kv_heads)
  int head_dim = 0;  ///< a multiple of 8, at most 256
  int queries = 0;   ///< rows of a document; the most that one has with cu_seqlens
  int keys = 0;
  /// [batch + 1] where each document begins among the packed rows, and the end; null: all are as long as said above.
  const std::int32_t* cu_seqlens_q = nullptr;
  const std::int32_t* cu_seqlens_k = nullptr;
  float scale = 1.0f;                   ///< above 0
  float softcap = 0.0f;                 ///< score becomes softcap * tanh(score / softcap); 0: it does not
  int window_left = -1;                 ///< keys before the query's own that it sees; below 0: all
  int window_right = -1;                ///< keys after it; 0: causal; below 0: all
  const float* alibi_slopes = nullptr;  ///< [heads], adds slope * (j - place of i); null: none
  const float* sinks = nullptr;         ///< [heads], a score that joins each row's sum and has no value; null: none
  FlashDropout dropout{};
  Element type = Element::bf16;  ///< of q, k, v and out: bf16 or f16
};

}  // namespace powerhouse::cuda
