// Pickle as far as state dicts of PyTorch need it, and not one step further. Nothing is ever called: the globals that a
// state dict is made of are known by name and become tensors here; every other one is an Error that names it, and so
// is every opcode that would build, call or import something else.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/common/blocks.h"

namespace powerhouse {

/// torch._utils._rebuild_tensor_v2 and its kin, as a description: sizes and strides in elements.
struct PickledTensor {
  std::string storage;  // the entry data/<storage> of the archive
  BlockFormat format = BlockFormat::f32;
  std::int64_t storage_bytes = 0;  // as the pickle says
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};

/// The tensors of a pickled dict by name, in its order. Error{format} or Error{unsupported}, with `path` as the file.
std::vector<std::pair<std::string, PickledTensor>> read_pickled_tensors(std::span<const std::byte> pickle,
                                                                        const std::string& path);

}  // namespace powerhouse
