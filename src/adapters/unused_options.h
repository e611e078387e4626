// Options of an adapter that name nothing of the model: PEFT takes such adapters, and so they load, but are told.
#pragma once

#include <span>

#include "adapters/targets.h"

namespace powerhouse {

/// One warning a name or pattern that fits nothing. `targets` are those of `resolved`, which were `given`.
void warn_unused_options(const LoraConfig& given, const LoraConfig& resolved, const Model& model,
                         std::span<const HfModule> modules, std::span<const HfModule> targets);

}  // namespace powerhouse
