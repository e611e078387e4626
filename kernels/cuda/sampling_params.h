// The arguments of drawing tokens from rows of logits.
#pragma once

#include <cstdint>

namespace powerhouse::cuda {

/// How a row's token is drawn: Hugging Face's temperature, top_k, top_p and min_p in this order, then one number of the
/// generator. In the device's memory, as requests of a batch differ.
struct SamplingRow {
  float temperature = 1.0f;  ///< 0: the first of the largest logits
  float top_p = 1.0f;        ///< above 0; 1: all
  float min_p = 0.0f;        ///< 0: all
  std::int32_t top_k = 0;    ///< 0: all
  std::uint32_t key[2] = {};
  std::uint32_t lane = 0;
  std::uint32_t stream = 0;
  std::uint64_t counter = 0;
};

struct SamplingParams {
  const float* logits = nullptr;         ///< [rows, vocabulary]; -infinity: forbidden
  std::int64_t vocabulary = 0;           ///< at least 1, below 2^24
  std::int64_t stride = 0;               ///< between rows
  const SamplingRow* options = nullptr;  ///< [rows]
  std::int64_t* tokens = nullptr;        ///< [rows]; -1 where a row has NaN, +infinity, or nothing that can be taken
};

}  // namespace powerhouse::cuda
