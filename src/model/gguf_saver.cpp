#include "model/gguf_saver.h"

#include <filesystem>

#include "formats/gguf_writer.h"
#include "model/gguf_config.h"
#include "model/gguf_description.h"
#include "model/saver.h"
#include "ops/dequantize.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

// llama.cpp's llama_ftype: what most tensors are.
std::uint32_t file_type(at::ScalarType type) {
  switch (to_dtype(type)) {
    case Dtype::f16: return 1;
    case Dtype::bf16: return 32;
    default: return 0;
  }
}

std::vector<TensorSource> tensor_sources(const Model& model) {
  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : model.weights.specs()) {
    if (spec.gguf.empty()) GgufConfig::refuse_unless(false, spec.name);
    const Assembly& assembly = spec.gguf.front();
    const at::ScalarType type = stays_float32(spec, assembly) ? at::kFloat : model.type;
    const std::vector<std::int64_t>& shape = assembly.shape;
    std::size_t bytes = c10::elementSize(type);
    for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
    for (std::size_t part = 0; part < assembly.names.size(); ++part) {
      sources.push_back({.name = assembly.names[part],
                         .format = to_block_format(type),
                         .shape = shape,
                         .bytes = bytes,
                         .write = [&weight = model.weights.weight(spec), &assembly, part, type](const auto& sink) {
                           // Blocks become numbers for the time of writing them.
                           const at::Tensor matrix =
                               is_quantized(weight) ? dequantized(weight, type) : weight.matrix().detach();
                           at::Tensor tensor = stored_part(matrix, assembly, static_cast<std::int64_t>(part)).to(type);
                           if (assembly.offset != 0.0f) tensor = tensor.add(assembly.offset);
                           sink(tensor.const_data_ptr(), tensor.nbytes());
                         }});
    }
  }
  return sources;
}

}  // namespace

void save_gguf(const Model& model, const std::string& path) {
  GgufDescription file =
      describe_as_gguf(*model.architecture, model.config, model.origin, std::filesystem::path(path).stem().string());
  file.metadata.push_back({"general.file_type", file_type(model.type)});
  file.metadata.push_back({"general.quantization_version", kGgufQuantizationVersion});
  std::vector<TensorSource> tensors;
  for (const auto& [tensor, values] : file.tensors) {
    tensors.push_back(
        {.name = tensor,
         .format = BlockFormat::f32,
         .shape = {static_cast<std::int64_t>(values.size())},
         .bytes = values.size() * sizeof(float),
         .write = [values = values](const auto& sink) { sink(values.data(), values.size() * sizeof(float)); }});
  }
  const std::vector<TensorSource> weights = tensor_sources(model);
  tensors.insert(tensors.end(), weights.begin(), weights.end());
  write_gguf(path, file.metadata, tensors, file.check);
}

}  // namespace powerhouse
