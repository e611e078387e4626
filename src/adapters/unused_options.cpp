#include "adapters/unused_options.h"

#include <algorithm>

#include "powerhouse/log.h"

namespace powerhouse {
namespace {

void warn(std::string_view option, const std::string& name) {
  log(LogLevel::warning, std::string(option) + ": " + name + " fits nothing of the model");
}

template <typename Value>
void warn_of_patterns(const std::vector<std::pair<std::string, Value>>& patterns, std::string_view option,
                      std::span<const HfModule> targets) {
  for (const auto& row : patterns) {
    const bool fits = std::any_of(targets.begin(), targets.end(), [&](const HfModule& module) {
      const bool whole = module.kind == ModuleKind::linear || module.kind == ModuleKind::embedding;
      return by_pattern<bool>({{row.first, true}}, whole ? module.name : module.full_parameter(), false, option);
    });
    if (!fits) warn(option, row.first);
  }
}

bool saves_something(const Model& model, std::span<const HfModule> modules, const std::string& end) {
  if (!parameters_to_save(model, {&end, 1}).empty()) return true;
  return std::any_of(modules.begin(), modules.end(),  // a tied head has no parameter of its own
                     [&](const HfModule& module) { return module.name.ends_with(end); });
}

}  // namespace

void warn_unused_options(const LoraConfig& given, const LoraConfig& resolved, const Model& model,
                         std::span<const HfModule> modules, std::span<const HfModule> targets) {
  const auto fits_any = [&](const auto& fits) { return std::any_of(modules.begin(), modules.end(), fits); };
  for (const std::string& name : resolved.target_modules) {
    const bool asked =
        std::find(given.target_modules.begin(), given.target_modules.end(), name) != given.target_modules.end();
    if (asked && !fits_any([&](const HfModule& module) { return ends_in(module.name, {&name, 1}); })) {
      warn("target_modules", name);
    }
  }
  for (const std::string& name : given.target_parameters) {
    if (!fits_any([&](const HfModule& module) { return ends_in(module.full_parameter(), {&name, 1}); })) {
      warn("target_parameters", name);
    }
  }
  for (const std::string& name : given.modules_to_save) {
    // PEFT names both names that heads over sequences have.
    if (name == "classifier" && model.config.sequence_head) continue;
    if (!saves_something(model, modules, name)) warn("modules_to_save", name);
  }
  for (const std::int64_t layer : given.layers_to_transform) {
    const bool fits = std::any_of(targets.begin(), targets.end(), [&](const HfModule& m) { return m.layer == layer; });
    if (!fits) warn("layers_to_transform", std::to_string(layer));
  }
  warn_of_patterns(given.rank_pattern, "rank_pattern", targets);
  warn_of_patterns(given.alpha_pattern, "alpha_pattern", targets);
}

}  // namespace powerhouse
