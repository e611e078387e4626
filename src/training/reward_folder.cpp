#include "training/reward_folder.h"

#include "powerhouse/error.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "training/run_model.h"

namespace powerhouse {
namespace {

bool saves_head(const Json& config) {
  const Json* modules = config.get("modules_to_save");
  if (modules == nullptr || !modules->is_array()) return false;
  for (const Json& module : modules->as_array()) {
    if (module.is_string() && module.as_string() == "score") return true;
  }
  return false;
}

}  // namespace

RewardFolder RewardFolder::of(const std::string& path) {
  const std::string file = path + "/adapter_config.json";
  if (may_exist(path + "/config.json") || !may_exist(file)) return {.base = path};
  const Json config = Json::parse_file(file);
  const Json* base = config.get("base_model_name_or_path");
  if (base == nullptr || !base->is_string() || base->as_string().empty()) {
    throw Error(ErrorKind::format, "names no base model", {.file = file, .field = "base_model_name_or_path"});
  }
  if (!saves_head(config)) {
    throw Error(ErrorKind::format, "an adapter without a head: no reward model",
                {.file = file, .field = "modules_to_save", .expected = "score"});
  }
  return {.base = base->as_string(), .adapter = path};
}

SequenceClassifier RewardFolder::open(const CausalLM& policy) const {
  const LoadOptions like{.dtype = policy.dtype(), .device = policy.device()};
  if (adapter.empty()) return SequenceClassifier::from_pretrained(base, like);
  // The fresh head gives way to the adapter's.
  SequenceClassifier model =
      SequenceClassifier::from_causal_lm(base, {.pad_token_id = padding_token(tokenizer())}, like);
  model.model().load_adapter(adapter);
  return model;
}

}  // namespace powerhouse
