#include "adapters/modules.h"

namespace powerhouse {
namespace {

ModuleKind kind_of(Role role) {
  if (is_linear(role) || role == Role::lm_head || role == Role::score) return ModuleKind::linear;
  switch (role) {
    case Role::embed_tokens:
    case Role::position_embeddings: return ModuleKind::embedding;
    case Role::router: return ModuleKind::router;
    case Role::experts_gate_up:
    case Role::experts_down: return ModuleKind::experts;
    default: return ModuleKind::other;
  }
}

// "a.b.weight" as "a.b" and "weight".
void name_it(HfModule& module, const std::string& full) {
  const auto dot = full.rfind('.');
  module.name = full.substr(0, dot);
  module.parameter = full.substr(dot + 1);
}

HfModule module_of(const ParameterSpec& spec) {
  HfModule module{.kind = kind_of(spec.role),
                  .role = spec.role,
                  .layer = spec.layer,
                  .conv1d = spec.transposed && spec.shape.size() == 2,
                  .weight = &spec};
  name_it(module, spec.name);
  const auto& shape = spec.shape;
  if (module.kind == ModuleKind::experts) module.experts = shape.front();
  if (module.kind == ModuleKind::embedding) {
    module.inputs = shape[0];
    module.outputs = shape[1];
  } else if (module.kind != ModuleKind::other) {
    module.inputs = spec.transposed ? shape[shape.size() - 2] : shape.back();
    module.outputs = spec.transposed ? shape.back() : shape[shape.size() - 2];
  }
  return module;
}

}  // namespace

std::vector<HfModule> hf_modules(const Model& model) {
  std::vector<HfModule> modules;
  const std::vector<ParameterSpec>& specs = model.weights.specs();
  for (const ParameterSpec& spec : specs) {
    if (!spec.is_bias) modules.push_back(module_of(spec));
  }
  if (model.weights.tied_head()) {
    for (const ParameterSpec& spec : specs) {
      if (spec.role != Role::embed_tokens) continue;
      HfModule head{.kind = ModuleKind::linear,
                    .role = Role::lm_head,
                    .inputs = spec.shape[1],
                    .outputs = spec.shape[0],
                    .weight = &spec};
      for (const WeightName& row : model.architecture->weights) {
        if (row.role == Role::lm_head && head.name.empty()) head.name = row.hf_name;
      }
      head.parameter = "weight";
      if (!head.name.empty()) modules.push_back(std::move(head));
    }
  }
  for (HfModule& module : modules) {
    for (const ParameterSpec& spec : specs) {
      if (spec.is_bias && spec.role == module.role && spec.layer == module.layer) module.bias = &spec;
    }
  }
  return modules;
}

const Weight& weight_of(const Model& model, const HfModule& module) { return model.weights.weight(*module.weight); }

at::Tensor bias_of(const Model& model, const HfModule& module) {
  return module.bias == nullptr ? at::Tensor() : model.weights.weight(*module.bias).tensor();
}

std::string_view model_type(const Model& model) {
  const auto types = model.architecture->hf_model_types;
  return types.empty() ? model.architecture->name : types.front();
}

}  // namespace powerhouse
