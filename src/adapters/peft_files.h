// PEFT's folders: adapter_config.json beside adapter_model.safetensors (or adapter_model.bin).
#pragma once

#include <string>

#include "adapters/adapter.h"

namespace powerhouse {

/// Error{not_found}, {format} or {unsupported}, naming file and tensor or key.
Adapter load_peft_folder(const Model& model, const std::string& folder, const std::string& name);

/// Creates the folder. The tensors are written first, the config last, each atomically.
void save_peft_folder(const Model& model, const Adapter& adapter, const std::string& folder);

/// An adapter that began with the weight's own singular vectors, as plain LoRA of twice the rank on the whole weight.
/// Others are copied.
Adapter as_plain_lora(const Adapter& adapter);

}  // namespace powerhouse
