// Which modules an adapter's options name, by PEFT's rules.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/modules.h"
#include "powerhouse/adapter.h"

namespace powerhouse {

inline constexpr std::string_view kAllLinear = "all-linear";

/// Whether the pattern matches all of the text. Error{format} naming `field` for a broken pattern.
bool matches_whole(std::string_view pattern, std::string_view text, std::string_view field);

/// Whether `name` is one of `ends`, or ends in "." and one of them.
bool ends_in(std::string_view name, std::span<const std::string> ends);

/// PEFT's usual targets of a family; Error{usage} asking for target_modules where it has none.
std::vector<std::string> default_lora_targets(std::string_view model_type);
struct Ia3Targets {
  std::vector<std::string> target_modules, feedforward_modules;
};
Ia3Targets default_ia3_targets(std::string_view model_type);

/// The options with "all-linear", the family's usual targets, and names of experts before they were fused written out.
LoraConfig resolved(const LoraConfig& config, const Model& model, std::span<const HfModule> modules);

/// The modules that resolved options target. Error{not_found} where there are none, Error{unsupported} for one that
/// can't be adapted.
std::vector<HfModule> lora_targets(const LoraConfig& resolved, std::span<const HfModule> modules);

/// What to call these modules in target_modules: last parts of names where those mean no others, else whole names.
std::vector<std::string> target_names(std::span<const HfModule> chosen, std::span<const HfModule> all);

/// The first value whose pattern fits the name's end.
template <typename Value>
Value by_pattern(const std::vector<std::pair<std::string, Value>>& patterns, std::string_view name, Value otherwise,
                 std::string_view field) {
  for (const auto& [pattern, value] : patterns) {
    if (matches_whole("(?:.*\\.)?(?:" + pattern + ")", name, field)) return value;
  }
  return otherwise;
}

/// Parameters of the modules whose names, or those of what holds them, end as one of `ends` says.
std::vector<const ParameterSpec*> parameters_to_save(const Model& model, std::span<const std::string> ends);

}  // namespace powerhouse
