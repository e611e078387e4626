// An adapter in memory: its options, and its tensors by the modules they belong to.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "adapters/modules.h"
#include "powerhouse/adapter.h"

namespace powerhouse {

struct LoraModule {
  HfModule module;
  std::string file_name;  // in files: the module's, or with ".base_layer" where another parameter wraps it
  std::int64_t rank = 0;
  double alpha = 0;
  float scale = 0;
  at::Tensor a;          // [r, in]; of experts [experts * r, in]
  at::Tensor b;          // [out, r]; of experts [out, r * experts]
  at::Tensor bias;       // [out] with lora_bias
  at::Tensor magnitude;  // [out] with use_dora
  // What the base lost to a and b at the start (PiSSA, OLoRA): a frozen term that is taken away again.
  at::Tensor first_a, first_b;
};

/// A base parameter's place taken.
struct SavedParameter {
  const ParameterSpec* spec = nullptr;
  std::string file_name;
  at::Tensor tensor;         // in the spec's shape
  Role role{};               // whose place: the head's where the spec is the tied embeddings'
  bool whole_module = true;  // of modules_to_save, else a bias
};

struct TokenRows {
  std::string module;  // the embeddings' name
  at::Tensor indices;  // int64 [n]
  at::Tensor rows;     // [n, hidden]
};

struct Ia3Module {
  HfModule module;
  bool feedforward = false;
  at::Tensor scale;  // [out, 1], or [1, in] of feed-forward modules
};

using AdapterConfig = std::variant<LoraConfig, Ia3Config, PromptTuningConfig, PrefixTuningConfig>;

struct Adapter {
  std::string name;
  AdapterConfig config;
  std::vector<LoraModule> lora{};
  std::vector<SavedParameter> saved{};
  TokenRows tokens{};
  std::vector<Ia3Module> ia3{};
  at::Tensor virtual_tokens{};  // prompt [n, hidden], or prefix [n, layers * 2 * key-value heads * head_dim]

  const LoraConfig* lora_config() const { return std::get_if<LoraConfig>(&config); }
  std::string_view peft_type() const {
    constexpr std::string_view kNames[] = {"LORA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING"};
    return kNames[config.index()];
  }
};

/// A tensor of an adapter, and where PEFT keeps it: `module`, then `part`, then (while running) the adapter's name.
struct AdapterLeaf {
  std::string module;
  std::string_view part;
  at::Tensor* tensor;
  std::string_view suffix = ".weight";

  std::string file_name() const;
  std::string running_name(const std::string& adapter) const;
};

/// All that train, in the order of the model.
std::vector<AdapterLeaf> leaves(Adapter& adapter);

/// LoRA's factor of B A.
float lora_scale(double alpha, std::int64_t rank, bool rslora);

/// A fresh adapter. Errors as CausalLM::add_adapter's.
/// `from_file`: tensors of the right shapes whose values don't matter, but for what the base lost.
enum class Start { fresh, from_file };
Adapter make_lora(const Model& model, const std::string& name, const LoraConfig& config, Start start = Start::fresh);
Adapter make_ia3(const Model& model, const std::string& name, const Ia3Config& config);
Adapter make_prompt(const Model& model, const std::string& name, const PromptTuningConfig& config);
Adapter make_prefix(const Model& model, const std::string& name, const PrefixTuningConfig& config);

/// Puts what an adapter does into a table, LoRA times `weight`.
void add_to_table(AdapterTable& table, const Model& model, Adapter& adapter, double weight);

}  // namespace powerhouse
