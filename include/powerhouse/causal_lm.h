// CausalLM: a decoder with its weights, for training, research and generation alike.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "powerhouse/device.h"
#include "powerhouse/export.h"
#include "powerhouse/hooks.h"
#include "powerhouse/model_config.h"
#include "powerhouse/model_initialization.h"
#include "powerhouse/tensor.h"
#include "powerhouse/token_scores.h"

namespace powerhouse {

struct LoraConfig;  // adapter.h

/// Quantization of linear layers as bitsandbytes has it (Dettmers et al. 2023, arXiv 2305.14314), in the names and with
/// the defaults of transformers' class of this name.
struct BitsAndBytesConfig {
  bool load_in_4bit = false;
  bool load_in_8bit = false;                ///< int8 by each row's largest magnitude, which LLM.int8() keeps (int8.h)
  std::string bnb_4bit_quant_type = "fp4";  ///< fp4 or nf4; blocks of 64, which go through rows of a multiple of 32
  bool bnb_4bit_use_double_quant = false;   ///< scales take the values that codes of 8 bits can say
  /// Beginnings or ends of names of modules that stay as they are. The head, embeddings, norms, routers and experts'
  /// fused tensors always do.
  std::vector<std::string> llm_int8_skip_modules{};
};

struct LoadOptions {
  /// The compute type; weights are converted to it at load. Automatic: f32 for float32 checkpoints, bf16 for all
  /// others, and in sessions quantized weights are multiplied as they are, by activations in codes of 15 bits with a
  /// scale for each 32 of them, and float32 between the products: as exact as float32 for all that matters (a KL
  /// divergence of 1e-6 from it for SmolLM2), several times as fast, and the same bits for any batch and number of
  /// threads. A type that is named makes all weights dense, as training needs them.
  Dtype dtype = Dtype::automatic;
  /// Where weights, cache and passes are; Error{device} where there is no such GPU, or no CUDA in this build. On a
  /// device activations have the compute type, and with `automatic` quantized weights stay blocks where it has a
  /// decoder of their format. Logits of `forward`, losses and gradients are the device's tensors; what sessions,
  /// `score` and SequenceClassifier give is on the CPU. Exact numerics are Error{unsupported}, and so is saving a
  /// session.
  Device device{};
  /// In exact, a token's logits are the same bits however it is computed: alone or in any batch, a prompt at once, in
  /// pieces or token by token, on any number of threads, by a Session or by CausalLM::forward, padded or not, with
  /// gradients, hooks or without: the log-probability that a trainer finds for a sampled token is the sampler's own.
  /// It holds for one model (and its `share()`) between two changes of its parameters; handing out parameters is one,
  /// since quantized weights become dense by it. Logits are computed in float32 (the compute type) from weights of any
  /// type; the cache is float32. A prompt takes about twice as long as in `fast`, decoding about as long
  /// (docs/numerics.md). Error{unsupported} for a compute type that is named and not f32, for other types of the
  /// cache, and for sequences so long that a RoPE which depends on the length changes.
  Numerics numerics = Numerics::fast;
  /// Makes linear layers 4-bit or 8-bit while loading, one after the other, from a checkpoint of any type: the same
  /// codes as bitsandbytes finds from weights of the compute type. Error{unsupported} for rows that are no multiple of
  /// 32 (of 64 in 8 bits).
  BitsAndBytesConfig quantization{};
};

struct SaveOptions {
  /// Shards larger than this are split, as `save_pretrained` of transformers does.
  std::size_t max_shard_bytes = std::size_t{5} << 30;
};

/// Bytes that the library itself holds for a model.
struct MemoryAccount {
  std::size_t weights = 0;  ///< in memory of our own, packed or dense
  std::size_t mapped = 0;   ///< weights used in place from the file
  /// Of both, what the pass of one token reads: not the tables of embeddings and positions, of which it reads a row,
  /// and of experts as many as one token is given to. Decoding can't be faster than memory gives these.
  std::size_t read_per_token = 0;
};

/// A causal language model. Moves; `clone()` copies the weights, `share()` does not. Const use (forward, sessions,
/// generation) is safe from any thread; hooks and changes of parameters need the model alone, and are Error{usage}
/// while a forward pass runs.
class POWERHOUSE_API CausalLM {
 public:
  /// Loads a GGUF file or a folder in Hugging Face layout. Weights of the file's own float type are used in place;
  /// others are converted. Throws Error{not_found, format, unsupported, device, memory}; an unknown architecture's
  /// Error lists the known ones, missing tensors are named.
  static CausalLM from_pretrained(const std::string& path, const LoadOptions& options = {});

  /// Random weights, for training from scratch.
  static CausalLM from_config(const ModelConfig& config, const InitializationOptions& options = {});

