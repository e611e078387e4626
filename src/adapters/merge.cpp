// Merging adapters into the weights, and taking them out again, in PEFT's arithmetic.
#include <algorithm>
#include <cmath>

#include "adapters/registry.h"
#include "adapters/requantize.h"
#include "model/api_guard.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// The scale times B A, as rows of outputs: what merging adds to the weight's matrix.
at::Tensor delta_of(const LoraModule& lora, double weight) {
  const HfModule& module = lora.module;
  const auto product = [&](const at::Tensor& a, const at::Tensor& b) {
    if (module.kind == ModuleKind::embedding) return b.matmul(a).transpose(0, 1);
    if (module.kind != ModuleKind::experts) return b.matmul(a);
    const at::Tensor left = b.view({b.size(0), -1, module.experts}).permute({2, 0, 1});  // [experts, out, r]
    return left.matmul(a.view({module.experts, -1, a.size(1)}));
  };
  at::Tensor delta = product(lora.a.detach(), lora.b.detach()).mul(lora.scale * weight);
  if (lora.first_a.defined()) delta = delta.sub(product(lora.first_a, lora.first_b), lora.scale);
  return delta;
}

// Merges into, and unmerges from, the weights of one model.
class Merger {
 public:
  Merger(Model& model, MergeOnto onto) : model_(model), onto_(onto) {}

  MergedAdapter merge(Adapter& adapter, double weight) {
    MergedAdapter merged{.name = adapter.name, .weight = weight};
    for (const SavedParameter& saved : adapter.saved) replace(merged, *saved.spec, saved.tensor);
    if (adapter.tokens.rows.defined()) {
      const ParameterSpec& spec = spec_of(Role::embed_tokens);
      const at::Tensor whole = tensor(spec);
      replace(merged, spec,
              whole.index_copy(0, adapter.tokens.indices, adapter.tokens.rows.detach().to(whole.scalar_type())));
    }
    for (const LoraModule& lora : adapter.lora) add(merged, lora, weight);
    for (const Ia3Module& ia3 : adapter.ia3) scale(ia3, false);
    return merged;
  }

  void unmerge(Adapter& adapter, const MergedAdapter& merged) {
    for (const LoraModule& lora : adapter.lora) take(merged, lora);
    for (const Ia3Module& ia3 : adapter.ia3) scale(ia3, true);
    for (const MergedParameter& parameter : merged.parameters) {
      if (!parameter.before.defined()) continue;
      for (const ParameterSpec& spec : model_.weights.specs()) {
        if (spec.role == parameter.role && spec.layer == parameter.layer && spec.is_bias == parameter.is_bias) {
          tensor(spec).copy_(parameter.before);
        }
      }
    }
  }

  MergeReport report() const {
    MergeReport out = report_;
    if (change_ > 0) out.relative_error = std::sqrt(error_ / change_);
    return out;
  }

 private:
  const ParameterSpec& spec_of(Role role) const {
    for (const ParameterSpec& spec : model_.weights.specs()) {
      if (spec.role == role && !spec.is_bias) return spec;
    }
    throw Error(ErrorKind::not_found, "the model has no such parameter");
  }

  // The model's own, apart from autograd.
  at::Tensor tensor(const ParameterSpec& spec) { return model_.weights.weight(spec).own().detach(); }
  at::Tensor matrix(const HfModule& module) {
    const at::Tensor whole = tensor(*module.weight);
    return module.weight->transposed ? whole.transpose(-2, -1) : whole;
  }

  void replace(MergedAdapter& merged, const ParameterSpec& spec, const at::Tensor& value) {
    at::Tensor whole = tensor(spec);
    merged.parameters.push_back(
        {.role = spec.role, .layer = spec.layer, .is_bias = spec.is_bias, .before = whole.clone()});
    whole.copy_(value.detach());
    ++report_.tensors;
  }

