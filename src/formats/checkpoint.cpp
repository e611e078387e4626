#include "formats/checkpoint.h"

#include <filesystem>

#include "formats/bitsandbytes.h"
#include "formats/quantized_folder.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;

bool has_file(const std::string& folder, const char* name) { return may_exist(folder + "/" + name); }

// As transformers chooses where several stand in a folder.
std::vector<TensorView> folder_tensors(const std::string& folder, std::vector<std::string>* missing) {
  const bool safetensors = has_file(folder, "model.safetensors") || has_file(folder, "model.safetensors.index.json");
  const bool pickled = has_file(folder, "pytorch_model.bin") || has_file(folder, "pytorch_model.bin.index.json");
  return !safetensors && pickled ? read_torch_folder(folder, missing) : read_safetensors_folder(folder, missing);
}

Checkpoint open(const std::string& path, bool with_tensors, bool complete) {
  Checkpoint checkpoint{.kind = checkpoint_kind(path), .path = path};
  std::vector<std::string>* missing = complete ? nullptr : &checkpoint.missing;
  if (checkpoint.kind == CheckpointKind::gguf) {
    checkpoint.gguf = GgufFile::open(path, missing);
    if (with_tensors) checkpoint.tensors = checkpoint.gguf->tensors();
    return checkpoint;
  }
  if (!has_file(path, "config.json")) {
    throw Error(ErrorKind::not_found, "no config.json in this folder", {.file = path, .field = "config.json"});
  }
  checkpoint.config = Json::parse_file(path + "/config.json");
  if (!checkpoint.config.is_object()) {
    throw Error(ErrorKind::format, "not a JSON object", {.file = path + "/config.json"});
  }
  if (has_file(path, "generation_config.json")) {
    checkpoint.generation_config = Json::parse_file(path + "/generation_config.json");
  }
  if (!with_tensors) return checkpoint;
  checkpoint.tensors = folder_tensors(path, missing);
  const Json quantization = quantization_of(checkpoint.config, path);
  if (quantization.string_or("quant_method", "") == "bitsandbytes") {
    checkpoint.tensors = join_bitsandbytes(std::move(checkpoint.tensors));
  } else if (quantization.is_object()) {
    JoinedTensors folder =
        join_quantized(std::move(checkpoint.tensors), quantization, path, checkpoint.missing.empty());
    checkpoint.tensors = std::move(folder.tensors);
    checkpoint.quantization = std::move(folder.config);
  }
  return checkpoint;
}

}  // namespace

CheckpointKind checkpoint_kind(const std::string& path) {
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (status.type() == fs::file_type::not_found) {
    throw Error(ErrorKind::not_found, "no such file or folder", {.file = path});
  }
  if (!fs::status_known(status)) throw Error(ErrorKind::io, "cannot open: " + failure.message(), {.file = path});
  return fs::is_directory(status) ? CheckpointKind::hugging_face : CheckpointKind::gguf;
}

Checkpoint open_checkpoint(const std::string& path, bool with_tensors) { return open(path, with_tensors, true); }

Checkpoint open_incomplete_checkpoint(const std::string& path) { return open(path, true, false); }

}  // namespace powerhouse
