// Checkpoints in several files with an index, {"weight_map": {tensor: file}}.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "formats/tensor_view.h"

namespace powerhouse {

/// The tensors that `index_name` of `folder` lists, each from the shard that it names; `read` opens a shard, once each.
/// Error{format} where index and shards disagree or a shard is no file of this folder. A shard that is not there is
/// Error{not_found}, or its name joins `missing` where that is given, and its tensors are left out.
std::vector<TensorView> read_shards(const std::string& folder, const char* index_name,
                                    const std::function<std::vector<TensorView>(const std::string& path)>& read,
                                    std::vector<std::string>* missing = nullptr);

}  // namespace powerhouse
