// Drawing tokens where the logits are, on a device (kernels/cuda/sampling_params.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "powerhouse/session.h"

namespace powerhouse::ops {

/// Whether the device's kernels draw from so many logits.
bool device_draws(const at::Device& device, std::int64_t vocabulary);

/// A token from each row of float32 [rows, vocabulary]; -1 from rows that have NaN, +infinity or nothing to take. Waits
/// for the device.
std::vector<std::int64_t> draw_on_device(const at::Tensor& logits, std::span<const TokenDraw> draws);

}  // namespace powerhouse::ops
