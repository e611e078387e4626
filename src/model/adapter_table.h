// AdapterTable: what the active adapters of a model do, as the decoder reads it: for each module (a layer and a role)
// its low-rank terms, scales and replaced parameters. Room `adapters` makes it; the decoder knows no kind of adapter.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/architecture.h"
#include "ops/adapted_linear.h"
#include "ops/device_low_rank.h"

namespace powerhouse {

class DoraNorm;  // model/dora.h

/// One low-rank term. Of experts, a is [experts * r, in] and b [out, r * experts], rank outer, as PEFT has them.
struct ModuleTerm {
  ops::LowRankTerm low_rank{};
  at::Tensor bias{};                 ///< [out], added before the scale; usually undefined
  at::Tensor magnitude{};            ///< DoRA's, [out]; undefined: plain LoRA
  std::shared_ptr<DoraNorm> norm{};  ///< beside a magnitude: what it is over, kept from pass to pass
  std::shared_ptr<ops::DeviceTerm> on_device = std::make_shared<ops::DeviceTerm>();
};

/// All that is done to one module, in this order.
struct ModuleAdapters {
  at::Tensor weight{};            ///< in the base's place, in the base's shape
  at::Tensor bias{};              ///< the same
  at::Tensor rows{}, new_rows{};  ///< of embeddings and a tied head: int64 [n], and what stands there, [n, hidden]
  at::Tensor input_scale{};       ///< [in]
  std::vector<ModuleTerm> terms{};
  at::Tensor output_scale{};  ///< [out]
};

class AdapterTable {
 public:
  bool empty() const { return modules_.empty() && !prompt.defined() && !prefix.defined(); }

  /// What is done to a module; null: nothing. Outside layers, `layer` is -1.
  const ModuleAdapters* find(std::int64_t layer, Role role) const {
    const std::size_t at = index(layer, role);
    return at < modules_.size() ? modules_[at].get() : nullptr;
  }
  ModuleAdapters& at(std::int64_t layer, Role role) {
    const std::size_t at = index(layer, role);
    if (at >= modules_.size()) modules_.resize(at + 1);
    if (!modules_[at]) modules_[at] = std::make_shared<ModuleAdapters>();
    return *modules_[at];
  }

  /// Embeddings of virtual tokens before each sequence, [n, hidden]; undefined: none.
  at::Tensor prompt{};
  /// Keys and values before each sequence, [n, layers, 2, num_key_value_heads, head_dim]; keys as after RoPE.
  at::Tensor prefix{};
  /// Rows that stand before each sequence, whichever of the two they are.
  std::int64_t virtual_tokens() const {
    return prompt.defined() ? prompt.size(0) : prefix.defined() ? prefix.size(0) : 0;
  }
  /// Whether a pass does more than queue work on a device: tokens that train are looked for on the host, and norms of
  /// DoRA are made anew where something was written.
  bool asks_host() const {
    return std::any_of(modules_.begin(), modules_.end(), [](const std::shared_ptr<ModuleAdapters>& module) {
      return module && (module->rows.defined() || std::any_of(module->terms.begin(), module->terms.end(),
                                                              [](const ModuleTerm& term) { return bool(term.norm); }));
    });
  }
  /// visit(tensor) for each that is defined, of modules.
  template <typename Visit>
  void visit_tensors(const Visit& visit) const {
    const auto one = [&](const at::Tensor& tensor) {
      if (tensor.defined()) visit(tensor);
    };
    for (const std::shared_ptr<ModuleAdapters>& module : modules_) {
      if (!module) continue;
      for (const at::Tensor* const tensor : {&module->weight, &module->bias, &module->rows, &module->new_rows,
                                             &module->input_scale, &module->output_scale}) {
        one(*tensor);
      }
      for (const ModuleTerm& term : module->terms) {
        for (const at::Tensor* const tensor : {&term.low_rank.a, &term.low_rank.b, &term.bias, &term.magnitude}) {
          one(*tensor);
        }
      }
    }
  }
  /// Leaves of the active adapters that require gradients, under PEFT's names with the adapter's in them
  /// ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.alpaca.weight").
  std::vector<std::pair<std::string, at::Tensor>> trainable{};

 private:
  static std::size_t index(std::int64_t layer, Role role) {
    return static_cast<std::size_t>(layer + 1) * kRoleCount + static_cast<std::size_t>(role);
  }
  std::vector<std::shared_ptr<ModuleAdapters>> modules_;
};

}  // namespace powerhouse
