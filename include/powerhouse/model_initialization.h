// Models from a config alone, with random weights: where training from scratch begins.
//
//     auto config = powerhouse::config_from_json(R"({"model_type": "gpt2", "vocab_size": 512, "n_layer": 4, ...})");
//     auto model = powerhouse::CausalLM::from_config(config, {.seed = 1});
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "powerhouse/device.h"
#include "powerhouse/export.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

/// GPT-2's (Radford et al. 2019): weights are normal, those of the last matrices of attention and MLP divided by
/// sqrt(2 layers); norms are one, biases zero.
struct InitializationOptions {
  Dtype dtype = Dtype::f32;  ///< automatic: f32
  double initializer_range = 0.02;
  std::uint64_t seed = 0;   ///< the same numbers on every device
  Device device{};          ///< Error{device} where there is no such GPU
  std::string tokenizer{};  ///< a folder or a GGUF file whose tokenizer is saved along with the model
};

/// The config that the text of a config.json stands for. Error{format, unsupported}.
POWERHOUSE_API ModelConfig config_from_json(std::string_view config_json);

}  // namespace powerhouse
