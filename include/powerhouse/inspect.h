// What a checkpoint holds, without loading its weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

struct TensorReport {
  std::string name{};
  std::string type{};                 ///< "Q4_1", "BF16", ...
  std::vector<std::int64_t> shape{};  ///< outermost first
  std::size_t bytes = 0;
};

struct ModelReport {
  std::string path{};
  std::string format{};  ///< "GGUF v3" or "Hugging Face folder"
  ModelConfig config{};
  std::int64_t parameters = 0;  ///< a tied head counted once
  std::size_t bytes = 0;        ///< of all tensors
  double bits_per_weight = 0;
  std::size_t kv_cache_bytes_per_token = 0;  ///< in bf16
  std::vector<TensorReport> tensors{};
  std::vector<std::string> missing{};  ///< tensors the architecture needs and the file lacks
  std::vector<std::string> unused{};   ///< tensors the architecture knows nothing of
};

/// Reads headers only. Throws as CausalLM::from_pretrained does, but reports missing tensors instead of throwing.
POWERHOUSE_API ModelReport inspect(const std::string& path);

/// A page of text: choices, sizes, a summary per layer, and every tensor with `tensors`.
POWERHOUSE_API std::string to_string(const ModelReport& report, bool tensors = false);
POWERHOUSE_API std::string to_json(const ModelReport& report, bool tensors = false);

}  // namespace powerhouse
