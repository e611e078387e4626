#include "adapters/adapter_tensors.h"

#include <ATen/ops/isfinite_ops.h>

#include <cstring>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/shape_text.h"

namespace powerhouse {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";

// "a.b" of "a.b.weight".
std::string without_parameter(const std::string& name) { return name.substr(0, name.rfind('.')); }

// Where a leaf may stand: under its own name, or that of another spelling of its module.
std::vector<std::string> spellings(const AdapterLeaf& leaf, const HfModule* module) {
  std::vector<std::string> names = {leaf.file_name()};
  if (leaf.part == "lora_magnitude_vector") names.push_back(leaf.file_name() + ".weight");
  if (module == nullptr || module->kind == ModuleKind::experts || module->weight->role != module->role) return names;
  for (const std::string& alias : module->weight->aliases) {
    AdapterLeaf other = leaf;
    other.module = std::string(kPrefix) + without_parameter(alias);
    names.push_back(other.file_name());
  }
  return names;
}

const HfModule* module_of(const Adapter& adapter, const at::Tensor* tensor) {
  for (const LoraModule& lora : adapter.lora) {
    for (const at::Tensor* own : {&lora.a, &lora.b, &lora.bias, &lora.magnitude}) {
      if (own == tensor) return &lora.module;
    }
  }
  return nullptr;
}

LoraModule* experts_of(Adapter& adapter, const at::Tensor* tensor) {
  for (LoraModule& lora : adapter.lora) {
    if (lora.module.kind == ModuleKind::experts && (&lora.a == tensor || &lora.b == tensor)) return &lora;
  }
  return nullptr;
}

}  // namespace

AdapterTensors::AdapterTensors(std::string path, std::span<const TensorView> views) : path_(std::move(path)) {
  for (const TensorView& view : views) by_name_.emplace(view.name, &view);
}

const TensorView* AdapterTensors::take(const std::string& name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  taken_.insert(found->second->name);
  return found->second;
}

at::Tensor AdapterTensors::read(const TensorView& view) const {
  at::Tensor tensor = empty_tensor(view.shape, to_scalar_type(view.format));
  if (!tensor.is_floating_point()) {
    throw Error(ErrorKind::format, "an adapter's tensor is not of a float type",
                {.file = path_, .field = view.name, .found = std::string(block_info(view.format).name)});
  }
  if (view.bytes > 0) std::memcpy(tensor.mutable_data_ptr(), view.data, view.bytes);
  if (!at::_ops::isfinite::call(tensor).all().item<bool>()) {
    throw Error(ErrorKind::format, "an adapter's tensor holds NaN or infinity", {.file = path_, .field = view.name});
  }
  return tensor;
}

void AdapterTensors::assign(at::Tensor& tensor, const at::Tensor& value, const std::string& name) const {
  if (value.sizes() != tensor.sizes()) {
    throw Error(
        ErrorKind::format, "an adapter's tensor does not fit the model and adapter_config.json",
        {.file = path_, .field = name, .expected = shape_text(tensor.sizes()), .found = shape_text(value.sizes())});
  }
  tensor = value.to(tensor.scalar_type());
}

bool AdapterTensors::fill_leaf(const AdapterLeaf& leaf, std::span<const std::string> names) {
  for (const std::string& name : names) {
    if (const TensorView* view = take(name)) {
      assign(*leaf.tensor, read(*view), name);
      return true;
    }
  }
  return false;
}

// Experts one by one, as before transformers 5. A and B of gate and up stand side by side: twice the rank, B in blocks.
bool AdapterTensors::fill_from_experts(LoraModule& lora) {
  const std::int64_t experts = lora.module.experts;
  for (const Assembly& assembly : lora.module.weight->hf) {
    const auto parts = static_cast<std::int64_t>(assembly.names.size()) / experts;
    if (parts < 1 || assembly.names.size() % static_cast<std::size_t>(experts) != 0 || assembly.names.size() < 2)
      continue;
    const auto name = [&](std::int64_t expert, std::int64_t part, std::string_view letter) {
      const std::string& whole = assembly.names[static_cast<std::size_t>(expert * parts + part)];
      return std::string(kPrefix) + without_parameter(whole) + ".lora_" + std::string(letter) + ".weight";
    };
    if (!by_name_.contains(name(0, 0, "A"))) continue;
    at::Tensor a = lora.a.new_zeros(lora.a.sizes()).view({experts, lora.rank, -1});
    at::Tensor b = lora.b.new_zeros(lora.b.sizes()).view({lora.b.size(0), lora.rank, experts});
    const std::int64_t rank = lora.rank / parts, outputs = lora.b.size(0) / parts;
    for (std::int64_t expert = 0; expert < experts; ++expert) {
      for (std::int64_t part = 0; part < parts; ++part) {
        at::Tensor a_part = a.select(0, expert).narrow(0, part * rank, rank);
        at::Tensor b_part = b.select(2, expert).narrow(0, part * outputs, outputs).narrow(1, part * rank, rank);
        for (const auto& [letter, target] : {std::pair("A", a_part), std::pair("B", b_part)}) {
          const TensorView* view = take(name(expert, part, letter));
          if (view == nullptr) return false;
          at::Tensor value = target;
          assign(value, read(*view), view->name);
          target.copy_(value);
        }
      }
    }
    lora.a = a.view(lora.a.sizes());
    lora.b = b.reshape(lora.b.sizes());
    return true;
  }
  return false;
}

// PEFT adds the weights of embeddings and head where they are targeted. They count where they are not the model's.
void AdapterTensors::fill_base_layers(Adapter& adapter, const Model& model) {
  for (const LoraModule& lora : adapter.lora) {
    const HfModule& module = lora.module;
    if (module.role != Role::embed_tokens && module.role != Role::lm_head) continue;
    const std::string name = std::string(kPrefix) + module.name + ".base_layer.weight";
    const TensorView* view = take(name);
    if (view == nullptr) continue;
    const at::Tensor base = weight_of(model, module).tensor();
    at::Tensor value = base;
    assign(value, read(*view), name);
    if (value.equal(base.detach())) continue;
    adapter.saved.push_back(
        {.spec = module.weight, .file_name = name.substr(kPrefix.size()), .tensor = value, .role = module.role});
  }
}

void AdapterTensors::fill(Adapter& adapter, const Model& model) {
  std::string missing;
  std::set<const LoraModule*> fused;
  for (const AdapterLeaf& leaf : leaves(adapter)) {
    if (fill_leaf(leaf, spellings(leaf, module_of(adapter, leaf.tensor)))) continue;
    LoraModule* experts = experts_of(adapter, leaf.tensor);
    if (experts != nullptr && (fused.contains(experts) || fill_from_experts(*experts))) {
      fused.insert(experts);
      continue;
    }
    missing = leaf.file_name();
    break;
  }
  if (!missing.empty()) {
    throw Error(ErrorKind::format, "the adapter lacks a tensor", {.file = path_, .field = missing});
  }
  fill_base_layers(adapter, model);
  for (const auto& [name, view] : by_name_) {
    if (taken_.contains(name)) continue;
    throw Error(ErrorKind::format, "the model has no place for a tensor of the adapter",
                {.file = path_, .field = std::string(name)});
  }
}

}  // namespace powerhouse
