// What a GGUF file of a model says beside its weights: metadata, tokenizer, and tensors that are configuration.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf_writer.h"
#include "model/architecture.h"
#include "model/parameters.h"

namespace powerhouse {

/// llama.cpp's number for the layout of its blocks, `general.quantization_version`.
inline constexpr std::uint32_t kGgufQuantizationVersion = 2;

struct GgufDescription {
  std::vector<GgufEntry> metadata{};  // without general.file_type and general.quantization_version
  std::vector<std::pair<std::string, std::vector<float>>> tensors{};  // float32 (RoPE factors)
  /// Reads the file back: it must say the same, and its tokenizer must give the same ids. Error{unsupported}.
  std::function<void(const std::string& written)> check{};
};

/// `origin` is the file or folder that the model came from, whose tokenizer is taken along; `name` is general.name.
/// Error{unsupported} for families and choices that llama.cpp has no graph for.
GgufDescription describe_as_gguf(const Architecture& architecture, const ModelConfig& config, const std::string& origin,
                                 const std::string& name);

/// Vectors, norms, routers and positions are float32 whatever the file's type, as llama.cpp wants them.
bool stays_float32(const ParameterSpec& spec, const Assembly& assembly);

}  // namespace powerhouse
