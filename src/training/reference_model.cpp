#include "training/reference_model.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "adapters/registry.h"
#include "model/model_fingerprint.h"
#include "powerhouse/adapter.h"
#include "powerhouse/error.h"
#include "training/model_state.h"

namespace powerhouse {
namespace {

constexpr const char* kReferenceFile = "/reference.safetensors";

void refuse(bool wrong, ErrorKind kind, const char* field, const char* what) {
  if (wrong) throw Error(kind, what, {.field = field});
}

}  // namespace

ReferenceModel::ReferenceModel(CausalLM& policy, const AlignmentOptions& options) : options_(options) {
  const bool adapters = !adapter_names(policy).empty();
  refuse(options.ref_model == &policy, ErrorKind::usage, "ref_model", "the trained model can't be its own reference");
  if (options.sync_ref_model) {
    refuse(options.precompute_ref_log_probs, ErrorKind::usage, "sync_ref_model",
           "not together with precompute_ref_log_probs: the reference would move");
    refuse(adapters, ErrorKind::unsupported, "sync_ref_model", "not supported with adapters");
    refuse(options.ref_model_sync_steps < 1, ErrorKind::usage, "ref_model_sync_steps", "must be 1 or more");
    refuse(!(options.ref_model_mixup_alpha >= 0 && options.ref_model_mixup_alpha <= 1), ErrorKind::usage,
           "ref_model_mixup_alpha", "must be in [0, 1]");
  }
  if (options.ref_model != nullptr) {
    model_ = options.ref_model;
    return;
  }
  CausalLM base = policy.share();
  const bool frozen = base.trainable_parameters().empty();
  if (adapters && frozen) {
    own_.emplace(std::move(base));
  } else if (!options.precompute_ref_log_probs || adapters) {
    own_.emplace(base.clone());
    own_->set_requires_grad(false);
  }
  model_ = own_ ? &*own_ : &policy;
}

std::string ReferenceModel::fingerprint() const {
  if (!adapter_names(*model_).empty()) return "";
  return model_fingerprint(*model_->impl().model) + " " + std::string(to_string(model_->dtype())) +
         (model_->numerics() == Numerics::exact ? " exact" : "");
}

void ReferenceModel::updated(std::int64_t step, const CausalLM& policy) {
  if (!options_.sync_ref_model || step % options_.ref_model_sync_steps != 0) return;
  const c10::AutoGradMode no_gradients(false);
  const double alpha = options_.ref_model_mixup_alpha;
  for (const auto& [name, tensor] : policy.trainable_parameters()) {
    model_->parameter(name).detach().mul_(1 - alpha).add_(tensor.detach(), alpha);
  }
}

void ReferenceModel::save(const std::string& folder, const CausalLM& policy) const {
  if (options_.sync_ref_model) save_safetensors(folder + kReferenceFile, moving(policy));
}

void ReferenceModel::restore(const std::string& folder, const CausalLM& policy) {
  if (options_.sync_ref_model) restore_tensors(folder + kReferenceFile, moving(policy));
}

std::vector<NamedTensor> ReferenceModel::moving(const CausalLM& policy) const {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : policy.trainable_parameters()) {
    tensors.emplace_back(name, model_->parameter(name).detach());
  }
  return tensors;
}

}  // namespace powerhouse
