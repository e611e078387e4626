#include "adapters/targets.h"

#include <algorithm>
#include <array>
#include <set>

#include "powerhouse/error.h"
#include "text/regex.h"

namespace powerhouse {
namespace {

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The segments of "a.b.c".
std::vector<std::string_view> segments(std::string_view name) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto dot = name.find('.');
    parts.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    name.remove_prefix(dot + 1);
  }
}

// The number of the layer that a module's name says: the first segment of digits behind (one of) `lists`, or behind
// two segments of any name. -1: none.
std::int64_t layer_in(std::string_view name, std::span<const std::string> lists) {
  const auto parts = segments(name);
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    if (!all_digits(parts[i])) continue;
    const bool fits = lists.empty() ? i >= 2 : std::find(lists.begin(), lists.end(), parts[i - 1]) != lists.end();
    if (fits) return std::stoll(std::string(parts[i]));
  }
  return -1;
}

// Whether one of `parts` stands anywhere in the name as whole segments.
bool stands_in(std::string_view name, std::span<const std::string> parts) {
  const auto ends_at = [&](std::size_t at) { return at == name.size() || name[at] == '.'; };
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
    for (auto at = name.find(part); at != std::string_view::npos; at = name.find(part, at + 1)) {
      if ((at == 0 || name[at - 1] == '.') && ends_at(at + part.size())) return true;
    }
    return false;
  });
}

bool is_excluded(const LoraConfig& config, const std::string& name) {
  if (!config.exclude_pattern.empty() && matches_whole(config.exclude_pattern, name, "exclude_modules")) return true;
  return ends_in(name, config.exclude_modules) || stands_in(name, config.modules_to_save);
}

bool is_target(const LoraConfig& config, const std::string& name) {
  if (is_excluded(config, name)) return false;
  if (!config.target_pattern.empty()) return matches_whole(config.target_pattern, name, "target_modules");
  const auto& targets = config.target_modules;
  if (std::find(targets.begin(), targets.end(), name) != targets.end()) return true;
  if (!ends_in(name, targets)) return false;
  if (config.layers_to_transform.empty()) return true;
  const std::int64_t layer = layer_in(name, config.layers_pattern);
  const auto& layers = config.layers_to_transform;
  return layer >= 0 && std::find(layers.begin(), layers.end(), layer) != layers.end();
}

std::string last_segment(const std::string& name) { return name.substr(name.rfind('.') + 1); }

bool is_all_linear(std::string_view text) {
  return std::equal(text.begin(), text.end(), kAllLinear.begin(), kAllLinear.end(),
                    [](unsigned char a, char b) { return std::tolower(a) == b; });
}

// What a module of transformers 4 is called since its experts are one parameter (PEFT converts options the same way).
struct Renamed {
  std::string_view before, now;
};
std::span<const Renamed> renamed_experts(std::string_view type) {
  static constexpr std::array kMixtral = {Renamed{"gate", "gate.weight"}, Renamed{"w1", "gate_up_proj"},
                                          Renamed{"w3", "gate_up_proj"}, Renamed{"w2", "down_proj"}};
  static constexpr std::array kQwen = {Renamed{"gate", "gate.weight"}, Renamed{"gate_proj", "gate_up_proj"},
                                       Renamed{"up_proj", "gate_up_proj"}, Renamed{"down_proj", "down_proj"}};
  if (type == "mixtral") return kMixtral;
  if (type == "qwen3_moe") return kQwen;  // PEFT leaves qwen2_moe as it is
  return {};
}

void rename_experts(LoraConfig& config, std::string_view type) {
  const auto table = renamed_experts(type);
  if (table.empty()) return;
  std::vector<std::string> kept;
  std::set<std::string_view> halves;
  std::set<std::string> parameters(config.target_parameters.begin(), config.target_parameters.end());
  for (const std::string& target : config.target_modules) {
    const auto found = std::find_if(table.begin(), table.end(), [&](const Renamed& row) {
      const std::string before(row.before);
      return ends_in(target, {&before, 1});
    });
    if (found == table.end()) {
      kept.push_back(target);
      continue;
    }
    parameters.insert(std::string(found->now));
    if (found->now == "gate_up_proj") halves.insert(found->before);
  }
  if (halves.size() == 1) {
    throw Error(ErrorKind::usage, "gate and up are one parameter: both or neither can be targeted",
                {.field = "target_modules", .found = std::string(*halves.begin())});
  }
  // Each half keeps its rank, side by side.
  if (halves.size() == 2) {
    config.rank_pattern.emplace_back(".*\\.gate_up_proj", config.rank * 2);
    config.alpha_pattern.emplace_back(".*\\.gate_up_proj", config.alpha * 2);
  }
  config.target_modules = std::move(kept);
  config.target_parameters.assign(parameters.begin(), parameters.end());
}

