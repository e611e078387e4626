// SourceModel of a folder in Hugging Face layout: GGUF's names, its order of rows, and its metadata, with nothing
// converted before it is read.
#pragma once

#include "formats/checkpoint.h"
#include "quantization/source_model.h"

namespace powerhouse {

/// Error{unsupported} for families and choices that llama.cpp has no graph for, Error{format} where tensors are
/// missing.
SourceModel folder_source(const Checkpoint& checkpoint);

/// Whichever it is.
SourceModel open_source(const std::string& path);

}  // namespace powerhouse
