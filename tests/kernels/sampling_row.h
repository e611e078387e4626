// A row's options as CUDA's sampling kernel reads them, from the choice that the reference makes.
#pragma once

#include <cstdint>

#include "kernels/cuda/sampling_params.h"
#include "kernels/reference/sampling.h"
#include "support/philox.h"

namespace powerhouse {

inline cuda::SamplingRow sampling_row(const reference::SamplingChoice& choice, std::uint64_t seed, std::uint32_t lane,
                                      std::uint64_t counter) {
  return {.temperature = choice.temperature,
          .top_p = choice.top_p,
          .min_p = choice.min_p,
          .top_k = static_cast<std::int32_t>(choice.top_k),
          .key = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
          .lane = lane,
          .stream = static_cast<std::uint32_t>(RandomStream::sampling),
          .counter = counter};
}

}  // namespace powerhouse
