// at::Tensor to and from safetensors files.
#include "powerhouse/tensor_file.h"

#include <cstring>

#include "formats/safetensors.h"
#include "model/api_guard.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {

void save_safetensors(const std::string& path, std::span<const NamedTensor> tensors) {
  guarded([&] {
    std::vector<TensorSource> sources;
    for (const auto& [name, tensor] : tensors) {
      if (!tensor.defined() || tensor.is_meta()) {
        throw Error(ErrorKind::usage, "only tensors with numbers can be saved", {.file = path, .field = name});
      }
      const at::Tensor dense = tensor.detach().to(at::kCPU).contiguous();
      sources.push_back({.name = name,
                         .format = to_block_format(dense.scalar_type()),
                         .shape = dense.sizes().vec(),
                         .bytes = dense.nbytes(),
                         .write = [dense](const auto& sink) { sink(dense.const_data_ptr(), dense.nbytes()); }});
    }
    write_safetensors(path, sources);
  });
}

std::vector<NamedTensor> load_safetensors(const std::string& path) {
  return guarded([&] {
    std::vector<NamedTensor> tensors;
    for (const TensorView& view : read_safetensors(path).tensors) {
      at::Tensor tensor = empty_tensor(view.shape, to_scalar_type(view.format));
      if (view.bytes > 0) std::memcpy(tensor.mutable_data_ptr(), view.data, view.bytes);
      tensors.emplace_back(view.name, std::move(tensor));
    }
    return tensors;
  });
}

}  // namespace powerhouse