  void add(MergedAdapter& merged, const LoraModule& lora, double weight) {
    const HfModule& module = lora.module;
    const BlockFormat format = model_.weights.weight(*module.weight).format();
    const bool blocks = block_info(format).block_elements > 1;
    at::Tensor to = matrix(module);
    const at::Tensor before = onto_ == MergeOnto::requantized && blocks ? to.clone() : at::Tensor();
    const at::Tensor delta = delta_of(lora, weight);
    if (!lora.magnitude.defined()) {
      to.add_(delta);
    } else {
      const at::Tensor norm = dora_norm(lora, to, delta);
      to.copy_(to.add(delta).mul(factor(lora, norm)));
      merged.parameters.push_back({.role = module.role, .layer = module.layer, .norm = norm});
    }
    if (lora.bias.defined()) tensor(*module.bias).add_(lora.bias.detach(), lora.scale * weight);
    ++report_.tensors;
    if (before.defined()) requantize(to, before, format);
  }

  void requantize(at::Tensor& to, const at::Tensor& before, BlockFormat format) {
    const at::Tensor wanted = to.to(at::kFloat, false, /*copy=*/true);
    to.copy_(requantized(to, format));
    const at::Tensor error = to.to(at::kFloat).sub(wanted);
    report_.largest_error = std::max(report_.largest_error, error.abs().max().item<double>());
    error_ += error.square().sum().item<double>();
    change_ += wanted.sub(before.to(at::kFloat)).square().sum().item<double>();
  }

  // Over what each magnitude belongs to: an output, which in an embedding is a column.
  static at::Tensor dora_norm(const LoraModule& lora, const at::Tensor& base, const at::Tensor& delta) {
    const bool embedding = lora.module.kind == ModuleKind::embedding;
    return base.add(delta).norm(2, {embedding ? 0 : 1}, false).to(base.scalar_type());
  }
  static at::Tensor factor(const LoraModule& lora, const at::Tensor& norm) {
    const bool embedding = lora.module.kind == ModuleKind::embedding;
    return lora.magnitude.detach().div(norm).unsqueeze(embedding ? 0 : 1);
  }

  void take(const MergedAdapter& merged, const LoraModule& lora) {
    at::Tensor to = matrix(lora.module);
    const at::Tensor delta = delta_of(lora, merged.weight);
    if (!lora.magnitude.defined()) {
      to.sub_(delta.to(to.scalar_type()));
    } else {
      for (const MergedParameter& parameter : merged.parameters) {
        if (!parameter.norm.defined() || parameter.role != lora.module.role || parameter.layer != lora.module.layer) {
          continue;
        }
        to.copy_(to.div(factor(lora, parameter.norm)).sub(delta));
      }
    }
    if (lora.bias.defined()) tensor(*lora.module.bias).sub_(lora.bias.detach(), lora.scale * merged.weight);
  }

  // IA3, multiplied in or divided out.
  void scale(const Ia3Module& ia3, bool out) {
    at::Tensor to = matrix(ia3.module);
    const at::Tensor factors = out ? ia3.scale.detach().add(1e-8) : ia3.scale.detach();  // PEFT's tolerance
    to.copy_(out ? to.div(factors) : to.mul(factors));
    if (!ia3.feedforward && ia3.module.bias != nullptr) {
      at::Tensor bias = tensor(*ia3.module.bias);
      bias.copy_(out ? bias.div(factors.flatten()) : bias.mul(factors.flatten()));
    }
    report_.tensors += out ? 0 : 1;
  }

  Model& model_;
  MergeOnto onto_;
  MergeReport report_;
  double error_ = 0, change_ = 0;
};

