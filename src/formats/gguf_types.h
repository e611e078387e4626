// The numbers that GGUF gives to types of tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernels/common/blocks.h"

namespace powerhouse {

/// Nothing for a number that ggml never had, or removed.
std::optional<BlockFormat> gguf_tensor_format(std::uint32_t number);

/// ggml's number of a tensor type. Error{unsupported} naming file and tensor for a format that it has none for.
std::uint32_t gguf_type_number(BlockFormat format, const std::string& path, const std::string& tensor);

}  // namespace powerhouse
