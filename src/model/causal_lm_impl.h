// What stands behind CausalLM: the shared model, and this handle's hooks.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/decoder.h"
#include "model/hook_table.h"
#include "model/plan.h"
#include "model/plan_adapters.h"
#include "model/tokenizer_files.h"
#include "powerhouse/causal_lm.h"
#include "powerhouse/session.h"
#include "support/json.h"

namespace powerhouse {

struct AdapterRegistry;  // of room `adapters`
struct Checkpoint;
struct LoadedConfig;

/// What a folder of packed weights (formats/quantized_folder.h) said of them.
struct PackedOrigin {
  Json config{};                       // config.json's `quantization_config`; null: none were packed
  std::vector<std::string> modules{};  // that were packed, by full names
};

/// A model's config and weights; handles made by CausalLM::share have it in common.
struct Model {
  Model(const Architecture& architecture_, ModelConfig config_, DecoderWeights weights_, at::ScalarType type_,
        std::string origin_, Numerics numerics_)
      : architecture(&architecture_),
        config(std::move(config_)),
        weights(std::move(weights_)),
        type(type_),
        origin(std::move(origin_)),
        numerics(numerics_),
        decoder(config, weights) {}
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Architecture* architecture;
  ModelConfig config;
  DecoderWeights weights;
  at::ScalarType type;
  std::string origin;  // the path it was loaded from, for errors
  Numerics numerics;
  Decoder decoder;                       // reads config and weights
  PackedOrigin packed{};                 // of weights that a folder had packed
  std::vector<RoleToken> role_tokens{};  // of a tokenizer that was told others than its files; saved with the model
  /// For sessions, while the weights are those of the file; may be null.
  std::unique_ptr<const Plan> plan{};
  ModelGate gate;

  Arithmetic arithmetic() const { return {numerics, plan.get()}; }
  at::Device device() const { return weights.outside().weight(Role::embed_tokens).device(); }
};

/// What a session's pass wants of a device.
struct DevicePass {
  DecodeGraphs* graphs = nullptr;
  std::span<const TokenDraw> draws{};  ///< of each row: token ids, int64 [rows], come back instead of logits
  /// Where not null: what the head makes the logits of comes to it, float32 [rows, hidden_size] on the CPU, behind the
  /// final norm and its hooks. Such a pass is Decoder's, without graphs.
  at::Tensor* hidden = nullptr;
};

struct CausalLM::Impl {
  std::shared_ptr<Model> model;
  HookTable hooks;
  mutable ModelGate gate;  // of the hooks and adapters

  Arithmetic arithmetic() const {
    Arithmetic how = model->arithmetic();
    how.adapters = adapters;
    return how;
  }
  std::shared_ptr<const AdapterTable> adapters{};  // what the active ones do; null: none
  mutable KeptPlanAdapters plan_adapters{};        // the same for a plan
  std::shared_ptr<AdapterRegistry> registry{};     // all of them; null until there is one

  /// Rows that the active adapter puts before each sequence.
  std::int64_t virtual_tokens() const { return adapters == nullptr ? 0 : adapters->virtual_tokens(); }

  /// One pass, with hooks still and errors of LibTorch made ours. Logits that are not finite are Error{numeric} naming
  /// where they begin, unless autograd looks on: a trainer sees its own loss. With a cache they come to the CPU.
  at::Tensor forward(const PackedBatch& batch, KvCache* cache, const DevicePass& on_device = {}) const;
};

/// What CausalLM::from_pretrained makes, whatever the head. `adjust` sees what was loaded before weights are.
std::shared_ptr<CausalLM::Impl> load_impl(const std::string& path, const LoadOptions& options,
                                          const std::function<void(const Checkpoint&, LoadedConfig&)>& adjust);

/// Where a model will lie. Error{device}, and Error{unsupported} for exact numerics on a device.
at::Device device_of(const LoadOptions& options);
/// Error{usage} where POWERHOUSE_ISA names kernels that this processor can't run.
void check_kernels();
/// Throws Error{usage} where the model's head is one over sequences.
void check_vocabulary_head(const ModelConfig& config);
/// Throws Error{range} for an id outside the vocabulary.
void check_ids(const ModelConfig& config, std::span<const std::int64_t> ids);
/// How many layers ScoreOptions::checkpointed_layers means; throws Error{range} where there are not so many.
std::int64_t checkpointed_count(const ModelConfig& config, std::int64_t checkpointed_layers);
/// Throws Error{range} where `length` tokens, `virtual_tokens` of an adapter among them, are more than the model was
/// made for.
void check_length(const ModelConfig& config, std::int64_t length, std::int64_t virtual_tokens);
/// The same for each document, before which virtual tokens will stand.
void check_lengths(const ModelConfig& config, std::span<const std::int64_t> cu_seqlens, std::int64_t virtual_tokens);

}  // namespace powerhouse
