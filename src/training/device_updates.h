// An optimizer's step over parameters on a device: AdamW by LibTorch's operations, with 8-bit states by our kernel.
#pragma once

#include <span>
#include <vector>

#include "training/optimizer_method.h"

namespace powerhouse {

/// Error{unsupported} for what has no step on a device: other methods, paged states, stochastic rounding.
void check_device_optimizer(const OptimizerOptions& options, const OptimizerStorage& storage);

/// Of each slot's gradient, 0 without one. The host waits once.
std::vector<double> gradient_squares_on_device(std::span<const ParameterSlot> slots);

/// One step of the elementwise rule that `params` hold the constants of.
void update_on_device(const ParameterSlot& slot, const cpu::UpdateParams& params);

}  // namespace powerhouse
