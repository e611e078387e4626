// Low-rank terms of several adapters in one batch (lora_gather_params.h): queued on the stream, returns at once.
#pragma once

#include "kernels/cuda/lora_gather_params.h"
#include "kernels/cuda/stream.h"

namespace powerhouse::cuda {

/// Inputs are trusted. False for more than 524,280 rows.
bool lora_gather(const LoraGatherParams& params, Stream stream);

}  // namespace powerhouse::cuda
