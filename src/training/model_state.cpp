#include "training/model_state.h"

#include <ATen/core/Tensor.h>

#include <map>

#include "adapters/peft_config.h"
#include "adapters/registry.h"
#include "model/api_guard.h"
#include "model/model_fingerprint.h"
#include "powerhouse/adapter.h"
#include "powerhouse/error.h"
#include "powerhouse/sequence_classifier.h"
#include "support/mapped_file.h"

namespace powerhouse {
namespace {

constexpr const char* kTrainable = "/trainable.safetensors";
constexpr const char* kOptimizer = "/optimizer.safetensors";
constexpr std::uint64_t kLongestConfig = std::uint64_t{1} << 24;

void copy_into(const std::string& name, const at::Tensor& target, const at::Tensor& source, const std::string& file) {
  if (source.sizes() != target.sizes() || source.scalar_type() != target.scalar_type()) {
    throw Error(ErrorKind::format, "a tensor of another shape or type", {.file = file, .field = name});
  }
  target.detach().copy_(source);
}

// Where an adapter lies in a folder of several.
std::string folder_of(const std::string& folder, const std::vector<std::string>& adapters, const std::string& name) {
  return name == adapters.front() ? folder : folder + "/" + name;
}

// A whole model, with the head that `model` has.
CausalLM saved_like(const CausalLM& model, const std::string& folder) {
  const LoadOptions options{.dtype = model.dtype()};
  if (!model.config().sequence_head) return CausalLM::from_pretrained(folder, options);
  SequenceClassifier saved = SequenceClassifier::from_pretrained(folder, options);
  return std::move(saved.model());
}

}  // namespace

void save_trained(const CausalLM& model, const std::string& folder) {
  const std::vector<std::string> adapters = adapter_names(model);
  if (adapters.empty()) return model.save_pretrained(folder);
  for (const std::string& name : adapters) {
    model.save_adapter(name, folder_of(folder, adapters, name));
  }
  // An adapter's base keeps its own files, which name other tokens.
  const Model& base = *model.impl().model;
  if (!base.role_tokens.empty()) {
    write_files(folder, tokenizer_files(base.origin, base.config, base.role_tokens));
  }
}

void save_weights(const CausalLM& model, const std::string& folder) {
  save_trained(model, folder);
  if (!adapter_names(model).empty()) save_safetensors(folder + kTrainable, model.trainable_parameters());
}

void save_optimizer(const Optimizer& optimizer, const std::string& folder) {
  const std::vector<NamedTensor> state = optimizer.state_dict();
  if (!state.empty()) save_safetensors(folder + kOptimizer, state);
}

void restore_tensors(const std::string& file, const std::vector<NamedTensor>& tensors) {
  std::map<std::string, at::Tensor> saved;
  for (auto& [name, tensor] : load_safetensors(file)) saved.emplace(name, tensor);
  if (saved.size() != tensors.size()) {
    throw Error(
        ErrorKind::format, "a checkpoint of other parameters",
        {.file = file, .expected = std::to_string(tensors.size()) + " tensors", .found = std::to_string(saved.size())});
  }
  for (const auto& [name, tensor] : tensors) {
    const auto found = saved.find(name);
    if (found == saved.end()) throw Error(ErrorKind::format, "the tensor is missing", {.file = file, .field = name});
    copy_into(name, tensor, found->second, file);
  }
}

void restore_weights(CausalLM& model, const std::string& folder) {
  guarded([&] {
    const std::vector<NamedTensor> parameters = model.trainable_parameters();
    const std::string file = folder + kTrainable;
    if (!may_exist(file)) {
      const CausalLM saved = saved_like(model, folder);
      for (const auto& [name, tensor] : parameters) copy_into(name, tensor, saved.parameter(name), folder);
      return;
    }
    restore_tensors(file, parameters);
  });
}

void check_adapter_options(const CausalLM& model, const std::string& folder) {
  const std::vector<std::string> adapters = adapter_names(model);
  for (const auto& adapter : registry_of(model.impl()).adapters) {
    const std::string file = folder_of(folder, adapters, adapter->name) + "/adapter_config.json";
    if (!may_exist(file)) continue;
    const Json saved = Json::parse_file(file, kLongestConfig);
    const Json own = write_peft_config(*adapter, *model.impl().model, "");
    for (const char* key : {"r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern"}) {
      const Json* before = saved.get(key);
      const Json* now = own.get(key);
      if (before == nullptr || now == nullptr || before->dump() == now->dump()) continue;
      throw Error(ErrorKind::usage, "the checkpoint's adapter has another option than this run's",
                  {.file = file, .field = key, .expected = before->dump(), .found = now->dump()});
    }
  }
}

std::string not_finite_parameter(const CausalLM& model) {
  for (const auto& [name, tensor] : model.trainable_parameters()) {
    if (!tensor.detach().isfinite().all().item<bool>()) return name;
  }
  return "";
}

std::int64_t longest_row(const CausalLM& model) {
  return longest_sequence(model.config()) - model.impl().virtual_tokens();
}

std::string base_fingerprint(const CausalLM& model) {
  return adapter_names(model).empty() ? "" : model_fingerprint(*model.impl().model);
}

void restore_optimizer(Optimizer& optimizer, const std::string& folder) {
  guarded([&] {
    const std::string file = folder + kOptimizer;
    if (!may_exist(file) && optimizer.state_dict().empty()) return;
    try {
      optimizer.load_state_dict(load_safetensors(file));
    } catch (const Error& error) {
      throw error.in_file(file);
    }
  });
}

}  // namespace powerhouse
