// Which parameters decay, which have another learning rate, and which are Muon's.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "powerhouse/adapter.h"
#include "powerhouse/error.h"
#include "powerhouse/optimizer.h"

namespace powerhouse {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Whether a segment of a name in lower case is "norm", or ends in "_norm".
bool names_norm(std::string_view name) {
  constexpr std::string_view kNorm = "norm";
  for (auto at = name.find(kNorm); at != std::string_view::npos; at = name.find(kNorm, at + 1)) {
    const std::size_t end = at + kNorm.size();
    const bool begins = at == 0 || name[at - 1] == '.' || name[at - 1] == '_';
    if (begins && (end == name.size() || name[end] == '.')) return true;
  }
  return false;
}

/// transformers' get_decay_parameter_names by name; norms that it knows by their class have one dimension.
bool decays(std::string name, const at::Tensor& tensor) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return tensor.dim() >= 2 && !contains(name, "bias") && !contains(name, "layernorm") && !contains(name, "rmsnorm") &&
         !names_norm(name);
}

/// Inputs' and outputs' matrices, which Muon's authors leave to AdamW.
bool is_vocabulary(std::string_view name) {
  for (const std::string_view part : {"embed", "lm_head", "wte", "wpe"}) {
    if (contains(name, part)) return true;
  }
  return false;
}

void check_rate(std::string_view field, double value) {
  if (!(value >= 0) || !std::isfinite(value)) {
    throw Error(ErrorKind::range, "learning rate out of range",
                {.field = std::string(field), .expected = "at least 0", .found = std::to_string(value)});
  }
}

ParameterGroup settings_of(const NamedTensor& parameter, const ParameterGroupOptions& options) {
  const auto& [name, tensor] = parameter;
  ParameterGroup group;
  if (!decays(name, tensor)) group.weight_decay = 0;
  group.muon = tensor.dim() == 2 && !is_vocabulary(name);
  const auto own = std::find_if(options.learning_rates.begin(), options.learning_rates.end(),
                                [&name = name](const auto& rule) { return contains(name, rule.first); });
  if (own != options.learning_rates.end()) {
    group.lr = own->second;
  } else if (options.loraplus_lr_ratio != 1) {
    switch (lora_plus_group(name, tensor)) {
      case LoraPlusGroup::a: break;
      case LoraPlusGroup::b: group.lr_scale = options.loraplus_lr_ratio; break;
      case LoraPlusGroup::embedding: group.lr = options.loraplus_lr_embedding; break;
    }
  }
  return group;
}

bool same(const ParameterGroup& a, const ParameterGroup& b) {
  return a.lr_scale == b.lr_scale && a.lr == b.lr && a.weight_decay == b.weight_decay && a.muon == b.muon;
}

}  // namespace

std::vector<ParameterGroup> make_parameter_groups(std::span<const NamedTensor> parameters,
                                                  const ParameterGroupOptions& options) {
  if (!(options.loraplus_lr_ratio > 0)) check_rate("loraplus_lr_ratio", -1);
  check_rate("loraplus_lr_embedding", options.loraplus_lr_embedding);
  for (const auto& [part, lr] : options.learning_rates) check_rate(part, lr);
  std::vector<ParameterGroup> groups;
  for (const NamedTensor& parameter : parameters) {
    ParameterGroup settings = settings_of(parameter, options);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& other) { return same(settings, other); });
    if (group == groups.end()) group = groups.insert(groups.end(), std::move(settings));
    group->parameters.push_back(parameter);
  }
  return groups;
}

}  // namespace powerhouse
