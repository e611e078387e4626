// What a state dict is made of, by the names that pickle has for it: the only globals that are known.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/common/blocks.h"

namespace powerhouse::pickle_names {

inline constexpr std::string_view kOrderedDict = "collections.OrderedDict";
inline constexpr std::string_view kSize = "torch.Size";
inline constexpr std::string_view kRebuildV2 = "torch._utils._rebuild_tensor_v2";
inline constexpr std::string_view kRebuildV3 = "torch._utils._rebuild_tensor_v3";
inline constexpr std::string_view kParameter = "torch._utils._rebuild_parameter";

/// "torch.HalfStorage" and its kin; nothing for others.
std::optional<BlockFormat> storage_format(std::string_view name);
/// "torch.float16" and its kin; nothing for others.
std::optional<BlockFormat> dtype_format(std::string_view name);
/// Storages of bytes, whose tensors name their type themselves.
bool is_untyped_storage(std::string_view name);
/// Whether a state dict may name this global at all.
bool is_known(std::string_view name);

/// The name that pickletools.py has for an opcode that no state dict needs.
std::string_view opcode_name(std::uint8_t opcode);

}  // namespace powerhouse::pickle_names
