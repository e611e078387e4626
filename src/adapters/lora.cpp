// LoRA, DoRA, rsLoRA: from options to tensors, and from tensors to what the decoder reads.
#include <algorithm>
#include <cmath>

#include "adapters/adapter.h"
#include "adapters/lora_init.h"
#include "adapters/targets.h"
#include "adapters/unused_options.h"
#include "model/dora.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void check(bool good, std::string_view field, std::string_view expected, const std::string& found) {
  if (good) return;
  throw Error(ErrorKind::range, "an adapter can't have this",
              {.field = std::string(field), .expected = std::string(expected), .found = found});
}

void check_options(const LoraConfig& config) {
  check(config.rank > 0, "r", "at least 1", std::to_string(config.rank));
  check(std::isfinite(config.alpha), "lora_alpha", "a number", std::to_string(config.alpha));
  check(config.dropout >= 0 && config.dropout < 1, "lora_dropout", "0 to below 1", std::to_string(config.dropout));
  for (const auto& [pattern, rank] : config.rank_pattern) {
    check(rank > 0, "rank_pattern", "ranks of at least 1", pattern + ": " + std::to_string(rank));
  }
  const bool layers = !config.layers_to_transform.empty() || !config.layers_pattern.empty();
  if (layers && !config.target_pattern.empty()) {
    throw Error(ErrorKind::usage, "a regular expression of targets says the layers itself",
                {.field = "layers_to_transform"});
  }
  if (config.layers_to_transform.empty() && !config.layers_pattern.empty()) {
    throw Error(ErrorKind::usage, "layers_pattern needs layers_to_transform", {.field = "layers_pattern"});
  }
  for (const std::string& pattern : config.layers_pattern) {
    if (pattern.find_first_of("\\[](){}*+?|^$") != std::string::npos) {
      throw Error(ErrorKind::unsupported, "only plain names of lists of layers are built",
                  {.field = "layers_pattern", .found = pattern});
    }
  }
  check_init(config);
}

void check_module(const LoraConfig& config, const HfModule& module) {
  const auto refuse = [&](bool wrong, std::string_view field) {
    if (!wrong) return;
    throw Error(ErrorKind::unsupported, "PEFT has no such adapter of this kind of module",
                {.field = std::string(field), .found = module.full_parameter()});
  };
  const bool parameter = module.kind == ModuleKind::experts || module.kind == ModuleKind::router;
  refuse(parameter && config.dropout > 0, "lora_dropout");
  refuse(parameter && config.use_dora, "use_dora");
  refuse(module.kind != ModuleKind::linear && config.lora_bias, "lora_bias");
  refuse(module.role == Role::lm_head && module.weight->role != Role::lm_head && config.use_dora && config.lora_bias,
         "use_dora");
}

// Biases that train along.
void add_biases(Adapter& adapter, const Model& model, const LoraConfig& config) {
  if (config.bias == AdapterBias::none) return;
  for (const ParameterSpec& spec : model.weights.specs()) {
    if (!spec.is_bias) continue;
    bool tuned = false;
    for (const LoraModule& lora : adapter.lora) tuned = tuned || lora.module.bias == &spec;
    if (!tuned && config.bias == AdapterBias::lora_only) continue;
    std::string name = spec.name;
    if (tuned) name.insert(name.rfind('.'), ".base_layer");
    adapter.saved.push_back({.spec = &spec, .file_name = name, .role = spec.role, .whole_module = false});
  }
}

// As PEFT's task type SEQ_CLS: the head trains whole.
void save_the_head(LoraConfig& config) {
  auto& names = config.modules_to_save;
  for (const char* name : {"classifier", "score"}) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  }
}

void add_modules_to_save(Adapter& adapter, const Model& model, const LoraConfig& config) {
  for (const ParameterSpec* spec : parameters_to_save(model, config.modules_to_save)) {
    adapter.saved.push_back({.spec = spec, .file_name = spec->name, .role = spec->role});
  }
  if (!model.weights.tied_head()) return;
  for (const HfModule& module : hf_modules(model)) {
    if (module.role != Role::lm_head) continue;
    for (const std::string& end : config.modules_to_save) {
      if (!module.name.ends_with(end)) continue;
      adapter.saved.push_back({.spec = module.weight, .file_name = module.full_parameter(), .role = Role::lm_head});
    }
  }
}

void copy_base(Adapter& adapter, const Model& model, at::ScalarType type) {
  for (SavedParameter& saved : adapter.saved) {
    switch (saved.spec->role) {
      case Role::experts_gate_up:
      case Role::experts_down:
      case Role::q_norm:
      case Role::k_norm:
      case Role::sinks:
        throw Error(ErrorKind::unsupported, "this parameter can't be trained by an adapter",
                    {.field = "modules_to_save", .found = saved.spec->name});
      default: break;
    }
    saved.tensor = model.weights.weight(*saved.spec).tensor().detach().to(type, false, true);
  }
}

void add_tokens(Adapter& adapter, const Model& model, const LoraConfig& config, std::span<const HfModule> modules) {
  if (config.trainable_token_indices.empty()) return;
  for (const HfModule& module : modules) {
    if (module.role != Role::embed_tokens) continue;
    check_ids(model.config, config.trainable_token_indices);
    adapter.tokens = {.module = module.name, .indices = index_tensor(config.trainable_token_indices)};
    adapter.tokens.rows = weight_of(model, module).rows(adapter.tokens.indices);
  }
}

}  // namespace

