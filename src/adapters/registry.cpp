#include "adapters/registry.h"

#include <algorithm>

#include "adapters/gguf_files.h"
#include "adapters/peft_files.h"
#include "model/api_guard.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Kinds whose arithmetic can't be added up in one pass.
void check_together(AdapterRegistry& registry, std::span<const AdapterWeight> names) {
  for (const AdapterWeight& part : names) {
    const Adapter& adapter = registry.at(part.name);
    const Adapter& first = registry.at(names.front().name);
    const bool alone = !adapter.lora_config() && !std::holds_alternative<Ia3Config>(adapter.config);
    if (adapter.config.index() != first.config.index() || (alone && names.size() > 1)) {
      throw Error(ErrorKind::unsupported, "adapters of these kinds are not active together",
                  {.field = part.name, .found = std::string(adapter.peft_type())});
    }
    if (part.weight != 1 && adapter.lora_config() == nullptr) {
      throw Error(ErrorKind::unsupported, "only LoRA adapters take a weight",
                  {.field = part.name, .found = std::string(adapter.peft_type())});
    }
  }
}

}  // namespace

Adapter* AdapterRegistry::find(const std::string& name) {
  for (const auto& adapter : adapters) {
    if (adapter->name == name) return adapter.get();
  }
  return nullptr;
}

Adapter& AdapterRegistry::at(const std::string& name) {
  if (Adapter* adapter = find(name)) return *adapter;
  std::string names;
  for (const auto& adapter : adapters) names += (names.empty() ? "" : ", ") + adapter->name;
  throw Error(ErrorKind::not_found, "no such adapter",
              {.field = "adapter", .expected = names.empty() ? "none is loaded" : "one of " + names, .found = name});
}

bool AdapterRegistry::is_merged(const std::string& name) const {
  return std::any_of(merged.begin(), merged.end(), [&](const MergedAdapter& m) { return m.name == name; });
}

AdapterRegistry& registry_of(CausalLM::Impl& impl) {
  if (!impl.registry) impl.registry = std::make_shared<AdapterRegistry>();
  return *impl.registry;
}

const AdapterRegistry& registry_of(const CausalLM::Impl& impl) {
  static const AdapterRegistry kNone;
  return impl.registry ? *impl.registry : kNone;
}

void check_name(const CausalLM::Impl& impl, const std::string& name) {
  if (name.empty() || name.find('.') != std::string::npos) {
    throw Error(ErrorKind::usage, "not a name of an adapter",
                {.field = "name", .expected = "text without dots", .found = name});
  }
  if (impl.registry && impl.registry->find(name) != nullptr) {
    throw Error(ErrorKind::usage, "an adapter of this name is there already", {.field = "name", .found = name});
  }
}

void insert(CausalLM::Impl& impl, Adapter adapter, bool trainable) {
  for (const AdapterLeaf& leaf : leaves(adapter)) {
    *leaf.tensor = leaf.tensor->detach().to(impl.model->device()).contiguous().set_requires_grad(trainable);
  }
  for (LoraModule& module : adapter.lora) {
    for (at::Tensor* const first : {&module.first_a, &module.first_b}) {
      if (first->defined()) *first = first->to(impl.model->device());
    }
  }
  AdapterRegistry& registry = registry_of(impl);
  const std::string name = adapter.name;
  registry.adapters.push_back(std::make_unique<Adapter>(std::move(adapter)));
  registry.active = {{.name = name}};
  rebuild(impl);
}

void rebuild(CausalLM::Impl& impl) {
  AdapterRegistry& registry = registry_of(impl);
  AdapterTable table;
  for (const AdapterWeight& part : registry.active) {
    if (registry.is_merged(part.name)) continue;
    add_to_table(table, *impl.model, registry.at(part.name), part.weight);
  }
  impl.adapters = table.empty() ? nullptr : std::make_shared<const AdapterTable>(std::move(table));
}

// ---------------------------------------------------------------------------------------------- the public interface

namespace {

ModelGate::Writing writing(CausalLM& model, std::string_view what) { return {model.impl().gate, what}; }

template <typename Config>
void add(CausalLM& model, const std::string& name, const Config& config,
         Adapter (*make)(const Model&, const std::string&, const Config&)) {
  guarded([&] {
    CausalLM::Impl& impl = model.impl();
    const auto alone = writing(model, "adding an adapter");
    check_name(impl, name);
    insert(impl, make(*impl.model, name, config), true);
  });
}

}  // namespace

