// adapter_config.json, both ways: PEFT 0.21's keys, all of them, so that PEFT reads what is written.
#pragma once

#include <string>

#include "adapters/adapter.h"
#include "support/json.h"

namespace powerhouse {

/// The options that a config says. Error{unsupported} naming the key of what changes the arithmetic and is not built,
/// Error{format} for values of wrong types.
AdapterConfig read_peft_config(const Json& json);

/// The config of an adapter. `base` is what base_model_name_or_path says.
Json write_peft_config(const Adapter& adapter, const Model& model, const std::string& base);

}  // namespace powerhouse
