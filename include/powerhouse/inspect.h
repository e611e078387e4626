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
  std::size_t file_bytes = 0;   ///< of the files that hold them
  double bits_per_weight = 0;
  std::size_t kv_cache_bytes_per_token = 0;  ///< in bf16
  std::size_t compute_bytes = 2;     ///< of a number as CausalLM::from_pretrained computes by itself: bf16, or float32
  std::size_t run_weight_bytes = 0;  ///< what CausalLM::from_pretrained holds by itself: see MemoryAccount
  std::vector<TensorReport> tensors{};
  std::vector<std::string> missing_files{};  ///< shards of an index, parts of a split file
  std::vector<std::string> missing{};        ///< tensors the architecture needs and the file lacks
  std::vector<std::string> unused{};         ///< tensors the architecture knows nothing of
};

/// Reads headers only. Throws as CausalLM::from_pretrained does, but reports missing tensors and files instead of
/// throwing: a folder that has no weights at all yet is one where all are missing.
POWERHOUSE_API ModelReport inspect(const std::string& path);

/// Bytes, by what they are for.
struct MemoryEstimate {
  std::size_t weights = 0;
  std::size_t kv_cache = 0;
  std::size_t activations = 0;
  std::size_t gradients = 0;
  std::size_t optimizer = 0;
  std::size_t total() const { return weights + kv_cache + activations + gradients + optimizer; }
};

struct MemoryReport {
  std::int64_t tokens = 0;  ///< of the one sequence that is run or trained on
  MemoryEstimate run{}, train_full{}, train_lora{}, train_qlora{};
};

/// What a model needs for one sequence of `tokens` (0: the longest it was made for, at most 4096), by counting:
///
/// - run: what CausalLM::from_pretrained and a Session hold by default, weights (quantized ones packed, in about their
///   size in the file) and KV cache at `compute_bytes` a number, and one pass of at most 512 rows (hidden states,
///   heads, MLP) with one row of float32 logits.
/// - training in bf16: where the backward pass begins, activation_bytes of the sequence and at most 64 MiB of float32
///   logits (the head's chunk).
///   - full: 2 bytes a parameter for weights, gradients and each of AdamW's two moments, which are of the parameter's
///     type; masters and float32 moments (OptimizerStorage) would add to that.
///   - LoRA: weights in bf16, frozen; rank-16 adapters on every linear layer inside the blocks, 4 bytes a parameter for
///     weights and gradients each and 8 for AdamW, and 16 numbers of each token and adapter.
///   - QLoRA: the same, those linear layers in NF4 with double quantization (4.127 bits a weight: Dettmers et al.
///     2023), of which the largest is dense for a product.
///
/// Gradients and optimizer are at their most when most activations are gone, so that a step stays below the sum; what
/// an allocator and libraries keep for themselves comes on top.
POWERHOUSE_API MemoryReport estimate_memory(const ModelReport& report, std::int64_t tokens = 0);

/// A page of text: choices, sizes, memory for a sequence of `tokens` (as in estimate_memory), a summary per layer, and
/// every tensor with `tensors`.
POWERHOUSE_API std::string to_string(const ModelReport& report, bool tensors = false, std::int64_t tokens = 0);
POWERHOUSE_API std::string to_json(const ModelReport& report, bool tensors = false, std::int64_t tokens = 0);

}  // namespace powerhouse
