// IA3: a learned factor for each output of some modules and each input of others (Liu et al. 2022).
#include "adapters/adapter.h"
#include "adapters/targets.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {

Adapter make_ia3(const Model& model, const std::string& name, const Ia3Config& given) {
  Ia3Config config = given;
  if (config.target_modules.empty()) {
    const Ia3Targets usual = default_ia3_targets(model_type(model));
    config.target_modules = usual.target_modules;
    if (config.feedforward_modules.empty()) config.feedforward_modules = usual.feedforward_modules;
  }
  if (!config.modules_to_save.empty()) {
    throw Error(ErrorKind::unsupported, "modules that train whole go with LoRA alone here",
                {.field = "modules_to_save"});
  }
  Adapter adapter{.name = name, .config = config};
  for (const HfModule& module : hf_modules(model)) {
    if (!ends_in(module.name, config.target_modules)) continue;
    if (module.kind != ModuleKind::linear) {
      throw Error(ErrorKind::unsupported, "only linear layers can be targeted",
                  {.field = "target_modules", .found = module.name});
    }
    Ia3Module ia3{.module = module};
    for (const std::string& end : config.feedforward_modules) {
      ia3.feedforward = ia3.feedforward || module.name.ends_with(end);
    }
    const std::vector<std::int64_t> shape =
        ia3.feedforward ? std::vector<std::int64_t>{1, module.inputs} : std::vector<std::int64_t>{module.outputs, 1};
    ia3.scale = empty_tensor(shape, at::kFloat).fill_(1);
    adapter.ia3.push_back(std::move(ia3));
  }
  if (adapter.ia3.empty()) {
    throw Error(ErrorKind::not_found, "no module of the model is targeted", {.field = "target_modules"});
  }
  return adapter;
}

}  // namespace powerhouse
