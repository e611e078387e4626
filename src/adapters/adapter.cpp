#include "adapters/adapter.h"

namespace powerhouse {

namespace {

std::string module_and_part(const AdapterLeaf& leaf) {
  std::string name(leaf.module);
  if (!name.empty() && !leaf.part.empty()) name += '.';
  return name += leaf.part;
}

}  // namespace

std::string AdapterLeaf::file_name() const { return module_and_part(*this).append(suffix); }

std::string AdapterLeaf::running_name(const std::string& adapter) const {
  return module_and_part(*this).append(1, '.').append(adapter).append(suffix);
}

std::vector<AdapterLeaf> leaves(Adapter& adapter) {
  std::vector<AdapterLeaf> out;
  const auto add = [&out](std::string module, std::string_view part, at::Tensor& tensor, std::string_view suffix) {
    if (tensor.defined()) out.push_back({std::move(module), part, &tensor, suffix});
  };
  for (LoraModule& lora : adapter.lora) {
    const std::string name = "base_model.model." + lora.file_name;
    const bool embedding = lora.module.kind == ModuleKind::embedding;
    add(name, embedding ? "lora_embedding_A" : "lora_A", lora.a, embedding ? "" : ".weight");
    add(name, embedding ? "lora_embedding_B" : "lora_B", lora.b, embedding ? "" : ".weight");
    add(name, "lora_B", lora.bias, ".bias");
    add(name, "lora_magnitude_vector", lora.magnitude, "");
  }
  for (SavedParameter& saved : adapter.saved) {
    const auto dot = saved.file_name.rfind('.');
    const std::string_view suffix = std::string_view(saved.file_name).substr(dot);
    add("base_model.model." + saved.file_name.substr(0, dot), "", saved.tensor, suffix);
  }
  if (adapter.tokens.rows.defined()) {
    add("base_model.model." + adapter.tokens.module, "token_adapter.trainable_tokens_delta", adapter.tokens.rows, "");
  }
  for (Ia3Module& ia3 : adapter.ia3) add("base_model.model." + ia3.module.name, "ia3_l", ia3.scale, "");
  add("", "prompt_embeddings", adapter.virtual_tokens, "");
  return out;
}

}  // namespace powerhouse