// Before any weight is touched.
void check_mergeable(const Model& model, const Adapter& adapter, MergeOnto onto) {
  const auto refuse = [&](std::string_view why, const std::string& what) {
    throw Error(ErrorKind::unsupported, why, {.field = adapter.name, .found = what});
  };
  if (adapter.virtual_tokens.defined()) refuse("virtual tokens are no weights", std::string(adapter.peft_type()));
  const auto check_tied = [&](Role role, const std::string& name) {
    if (model.weights.tied_head() && (role == Role::embed_tokens || role == Role::lm_head)) {
      refuse("embeddings and head are one tensor, of which an adapter changes one", name);
    }
  };
  for (const LoraModule& lora : adapter.lora) {
    check_tied(lora.module.role, lora.module.name);
    if (lora.bias.defined() && lora.module.bias == nullptr) refuse("the base layer has no bias", lora.module.name);
    const BlockFormat format = weight_of(model, lora.module).format();
    if (onto == MergeOnto::requantized && block_info(format).block_elements > 1) check_requantizes(format);
  }
  for (const SavedParameter& saved : adapter.saved) check_tied(saved.role, saved.file_name);
}

// Every weight of blocks becomes dense with another checkpoint's values.
void take_original(Model& model, const std::string& path) {
  if (path.empty()) throw Error(ErrorKind::usage, "which checkpoint?", {.field = "original"});
  const CausalLM other = CausalLM::from_pretrained(path, {.dtype = to_dtype(model.type)});
  const DecoderWeights& from = other.impl().model->weights;
  std::vector<std::pair<Weight*, const Weight*>> pairs;
  for (const ParameterSpec& spec : model.weights.specs()) {
    Weight& weight = model.weights.weight(spec);
    if (block_info(weight.format()).block_elements == 1) continue;
    const auto found = std::find_if(from.specs().begin(), from.specs().end(), [&](const ParameterSpec& own) {
      return own.name == spec.name && own.shape == spec.shape;
    });
    if (found == from.specs().end()) {
      throw Error(ErrorKind::format, "the checkpoint has no such tensor, or of another shape",
                  {.file = path, .field = spec.name});
    }
    pairs.emplace_back(&weight, &from.weight(*found));
  }
  for (const auto& [weight, original] : pairs) weight->own().detach().copy_(original->tensor());
}

}  // namespace

MergeReport merge_adapter(CausalLM& model, std::span<const std::string> names, const MergeOptions& options) {
  return guarded([&] {
    const c10::AutoGradMode no_grad(false);
    CausalLM::Impl& impl = model.impl();
    const ModelGate::Writing alone(impl.gate, "merging adapters");
    const ModelGate::Writing alone_in_model(impl.model->gate, "merging adapters");
    AdapterRegistry& registry = registry_of(impl);
    std::vector<AdapterWeight> wanted;
    for (const std::string& name : names) wanted.push_back({.name = name});
    if (names.empty()) wanted = registry.active;
    std::erase_if(wanted, [&](const AdapterWeight& part) { return registry.is_merged(part.name); });
    for (const AdapterWeight& part : wanted) check_mergeable(*impl.model, registry.at(part.name), options.onto);
    if (wanted.empty()) throw Error(ErrorKind::usage, "there is nothing to merge", {.field = "adapter"});
    impl.model->plan.reset();
    if (options.onto == MergeOnto::original) take_original(*impl.model, options.original);
    Merger merger(*impl.model, options.onto);
    for (const AdapterWeight& part : wanted) {
      registry.merged.push_back(merger.merge(registry.at(part.name), part.weight));
    }
    rebuild(impl);
    return merger.report();
  });
}

void unmerge_adapters(CausalLM& model) {
  guarded([&] {
    const c10::AutoGradMode no_grad(false);
    CausalLM::Impl& impl = model.impl();
    const ModelGate::Writing alone(impl.gate, "unmerging adapters");
    const ModelGate::Writing alone_in_model(impl.model->gate, "unmerging adapters");
    AdapterRegistry& registry = registry_of(impl);
    if (registry.merged.empty()) throw Error(ErrorKind::usage, "no adapter is merged", {.field = "adapter"});
    Merger merger(*impl.model, MergeOnto::dequantized);
    for (; !registry.merged.empty(); registry.merged.pop_back()) {
      merger.unmerge(registry.at(registry.merged.back().name), registry.merged.back());
    }
    rebuild(impl);
  });
}

}  // namespace powerhouse
