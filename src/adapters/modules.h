// The modules of a model as adapters name them: Hugging Face's modules and parameters, and which of our parameters each
// is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/causal_lm_impl.h"

namespace powerhouse {

enum class ModuleKind {
  linear,
  embedding,
  router,   ///< a matrix that is a bare parameter on Hugging Face
  experts,  ///< a matrix an expert, in one bare parameter
  other,    ///< norms and the like: can be saved whole, not adapted
};

struct HfModule {
  std::string name;       // "model.layers.0.self_attn.q_proj"; of experts that of what holds them, "....mlp.experts"
  std::string parameter;  // "weight"; of experts "gate_up_proj" or "down_proj"
  ModuleKind kind = ModuleKind::other;
  Role role{};
  std::int64_t layer = -1;
  std::int64_t inputs = 0, outputs = 0;  // of an embedding: its rows, its columns
  std::int64_t experts = 0;
  bool conv1d = false;  // the weight is [in, out]
  const ParameterSpec* weight = nullptr;
  const ParameterSpec* bias = nullptr;  // null where there is none

  std::string full_parameter() const { return name + "." + parameter; }
};

/// All modules with a weight, in the order of the forward pass; the head too where it is tied to the embeddings.
std::vector<HfModule> hf_modules(const Model& model);

/// The module's own weight: of a tied head, that of the embeddings.
const Weight& weight_of(const Model& model, const HfModule& module);
/// Its bias, or undefined.
at::Tensor bias_of(const Model& model, const HfModule& module);

/// config.json's model_type of the family.
std::string_view model_type(const Model& model);

}  // namespace powerhouse
