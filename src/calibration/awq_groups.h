// Where a layer has room for AWQ's scales: parameters whose results can be divided by a number a channel, and the maps
// that read those channels and are multiplied by it, so that the layer computes what it did.
#pragma once

#include <cstdint>
#include <vector>

#include "calibration/quantized_modules.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

/// What is compared to choose scales: the map alone, or what the maps are a part of.
enum class Inspected { map, attention, mlp, both };

struct ScaleGroup {
  Role feed{};                         ///< a norm, or a map whose rows are divided
  std::vector<std::int64_t> rows{};    ///< of the map (of the expert's); empty for a norm
  std::int64_t expert = -1;            ///< of feed and target
  std::vector<std::size_t> targets{};  ///< in the list of linear targets
  std::vector<Role> others{};          ///< readers that are not quantized: routers, gates
  Inspected inspected = Inspected::map;
};

/// All that a layer's wiring allows, in the order of the forward pass.
std::vector<ScaleGroup> scale_groups(const Block& block, const std::vector<LinearTarget>& targets);

}  // namespace powerhouse
