#include "model/saver.h"

#include <filesystem>

#include "formats/safetensors.h"
#include "model/bitsandbytes_saver.h"
#include "model/llama3_factors.h"
#include "model/packed_saver.h"
#include "model/tokenizer_files.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/atomic_write.h"
#include "support/json.h"
#include "support/mapped_file.h"

namespace powerhouse {

std::string_view torch_dtype(at::ScalarType type) {
  switch (to_dtype(type)) {
    case Dtype::bf16: return "bfloat16";
    case Dtype::f16: return "float16";
    default: return "float32";
  }
}

namespace {

// Rows of each tensor of an assembly, as `place` counts them, where the whole has `dimensions`.
std::int64_t rows_of(const Assembly& assembly, std::int64_t dimensions) {
  const std::vector<std::int64_t>& shape = assembly.shape;
  if (shape.size() == 1 && dimensions == 2) return 1;
  std::int64_t rows = shape.front();
  for (std::size_t i = 1; i + (assembly.by_element ? 0 : 1) < shape.size(); ++i) rows *= shape[i];
  return rows;
}

Json id_list(const std::vector<std::int64_t>& ids) {
  if (ids.size() == 1) return ids.front();
  Json::Array list;
  for (const std::int64_t id : ids) list.emplace_back(id);
  return list;
}

// GGUF's table of factors in config.json's words.
ModelConfig as_folders_say(ModelConfig config) {
  for (Block& block : config.layers) block.rope = with_llama3_named(block.rope);
  return config;
}

// Nothing is padded here, but transformers looks for it: of the folder that the model is from. Null where there is
// none, for transformers has an id of its own for some families, which may lie beyond the vocabulary.
Json padding_of(const Model& model) {
  for (const RoleToken& role : model.role_tokens) {
    if (role.role == "pad_token") return role.id;
  }
  const std::string file = model.origin + "/config.json";
  if (model.origin.empty() || !may_exist(file)) return {};
  const Json config = Json::parse_file(file);
  const Json* id = config.get("pad_token_id");
  if (id == nullptr || !id->is_integer()) return {};
  const std::int64_t pad = id->as_integer("pad_token_id");
  return pad >= 0 && pad < model.config.vocab_size ? Json(pad) : Json();
}

}  // namespace

at::Tensor stored_part(const at::Tensor& given, const Assembly& assembly, std::int64_t part) {
  const at::Tensor matrix = given.to(at::kCPU);
  if (assembly.transposed) return matrix.transpose(-2, -1).contiguous();
  if (!assembly.place) return matrix.contiguous();
  // Our rows in the order of the file's.
  const at::Tensor flat = assembly.by_element ? matrix.flatten()
                          : matrix.dim() > 2  ? matrix.flatten(0, matrix.dim() - 2)
                                              : matrix;
  std::vector<std::int64_t> order(static_cast<std::size_t>(rows_of(assembly, matrix.dim())));
  for (std::int64_t row = 0; row < flat.size(0); ++row) {
    const StoredRow place = assembly.place(row);
    if (place.tensor == part) order[static_cast<std::size_t>(place.row)] = row;
  }
  return flat.index_select(0, index_tensor(order)).contiguous();
}

void add_sources(std::vector<TensorSource>& sources, const at::Tensor& matrix, const Assembly& assembly) {
  for (std::size_t part = 0; part < assembly.names.size(); ++part) {
    std::size_t bytes = matrix.element_size();
    for (const std::int64_t size : assembly.shape) bytes *= static_cast<std::size_t>(size);
    sources.push_back({.name = assembly.names[part],
                       .format = to_block_format(matrix.scalar_type()),
                       .shape = assembly.shape,
                       .bytes = bytes,
                       .write = [matrix = matrix.detach(), &assembly, part](const auto& sink) {
                         const at::Tensor tensor = stored_part(matrix, assembly, static_cast<std::int64_t>(part));
                         sink(tensor.const_data_ptr(), tensor.nbytes());
                       }});
  }
}

Json folder_config(const Model& model) {
  Json config = write_hf_config(*model.architecture, as_folders_say(model.config));
  config.as_object()["torch_dtype"] = std::string(torch_dtype(model.type));
  if (model.config.bos_token_id) config.as_object()["bos_token_id"] = *model.config.bos_token_id;
  if (!model.config.eos_token_ids.empty()) config.as_object()["eos_token_id"] = id_list(model.config.eos_token_ids);
  if (!model.config.sequence_head) config.as_object()["pad_token_id"] = padding_of(model);
  return config;
}

void save_folder(const Model& model, const std::string& folder, const SaveOptions& options) {
  Json config = folder_config(model);
  for (Json quantization : {bitsandbytes_config(model), packed_config(model)}) {
    if (quantization.is_object()) config.as_object()["quantization_config"] = std::move(quantization);
  }

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

  std::error_code unknown;
  const bool in_place = std::filesystem::equivalent(folder, model.origin, unknown);
  const bool as_it_is = in_place && model.role_tokens.empty();
  const std::vector<FolderFile> tokenizer =
      as_it_is ? std::vector<FolderFile>() : tokenizer_files(model.origin, model.config, model.role_tokens);

  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : model.weights.specs()) {
    const Weight& weight = model.weights.weight(spec);
    if (add_bitsandbytes(sources, weight, spec.hf.front(), model.type)) continue;
    if (add_packed(sources, weight, spec.hf.front())) continue;
    add_sources(sources, weight.matrix(), spec.hf.front());
  }
  write_safetensors_folder(folder, sources, options.max_shard_bytes);
  write_atomically(folder + "/config.json", config.dump(2) + "\n");
  write_files(folder, tokenizer);
  if (generation.is_object()) write_atomically(generation_path, generation.dump(2) + "\n");
}

}  // namespace powerhouse
