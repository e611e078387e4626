#include "adapters/peft_files.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "adapters/adapter_tensors.h"
#include "adapters/peft_config.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/atomic_write.h"

namespace powerhouse {
namespace {

namespace fs = std::filesystem;

Json open_config(const std::string& folder) {
  const std::string path = folder + "/adapter_config.json";
  if (!fs::is_directory(folder)) throw Error(ErrorKind::not_found, "no such folder of an adapter", {.file = folder});
  if (!fs::exists(path)) {
    throw Error(ErrorKind::not_found, "the folder holds no adapter", {.file = folder, .field = "adapter_config.json"});
  }
  return Json::parse_file(path, std::uint64_t{1} << 24);
}

std::string tensor_path(const std::string& folder) {
  for (const char* name : {"/adapter_model.safetensors", "/adapter_model.bin"}) {
    if (fs::exists(folder + name)) return folder + name;
  }
  throw Error(ErrorKind::not_found, "the adapter has no tensors",
              {.file = folder, .field = "adapter_model.safetensors"});
}

std::vector<TensorView> views_of(const std::string& path) {
  return path.ends_with(".bin") ? read_torch_file(path) : read_safetensors(path).tensors;
}

struct Making {
  const Model& model;
  const std::string& name;

  Adapter operator()(const LoraConfig& config) const { return make_lora(model, name, config, Start::from_file); }
  Adapter operator()(const Ia3Config& config) const { return make_ia3(model, name, config); }
  Adapter operator()(const PromptTuningConfig& config) const { return make_prompt(model, name, config); }
  Adapter operator()(const PrefixTuningConfig& config) const { return make_prefix(model, name, config); }
};

}  // namespace

Adapter load_peft_folder(const Model& model, const std::string& folder, const std::string& name) {
  const Json json = open_config(folder);
  const std::string path = tensor_path(folder);
  Adapter adapter = [&] {
    try {
      return std::visit(Making{model, name}, read_peft_config(json));
    } catch (const Error& error) {
      throw error.in_file(folder + "/adapter_config.json");
    }
  }();
  const std::vector<TensorView> views = views_of(path);
  AdapterTensors tensors(path, views);
  tensors.fill(adapter, model);
  return adapter;
}

void save_peft_folder(const Model& model, const Adapter& given, const std::string& folder) {
  Adapter adapter = as_plain_lora(given);
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(ErrorKind::io, "cannot create the folder: " + failure.message(), {.file = folder});
  std::vector<TensorSource> sources;
  for (const AdapterLeaf& leaf : leaves(adapter)) {
    const at::Tensor dense = leaf.tensor->detach().to(at::kCPU).contiguous();
    sources.push_back({.name = leaf.file_name(),
                       .format = to_block_format(dense.scalar_type()),
                       .shape = dense.sizes().vec(),
                       .bytes = dense.nbytes(),
                       .write = [dense](const auto& sink) { sink(dense.const_data_ptr(), dense.nbytes()); }});
  }
  const std::pair<std::string, std::string> format{"format", "pt"};
  write_safetensors(folder + "/adapter_model.safetensors", sources, {&format, 1});
  write_atomically(folder + "/adapter_config.json", write_peft_config(adapter, model, model.origin).dump(2) + "\n");
}

Adapter as_plain_lora(const Adapter& adapter) {
  Adapter out = adapter;
  auto* config = std::get_if<LoraConfig>(&out.config);
  if (config == nullptr || out.lora.empty() || !out.lora.front().first_a.defined()) return out;
  const bool patterns = !config->rank_pattern.empty() || !config->alpha_pattern.empty();
  if (config->use_rslora && patterns) {
    throw Error(ErrorKind::unsupported, "rsLoRA with patterns can't be written as LoRA on the whole weight",
                {.field = "use_rslora"});
  }
  const double factor = config->use_rslora ? std::sqrt(2.0) : 2.0;  // the scale stays what it was
  config->init_lora_weights = "true";
  config->rank *= 2;
  config->alpha *= factor;
  for (auto& [pattern, rank] : config->rank_pattern) rank *= 2;
  for (auto& [pattern, alpha] : config->alpha_pattern) alpha *= factor;
  for (LoraModule& lora : out.lora) {
    lora.rank *= 2;
    lora.alpha *= factor;
    lora.a = concatenate({lora.a.detach(), lora.first_a.to(lora.a.scalar_type())}, 0);
    lora.b = concatenate({lora.b.detach(), lora.first_b.neg().to(lora.b.scalar_type())}, 1);
    lora.first_a = lora.first_b = at::Tensor();
  }
  return out;
}

}  // namespace powerhouse
