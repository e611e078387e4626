// Tensors in safetensors files.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/tensor.h"

namespace powerhouse {

using NamedTensor = std::pair<std::string, at::Tensor>;

/// Writes tensors into one safetensors file, atomically. Strided tensors are made contiguous; CPU only.
POWERHOUSE_API void save_safetensors(const std::string& path, std::span<const NamedTensor> tensors);

/// Reads every tensor of a safetensors file, copied out of it.
POWERHOUSE_API std::vector<NamedTensor> load_safetensors(const std::string& path);

}  // namespace powerhouse
