// Llama 3's stretch of RoPE as GGUF stores it, a table of divisors, and back to the four numbers of config.json.
#pragma once

#include <vector>

#include "powerhouse/model_config.h"

namespace powerhouse {

/// What each frequency is divided by. `rope.scaling` is llama3.
std::vector<float> llama3_divisors(const Rope& rope);

/// The same Rope with scaling llama3 in the place of frequency_factors, where there are numbers that give these factors
/// to within float32's rounding; else `rope` as it is. Only low_freq_factor : high_freq_factor : original length has a
/// meaning, so low_freq_factor is 1, as in all models of Meta.
Rope with_llama3_named(const Rope& rope);

}  // namespace powerhouse
