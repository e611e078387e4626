// pytorch_model.bin: what torch.save makes of a state dict, read without ever running what it says (formats/pickle.h).
#pragma once

#include <string>
#include <vector>

#include "formats/tensor_view.h"

namespace powerhouse {

/// All tensors of one file, mapped where they lie in it; those that are no contiguous part of their storage are put
/// together in memory. Error{unsupported} for files of PyTorch before 1.6 and for anything but tensors.
std::vector<TensorView> read_torch_file(const std::string& path);
std::vector<TensorView> parse_torch_file(const std::shared_ptr<const MappedFile>& file);

/// Those of a folder: pytorch_model.bin, else pytorch_model.bin.index.json with its shards (`missing` as in
/// formats/shards.h).
std::vector<TensorView> read_torch_folder(const std::string& folder, std::vector<std::string>* missing = nullptr);

}  // namespace powerhouse