  CausalLM(CausalLM&&) noexcept;
  CausalLM& operator=(CausalLM&&) noexcept;
  ~CausalLM();
  /// A model of its own: weights copied, no hooks.
  CausalLM clone() const;
  /// Another handle on the same weights with no hooks of its own (a reference model, a draft model).
  CausalLM share() const;

  const ModelConfig& config() const;
  /// The compute type, never `automatic`.
  Dtype dtype() const;
  /// As loaded.
  Numerics numerics() const;
  /// Where the weights are.
  Device device() const;
  MemoryAccount memory() const;

  /// Logits of every position. `input_ids` is int64 [batch, length]; `attention_mask`, where defined, is [batch,
  /// length] with 0 at padding (left or right), whose logits are zero. Returns float32 [batch, length, vocabulary],
  /// differentiable for parameters that require gradients. Error{range} for ids outside the vocabulary and for lengths
  /// beyond max_position_embeddings. Error{numeric} at logits that are not finite, naming the layer where they begin,
  /// unless the result requires gradients: a trainer sees that in its loss.
  at::Tensor forward(const at::Tensor& input_ids, const at::Tensor& attention_mask) const;
  /// The same without padding.
  at::Tensor forward(const at::Tensor& input_ids) const;

  /// What the model says of a batch's targets. Differentiable for what requires gradients. Never holds the logits of
  /// all rows at once, and of quantized weights that are frozen no dense form beyond a product. Error{usage} for an
  /// empty batch and one without targets, Error{range} for ids and lengths that the model does not take.
  TokenScores score(const TokenBatch& batch, const ScoreOptions& options = {}) const;
  /// -sum(log_probs) / normalizer: with the number of targets of all micro batches of a step as `normalizer`, the sum
  /// of their losses is that of the big batch. Cheaper than `score` where nothing but this loss is wanted.
  TokenLoss loss(const TokenBatch& batch, double normalizer, const ScoreOptions& options = {}) const;
  /// The tensors that require gradients, under their Hugging Face names. Leaves: `grad()` is theirs.
  std::vector<std::pair<std::string, at::Tensor>> trainable_parameters() const;

  /// Parameters under their Hugging Face names, e.g. "model.layers.0.self_attn.q_proj.weight". A tied head is not
  /// repeated. The tensors are the model's own: what is written to them is what it computes with. A quantized weight
  /// that is handed out counts as dense, in the compute type, from then on; hence Error{usage} while a pass runs.
  std::vector<std::pair<std::string, at::Tensor>> named_parameters() const;
  /// One parameter by name, in any spelling of its family. A tensor of a checkpoint that is a part of a parameter here
  /// (one of many experts) is a view of that parameter, with a view of its gradient where there is one.
  /// Error{not_found}.
  at::Tensor parameter(std::string_view name) const;
  /// Makes all parameters require gradients, or none. Parameters used in place from a file are copied first, so that
  /// training never touches the file.
  void set_requires_grad(bool requires_grad);

  /// Calls `hook` at `site` in every later pass, in the order of adding. Error{range} for a layer that is not there.
  HookHandle add_hook(HookSite site, Hook hook);
  /// Error{not_found} for a handle that is not (any more) there.
  void remove_hook(HookHandle handle);

  /// Writes a folder: config.json and model.safetensors (sharded beyond max_shard_bytes) in the compute type,
  /// atomically: the weights first, config.json last. The folder is created. A name that ends in ".gguf" is a GGUF file
  /// for llama.cpp instead, in the compute type. Both take along the tokenizer and chat templates of the file or folder
  /// that the model came from; a GGUF file's tokenizer that has no form in a folder is a warning.
  /// Error{unsupported} for a config that the format can't say, and for GGUF of a family that llama.cpp does not run.
  void save_pretrained(const std::string& path, const SaveOptions& options = {}) const;

  /// Adds a LoRA adapter to this handle (adapter.h): fresh, active, its tensors requiring gradients. Error{usage} for a
  /// name that is taken, Error{not_found} where nothing in the model is targeted.
  void add_adapter(const std::string& name, const LoraConfig& config);
  /// Reads an adapter of any kind: a PEFT folder, or llama.cpp's GGUF file. It is active alone afterwards; its tensors
  /// require gradients where `trainable`. Error{format} for files that don't fit the model or each other,
  /// Error{unsupported} naming the key of what is not built here.
  void load_adapter(const std::string& path, const std::string& name = "default", bool trainable = false);
  /// Writes a folder that PEFT reads, or, where the path ends in ".gguf", a LoRA file for llama.cpp.
  void save_adapter(const std::string& name, const std::string& path) const;

  struct Impl;
  /// For the library's own rooms.
  const Impl& impl() const { return *impl_; }
  Impl& impl() { return *impl_; }

 private:
  friend class Session;  // holds a handle to the same model and hooks
  friend class SequenceClassifier;
  explicit CausalLM(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace powerhouse
