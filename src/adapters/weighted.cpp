// One LoRA adapter of several (PEFT's add_weighted_adapter, mergekit's arithmetic).
#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_svd_ops.h>

#include <algorithm>
#include <cmath>

#include "adapters/peft_files.h"
#include "adapters/registry.h"
#include "adapters/targets.h"
#include "adapters/task_arithmetic.h"
#include "model/api_guard.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// A module's part of each adapter that has it.
struct Part {
  const LoraModule* lora;
  double weight;

  double scaled() const { return weight * lora->scale; }
};

void join_factors(LoraModule& out, const std::vector<Part>& parts, TaskArithmetic& arithmetic) {
  std::vector<at::Tensor> a, b;
  std::vector<double> of_a, of_b;
  for (const Part& part : parts) {
    const double root = std::sqrt(std::abs(part.scaled()));
    a.push_back(part.lora->a.detach());
    b.push_back(part.lora->b.detach());
    of_a.push_back(part.scaled() < 0 ? -root : root);
    of_b.push_back(root);
    if (a.back().sizes() != a.front().sizes() || b.back().sizes() != b.front().sizes()) {
      throw Error(ErrorKind::usage, "ranks differ", {.field = "combination", .found = out.module.name});
    }
  }
  out.a = arithmetic.combine(a, of_a);
  out.b = arithmetic.combine(b, of_b);
}

void join_cat(LoraModule& out, const std::vector<Part>& parts) {
  std::vector<at::Tensor> a, b;
  for (const Part& part : parts) {
    a.push_back(part.lora->a.detach().mul(part.scaled()));
    b.push_back(part.lora->b.detach());
  }
  out.a = concatenate(a, 0);
  out.b = concatenate(b, 1);
}

void join_svd(LoraModule& out, const std::vector<Part>& parts, TaskArithmetic& arithmetic, std::int64_t rank) {
  std::vector<at::Tensor> deltas;
  std::vector<double> weights;
  for (const Part& part : parts) {
    const at::Tensor b = part.lora->b.detach().to(at::kFloat);
    deltas.push_back(b.matmul(part.lora->a.detach().to(at::kFloat)).mul(part.lora->scale));
    weights.push_back(part.weight);
  }
  const auto [u, s, vh] = at::_ops::linalg_svd::call(arithmetic.combine(deltas, weights), false, std::nullopt);
  const std::int64_t kept = std::min(rank, s.size(0));
  out.b = u.narrow(1, 0, kept).mul(s.narrow(0, 0, kept).unsqueeze(0)).contiguous();
  out.a = vh.narrow(0, 0, kept).contiguous();
}

// Zeros up to the adapter's rank: all modules have the same in its file.
void widen(LoraModule& out, std::int64_t rank) {
  const std::int64_t more = rank - out.a.size(0);
  if (more <= 0) return;
  out.a = concatenate({out.a, out.a.new_zeros({more, out.a.size(1)})}, 0);
  out.b = concatenate({out.b, out.b.new_zeros({out.b.size(0), more})}, 1);
}

void check_parts(const std::vector<Adapter>& adapters) {
  if (adapters.empty()) throw Error(ErrorKind::usage, "no adapters to combine", {.field = "parts"});
  for (const Adapter& adapter : adapters) {
    const LoraConfig* config = adapter.lora_config();
    const bool other = config == nullptr || !config->target_parameters.empty() || config->use_dora ||
                       config->lora_bias || !adapter.saved.empty() || adapter.tokens.rows.defined();
    if (!other) continue;
    throw Error(ErrorKind::unsupported, "only plain LoRA on linear layers and embeddings combines",
                {.field = adapter.name, .found = std::string(adapter.peft_type())});
  }
}

std::int64_t largest_rank(const Adapter& adapter) {
  std::int64_t rank = 0;
  for (const LoraModule& lora : adapter.lora) rank = std::max(rank, lora.rank);
  return rank;
}

// Options under which the file's reader targets the same modules.
LoraConfig combined_config(const std::vector<Adapter>& adapters, std::span<const HfModule> modules, std::int64_t rank) {
  LoraConfig config = *adapters.front().lora_config();
  std::vector<HfModule> chosen;
  for (const Adapter& adapter : adapters) {
    for (const LoraModule& lora : adapter.lora) chosen.push_back(lora.module);
  }
  config.target_modules = target_names(chosen, modules);
  config.target_pattern.clear();
  config.exclude_modules.clear();
  config.exclude_pattern.clear();
  config.layers_to_transform.clear();
  config.layers_pattern.clear();
  config.rank_pattern.clear();
  config.alpha_pattern.clear();
  config.use_rslora = false;
  config.rank = rank;
  config.alpha = static_cast<double>(rank);
  return config;
}

}  // namespace

void add_weighted_adapter(CausalLM& model, const std::string& name, std::span<const AdapterWeight> parts,
                          const CombineOptions& options) {
  guarded([&] {
    const c10::AutoGradMode no_grad(false);
    CausalLM::Impl& impl = model.impl();
    const ModelGate::Writing alone(impl.gate, "adding an adapter");
    check_name(impl, name);
    check_density(options);
    std::vector<Adapter> adapters;
    for (const AdapterWeight& part : parts) adapters.push_back(as_plain_lora(registry_of(impl).at(part.name)));
    check_parts(adapters);
    const Combination kind = adapters.size() == 1 ? Combination::linear : options.combination;
    std::int64_t rank = 0;
    for (const Adapter& adapter : adapters) {
      const std::int64_t own = largest_rank(adapter);
      rank = kind == Combination::cat ? rank + own : std::max(rank, own);
    }
    if (is_by_svd(kind) && options.rank > 0) rank = options.rank;
    TaskArithmetic arithmetic({.combination = kind,
                               .density = options.density,
                               .majority_sign = options.majority_sign,
                               .seed = options.seed});
    const std::vector<HfModule> modules = hf_modules(*impl.model);
    Adapter out{.name = name, .config = combined_config(adapters, modules, rank)};
    for (const HfModule& module : modules) {
      std::vector<Part> found;
      for (std::size_t i = 0; i < adapters.size(); ++i) {
        for (const LoraModule& lora : adapters[i].lora) {
          if (lora.module.name == module.name) found.push_back({&lora, parts[i].weight});
        }
      }
      if (found.empty()) continue;
      LoraModule joined{
          .module = module, .file_name = module.name, .rank = rank, .alpha = static_cast<double>(rank), .scale = 1};
      if (kind == Combination::cat) {
        join_cat(joined, found);
      } else if (is_by_svd(kind)) {
        join_svd(joined, found, arithmetic, rank);
      } else {
        join_factors(joined, found, arithmetic);
      }
      widen(joined, rank);
      out.lora.push_back(std::move(joined));
    }
    insert(impl, std::move(out), false);
  });
}

}  // namespace powerhouse
