#include "model/saver.h"

#include <filesystem>

#include "formats/safetensors.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/atomic_write.h"
#include "support/json.h"
#include "support/mapped_file.h"

namespace powerhouse {
namespace {

std::string_view torch_dtype(at::ScalarType type) {
  switch (to_dtype(type)) {
    case Dtype::bf16: return "bfloat16";
    case Dtype::f16: return "float16";
    default: return "float32";
  }
}

Json id_list(const std::vector<std::int64_t>& ids) {
  if (ids.size() == 1) return ids.front();
  Json::Array list;
  for (const std::int64_t id : ids) list.emplace_back(id);
  return list;
}

}  // namespace

void save_folder(const Model& model, const std::string& folder, const SaveOptions& options) {
  Json config = model.architecture->to_hf(model.config);
  config.as_object()["torch_dtype"] = std::string(torch_dtype(model.type));
  if (model.config.bos_token_id) config.as_object()["bos_token_id"] = *model.config.bos_token_id;
  if (!model.config.eos_token_ids.empty()) config.as_object()["eos_token_id"] = id_list(model.config.eos_token_ids);

  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw Error(ErrorKind::io, "cannot create the folder: " + failure.message(), {.file = folder});

  // A generation_config.json that lies there overrules config.json on when to stop; the rest of it is the user's.
  const std::string generation_path = folder + "/generation_config.json";
  Json generation;
  if (may_exist(generation_path)) generation = Json::parse_file(generation_path);
  if (generation.is_object()) {
    const auto& ids = model.config.eos_token_ids;
    generation.as_object()["eos_token_id"] = ids.empty() ? Json() : id_list(ids);
  }

  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : model.weights.specs()) {
    const at::Tensor tensor = model.weights.weight(spec).tensor().detach().contiguous();
    sources.push_back({.name = spec.hf_name,
                       .format = to_block_format(tensor.scalar_type()),
                       .shape = tensor.sizes().vec(),
                       .bytes = tensor.nbytes(),
                       .write = [tensor](const auto& sink) { sink(tensor.const_data_ptr(), tensor.nbytes()); }});
  }
  write_safetensors_folder(folder, sources, options.max_shard_bytes);
  write_atomically(folder + "/config.json", config.dump(2) + "\n");
  if (generation.is_object()) write_atomically(generation_path, generation.dump(2) + "\n");
}

}  // namespace powerhouse