// Names as short as they can be without meaning others.
std::vector<std::string> all_linear(std::span<const HfModule> modules, std::span<const Renamed> renamed) {
  std::set<std::string> names;
  for (const HfModule& module : modules) {
    const bool head = module.role == Role::lm_head || module.role == Role::score;
    if (module.kind == ModuleKind::linear && !head) names.insert(last_segment(module.name));
  }
  for (const Renamed& row : renamed) names.insert(std::string(row.before));
  return {names.begin(), names.end()};
}

}  // namespace

bool matches_whole(std::string_view pattern, std::string_view text, std::string_view field) {
  try {
    const Regex regex("\\A(?:" + std::string(pattern) + ")\\z");
    return !regex.find_all(text).empty();
  } catch (const Error& error) {
    throw Error(error.kind(), error.message(), {.field = std::string(field), .found = std::string(pattern)});
  }
}

bool ends_in(std::string_view name, std::span<const std::string> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](const std::string& end) {
    if (!name.ends_with(end)) return false;
    return name.size() == end.size() || name[name.size() - end.size() - 1] == '.';
  });
}

LoraConfig resolved(const LoraConfig& config, const Model& model, std::span<const HfModule> modules) {
  LoraConfig out = config;
  const std::string_view type = model_type(model);
  const auto wildcards = std::erase_if(out.target_modules, is_all_linear);
  if (wildcards > 0 || is_all_linear(config.target_pattern)) {
    out.target_pattern.clear();
    for (const std::string& name : all_linear(modules, renamed_experts(type))) {
      if (std::find(out.target_modules.begin(), out.target_modules.end(), name) == out.target_modules.end()) {
        out.target_modules.push_back(name);
      }
    }
  } else if (config.target_modules.empty() && config.target_pattern.empty() && config.target_parameters.empty()) {
    out.target_modules = default_lora_targets(type);
  }
  rename_experts(out, type);
  return out;
}

std::vector<HfModule> lora_targets(const LoraConfig& config, std::span<const HfModule> modules) {
  std::vector<HfModule> targets;
  for (const HfModule& module : modules) {
    if (module.kind == ModuleKind::router || module.kind == ModuleKind::experts) {
      if (ends_in(module.full_parameter(), config.target_parameters)) targets.push_back(module);
      continue;
    }
    if (!is_target(config, module.name)) continue;
    if (module.kind == ModuleKind::other) {
      throw Error(ErrorKind::unsupported, "only linear layers and embeddings can be targeted",
                  {.field = "target_modules", .found = module.name});
    }
    targets.push_back(module);
  }
  if (targets.empty() && config.trainable_token_indices.empty()) {
    std::string wanted = config.target_pattern;
    for (const std::string& name : config.target_modules) wanted += (wanted.empty() ? "" : ", ") + name;
    throw Error(ErrorKind::not_found, "no module of the model is targeted",
                {.field = "target_modules", .found = wanted});
  }
  return targets;
}

std::vector<std::string> target_names(std::span<const HfModule> chosen, std::span<const HfModule> all) {
  std::set<std::string> whole, ends;
  for (const HfModule& module : chosen) {
    whole.insert(module.name);
    ends.insert(last_segment(module.name));
  }
  const bool exact = std::all_of(all.begin(), all.end(), [&](const HfModule& module) {
    return whole.contains(module.name) || !ends.contains(last_segment(module.name));
  });
  const std::set<std::string>& names = exact ? ends : whole;
  return {names.begin(), names.end()};
}

std::vector<const ParameterSpec*> parameters_to_save(const Model& model, std::span<const std::string> ends) {
  std::vector<const ParameterSpec*> found;
  for (const ParameterSpec& spec : model.weights.specs()) {
    bool saved = false;
    // Of the module, and of everything that holds it.
    for (auto dot = spec.name.rfind('.'); dot != std::string::npos && dot > 0; dot = spec.name.rfind('.', dot - 1)) {
      const std::string_view holder = std::string_view(spec.name).substr(0, dot);
      saved = saved || std::any_of(ends.begin(), ends.end(), [&](const std::string& e) { return holder.ends_with(e); });
    }
    if (saved) found.push_back(&spec);
  }
  return found;
}

}  // namespace powerhouse
