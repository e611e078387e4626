// llama.cpp's LoRA files, both ways: GGUF with general.type "adapter", adapter.lora.alpha, and for a tensor of the
// model
// `<tensor>.lora_a` and `.lora_b`, rows in the order that the model's file has (convert_lora_to_gguf.py's layout).
#pragma once

#include <string>

#include "adapters/adapter.h"

namespace powerhouse {

/// Error{format} for a file that is no such adapter or does not fit the model, Error{unsupported} for other kinds.
Adapter load_gguf_adapter(const Model& model, const std::string& path, const std::string& name);

/// Scales that llama.cpp has no key for are multiplied into B. Error{unsupported} for what is not plain LoRA, and for
/// modules that its file of the model has no tensor for.
void save_gguf_adapter(const Model& model, const Adapter& adapter, const std::string& path);

}  // namespace powerhouse