void CausalLM::add_adapter(const std::string& name, const LoraConfig& config) {
  add<LoraConfig>(*this, name, config, [](const Model& model, const std::string& text, const LoraConfig& options) {
    return make_lora(model, text, options);
  });
}

namespace {

// Their files have no room for a head, which must train along.
void check_head(const CausalLM& model, std::string_view kind) {
  if (!model.config().sequence_head) return;
  throw Error(ErrorKind::unsupported, "of a model with a head over sequences only LoRA trains the head",
              {.field = "peft_type", .expected = "LORA", .found = std::string(kind)});
}

}  // namespace

void add_adapter(CausalLM& model, const std::string& name, const Ia3Config& config) {
  check_head(model, "IA3");
  add(model, name, config, make_ia3);
}

void add_adapter(CausalLM& model, const std::string& name, const PromptTuningConfig& config) {
  check_head(model, "PROMPT_TUNING");
  add(model, name, config, make_prompt);
}

void add_adapter(CausalLM& model, const std::string& name, const PrefixTuningConfig& config) {
  check_head(model, "PREFIX_TUNING");
  add(model, name, config, make_prefix);
}

void CausalLM::load_adapter(const std::string& path, const std::string& name, bool trainable) {
  guarded([&] {
    const auto alone = writing(*this, "loading an adapter");
    check_name(*impl_, name);
    const bool gguf = path.ends_with(".gguf");
    insert(*impl_, (gguf ? load_gguf_adapter : load_peft_folder)(*impl_->model, path, name), trainable);
  });
}

void CausalLM::save_adapter(const std::string& name, const std::string& path) const {
  guarded([&] {
    const ModelGate::Reading reading(impl_->gate);
    const bool gguf = path.ends_with(".gguf");
    auto& registry = const_cast<AdapterRegistry&>(registry_of(*impl_));
    (gguf ? save_gguf_adapter : save_peft_folder)(*impl_->model, registry.at(name), path);
  });
}

void set_adapters(CausalLM& model, std::span<const AdapterWeight> adapters) {
  const auto alone = writing(model, "changing the active adapters");
  AdapterRegistry& registry = registry_of(model.impl());
  check_together(registry, adapters);
  registry.active.assign(adapters.begin(), adapters.end());
  rebuild(model.impl());
}

void set_adapter(CausalLM& model, const std::string& name) {
  const AdapterWeight one{.name = name};
  set_adapters(model, {&one, 1});
}

void disable_adapters(CausalLM& model) { set_adapters(model, {}); }

void delete_adapter(CausalLM& model, const std::string& name) {
  const auto alone = writing(model, "deleting an adapter");
  AdapterRegistry& registry = registry_of(model.impl());
  registry.at(name);
  if (registry.is_merged(name)) {
    throw Error(ErrorKind::usage, "a merged adapter is needed to take it out again",
                {.field = "adapter", .found = name});
  }
  std::erase_if(registry.adapters, [&](const auto& adapter) { return adapter->name == name; });
  std::erase_if(registry.active, [&](const AdapterWeight& part) { return part.name == name; });
  rebuild(model.impl());
}

std::vector<std::string> adapter_names(const CausalLM& model) {
  std::vector<std::string> names;
  for (const auto& adapter : registry_of(model.impl()).adapters) names.push_back(adapter->name);
  return names;
}

std::vector<AdapterWeight> active_adapters(const CausalLM& model) { return registry_of(model.impl()).active; }

std::vector<std::pair<std::string, at::Tensor>> adapter_tensors(const CausalLM& model, const std::string& name) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  auto& registry = const_cast<AdapterRegistry&>(registry_of(model.impl()));
  for (const AdapterLeaf& leaf : leaves(registry.at(name))) tensors.emplace_back(leaf.file_name(), *leaf.tensor);
  return tensors;
}

LoraPlusGroup lora_plus_group(std::string_view name, const at::Tensor& tensor) {
  if (name.find("lora_embedding_") != std::string_view::npos) return LoraPlusGroup::embedding;
  return name.find("lora_B") != std::string_view::npos || tensor.dim() == 1 ? LoraPlusGroup::b : LoraPlusGroup::a;
}

}  // namespace powerhouse
