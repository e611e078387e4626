// From the names that training configurations use to options, as transformers' Trainer sets them up.
#include <algorithm>
#include <iterator>
#include <type_traits>

#include "powerhouse/error.h"
#include "powerhouse/optimizer_options.h"

namespace powerhouse {
namespace {

OptimizerOptions defaults(std::string_view name) {
  if (name == "adamw" || name == "adamw_torch" || name == "adamw_torch_fused" || name == "adamw_32bit") {
    return AdamWOptions{};
  }
  if (name == "adamw_8bit" || name == "adamw_bnb_8bit") return AdamW8bitOptions{};
  if (name == "sgd") return SgdOptions{};
  if (name == "adafactor") return AdafactorOptions{.lr = 1e-3, .scale_parameter = false, .relative_step = false};
  if (name == "lion" || name == "lion_32bit") return LionOptions{};
  if (name == "muon") return MuonOptions{};
  if (name == "adagrad") return AdagradOptions{};
  if (name == "rmsprop") return RmspropOptions{};
  constexpr std::string_view kOthers[] = {"lion_8bit",
                                          "ademamix",
                                          "ademamix_8bit",
                                          "adamw_apex_fused",
                                          "adamw_anyprecision",
                                          "adamw_torch_xla",
                                          "adamw_torch_npu_fused",
                                          "adamw_torch_4bit",
                                          "adamw_torch_8bit",
                                          "rmsprop_bnb",
                                          "rmsprop_bnb_8bit",
                                          "rmsprop_bnb_32bit",
                                          "galore_adamw",
                                          "galore_adamw_8bit",
                                          "galore_adafactor",
                                          "lomo",
                                          "adalomo",
                                          "grokadamw",
                                          "schedule_free_radam",
                                          "schedule_free_adamw",
                                          "schedule_free_sgd",
                                          "apollo_adamw",
                                          "stable_adamw",
                                          "optimi_adamw",
                                          "ao_adamw_8bit",
                                          "ao_adamw_4bit",
                                          "ao_adamw_fp8",
                                          "adopt_adamw",
                                          "came_pytorch",
                                          "dion"};
  const bool known = std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers);
  throw Error(
      known ? ErrorKind::unsupported : ErrorKind::usage,
      known ? "this optimizer is not supported" : "unknown optimizer",
      {.field = "optimizer",
       .expected = "adamw, adamw_8bit, sgd, adafactor, lion, muon, adagrad, rmsprop, or paged_ before adamw_8bit, "
                   "adamw_32bit or lion_32bit",
       .found = std::string(name)});
}

template <typename Options>
void apply(const OptimizerSettings& settings, Options& options) {
  if (settings.learning_rate) options.lr = *settings.learning_rate;
  if (settings.weight_decay) options.weight_decay = *settings.weight_decay;
  if constexpr (requires { options.beta2; }) {
    if (settings.adam_beta1) options.beta1 = *settings.adam_beta1;
    if (settings.adam_beta2) options.beta2 = *settings.adam_beta2;
  }
  if constexpr (std::is_same_v<Options, AdamWOptions> || std::is_same_v<Options, AdamW8bitOptions>) {
    if (settings.adam_epsilon) options.eps = *settings.adam_epsilon;
  }
  if constexpr (std::is_same_v<Options, MuonOptions>) apply(settings, options.adamw);
}

}  // namespace

NamedOptimizer optimizer_options(std::string_view name, const OptimizerSettings& settings) {
  constexpr std::string_view kPaged = "paged_";
  const bool paged =
      name == "paged_adamw_8bit" || name == "paged_adamw_32bit" || name == "paged_adamw" || name == "paged_lion_32bit";
  NamedOptimizer named{.options = defaults(paged ? name.substr(kPaged.size()) : name), .paged = paged};
  std::visit([&](auto& options) { apply(settings, options); }, named.options);
  return named;
}

}  // namespace powerhouse
