// Which layers of a model see a window of the last tokens, as config.json and GGUF both tell it.
#pragma once

#include <cstdint>
#include <optional>

#include "powerhouse/model_config.h"

namespace powerhouse {

/// The window of the layers that have one.
std::optional<std::int64_t> window_of(const ModelConfig& model);

/// All but the last layer of each `pattern` (2: every second one from the first on); every layer for less than 1.
inline bool is_windowed(std::int64_t layer, std::int64_t pattern) { return pattern < 1 || (layer + 1) % pattern != 0; }

}  // namespace powerhouse
