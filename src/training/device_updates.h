// An optimizer's step over parameters on a device: states of numbers in one launch, those of codes in one a parameter.
#pragma once

#include <span>
#include <vector>

#include "training/optimizer_method.h"
#include "training/parameter_pass.h"

namespace powerhouse {

/// Error{unsupported} for what has no step on a device: methods of whole tensors, paged states, stochastic rounding.
void check_device_optimizer(const OptimizerOptions& options, const OptimizerStorage& storage);

/// Of each slot's gradient, 0 without one. The host waits once.
std::vector<double> gradient_squares_on_device(std::span<const ParameterSlot> slots);

/// Parameters, gradients and states lie on the device.
void run_updates_on_device(const at::Device& device, std::span<const ElementwiseUpdate> updates);

}  // namespace powerhouse