float lora_scale(double alpha, std::int64_t rank, bool rslora) {
  const auto r = static_cast<double>(rank);
  return static_cast<float>(alpha / (rslora ? std::sqrt(r) : r));
}

Adapter make_lora(const Model& model, const std::string& name, const LoraConfig& given, Start start) {
  check_options(given);
  const std::vector<HfModule> modules = hf_modules(model);
  LoraConfig config = resolved(given, model, modules);
  if (start == Start::fresh && model.config.sequence_head) save_the_head(config);
  Adapter adapter{.name = name, .config = config};
  const std::vector<HfModule> targets = lora_targets(config, modules);
  warn_unused_options(given, config, model, modules, targets);
  std::uint32_t lane = 0;
  for (const HfModule& module : targets) {
    check_module(config, module);
    LoraModule lora{.module = module, .file_name = module.name};
    // PEFT wraps the parameters of experts one in the other.
    const bool wrapped = std::any_of(targets.begin(), targets.end(), [&](const HfModule& other) {
      return other.role == Role::experts_down && other.layer == module.layer;
    });
    if (module.role == Role::experts_gate_up && wrapped) lora.file_name += ".base_layer";
    const std::string key = module.kind == ModuleKind::linear || module.kind == ModuleKind::embedding
                                ? module.name
                                : module.full_parameter();
    lora.rank = by_pattern(config.rank_pattern, key, config.rank, "rank_pattern");
    lora.alpha = by_pattern(config.alpha_pattern, key, config.alpha, "alpha_pattern");
    lora.scale = lora_scale(lora.alpha, lora.rank, config.use_rslora);
    init_lora(lora, model, config, lane, start);
    lane += 4;
    adapter.lora.push_back(std::move(lora));
  }
  add_biases(adapter, model, config);
  add_modules_to_save(adapter, model, config);
  const at::ScalarType type = config.dtype == Dtype::automatic ? model.type : to_scalar_type(config.dtype);
  copy_base(adapter, model, type);
  add_tokens(adapter, model, config, modules);
  for (const AdapterLeaf& leaf : leaves(adapter)) *leaf.tensor = leaf.tensor->to(type);
  return adapter;
}

namespace {

std::uint32_t lane_of(const HfModule& module) {
  return static_cast<std::uint32_t>((module.layer + 1) * kRoleCount + static_cast<int>(module.role));
}

void add_lora(AdapterTable& table, const LoraModule& lora, ops::Dropout dropout, double weight) {
  dropout.lane = lane_of(lora.module);
  ModuleAdapters& module = table.at(lora.module.layer, lora.module.role);
  module.terms.push_back(
      {.low_rank = {.a = lora.a, .b = lora.b, .scale = static_cast<float>(lora.scale * weight), .dropout = dropout},
       .bias = lora.bias,
       .magnitude = lora.magnitude,
       .norm = lora.magnitude.defined() ? std::make_shared<DoraNorm>() : nullptr});
  if (lora.first_a.defined()) {
    module.terms.push_back({.low_rank = {.a = lora.first_a, .b = lora.first_b, .scale = -lora.scale}});
  }
}

void add_saved(AdapterTable& table, const SavedParameter& saved) {
  ModuleAdapters& module = table.at(saved.spec->layer, saved.role);
  (saved.spec->is_bias ? module.bias : module.weight) = saved.tensor;
}

void add_token_rows(AdapterTable& table, const Model& model, const TokenRows& tokens) {
  for (const Role role : {Role::embed_tokens, Role::lm_head}) {
    if (role == Role::lm_head && !model.weights.tied_head()) continue;
    ModuleAdapters& module = table.at(-1, role);
    module.rows = tokens.indices;
    module.new_rows = tokens.rows;
  }
}

}  // namespace

void add_to_table(AdapterTable& table, const Model& model, Adapter& adapter, double weight) {
  if (std::holds_alternative<PromptTuningConfig>(adapter.config)) table.prompt = adapter.virtual_tokens;
  if (std::holds_alternative<PrefixTuningConfig>(adapter.config)) {
    const Attention& attention = model.config.layers.front().attention;
    table.prefix = adapter.virtual_tokens.view({adapter.virtual_tokens.size(0),
                                                static_cast<std::int64_t>(model.config.layers.size()), 2,
                                                attention.num_key_value_heads, attention.head_dim});
  }
  const LoraConfig* config = adapter.lora_config();
  const ops::Dropout dropout{.rate = config == nullptr ? 0.0f : static_cast<float>(config->dropout)};
  for (const LoraModule& lora : adapter.lora) add_lora(table, lora, dropout, weight);
  for (const SavedParameter& saved : adapter.saved) add_saved(table, saved);
  if (adapter.tokens.rows.defined()) add_token_rows(table, model, adapter.tokens);
  for (const Ia3Module& ia3 : adapter.ia3) {
    ModuleAdapters& module = table.at(ia3.module.layer, ia3.module.role);
    at::Tensor& scale = ia3.feedforward ? module.input_scale : module.output_scale;
    scale = scale.defined() ? scale.mul(ia3.scale.flatten()) : ia3.scale.flatten();
  }
  for (const AdapterLeaf& leaf : leaves(adapter)) {
    if (leaf.tensor->requires_grad()) table.trainable.emplace_back(leaf.running_name(adapter.name), *leaf.tensor);
  }
}

}  // namespace powerhouse
