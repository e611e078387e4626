// From the decoder's weights to a GGUF file that llama.cpp runs.
#pragma once

#include <string>

#include "model/causal_lm_impl.h"

namespace powerhouse {

/// In the compute type; vectors, norms and routers in float32, as llama.cpp wants them. The tokenizer is that of the
/// GGUF file or the folder that the model came from. Error{unsupported} for families and choices that llama.cpp has no
/// graph for: what was written is read back, and must say the same.
void save_gguf(const Model& model, const std::string& path);

}  // namespace powerhouse
