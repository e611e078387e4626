#include "adapters/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse(std::string_view key, const Json& value) {
  throw Error(ErrorKind::unsupported, "this option of the adapter is not built",
              {.field = std::string(key), .found = value.dump().substr(0, 80)});
}

// null, false, 0, "", [] and {}.
bool says_nothing(const Json& value) {
  if (value.is_bool()) return !value.as_bool();
  if (value.is_array()) return value.as_array().empty();
  if (value.is_object()) return value.as_object().size() == 0;
  if (value.is_string()) return value.as_string().empty();
  if (value.is_number()) return value.as_double() == 0;
  return true;
}

// Keys that say how training went, where things came from, or how an initialization that is over was done.
constexpr std::string_view kWithoutEffect[] = {"auto_mapping",      "base_model_name_or_path",
                                               "corda_config",      "eva_config",
                                               "inference_mode",    "loftq_config",
                                               "lora_ga_config",    "megatron_core",
                                               "peft_type",         "peft_version",
                                               "qalora_group_size", "revision",
                                               "runtime_config",    "task_type"};

void check_other_keys(const Json& json, std::span<const std::string_view> known) {
  for (const auto& [key, value] : json.as_object()) {
    const auto has = [&key = key](std::span<const std::string_view> keys) {
      return std::find(keys.begin(), keys.end(), key) != keys.end();
    };
    if (!has(known) && !has(kWithoutEffect) && !says_nothing(value)) refuse(key, value);
  }
}

std::vector<std::string> strings(const Json& json, std::string_view key) {
  std::vector<std::string> out;
  const Json* value = json.get(key);
  if (value == nullptr) return out;
  if (value->is_string()) return {value->as_string()};
  for (const Json& text : value->as_array(key)) out.push_back(text.as_string(key));
  return out;
}

std::vector<std::int64_t> integers(const Json& json, std::string_view key) {
  std::vector<std::int64_t> out;
  const Json* value = json.get(key);
  if (value == nullptr) return out;
  if (value->is_number()) return {value->as_integer(key)};
  for (const Json& number : value->as_array(key)) out.push_back(number.as_integer(key));
  return out;
}

// A list of names, or a pattern where it is a string.
void names_or_pattern(const Json& json, std::string_view key, std::vector<std::string>& names, std::string& pattern) {
  const Json* value = json.get(key);
  if (value != nullptr && value->is_string()) {
    pattern = value->as_string();
  } else {
    names = strings(json, key);
  }
}

template <typename Value>
void patterns(const Json& json, std::string_view key, std::vector<std::pair<std::string, Value>>& out) {
  const Json* value = json.get(key);
  if (value == nullptr) return;
  for (const auto& [pattern, number] : value->as_object(key)) {
    if constexpr (std::is_integral_v<Value>) {
      out.emplace_back(pattern, number.as_integer(key));
    } else {
      out.emplace_back(pattern, number.as_double(key));
    }
  }
}

// Initializations that leave the base as it is are over once there are tensors.
std::string init_of(const Json& json) {
  const Json* value = json.get("init_lora_weights");
  if (value == nullptr) return "true";
  if (value->is_bool()) return value->as_bool() ? "true" : "false";
  std::string init = value->as_string("init_lora_weights");
  if (init == "pissa" || init == "olora") return init;
  constexpr std::array kKeepTheBase = {"gaussian", "eva", "orthogonal", "mica"};
  if (std::find(kKeepTheBase.begin(), kKeepTheBase.end(), init) != kKeepTheBase.end()) return "gaussian";
  refuse("init_lora_weights", *value);
}

std::vector<std::int64_t> token_indices(const Json& json) {
  const Json* value = json.get("trainable_token_indices");
  if (value == nullptr || !value->is_object()) return integers(json, "trainable_token_indices");
  if (value->as_object().size() != 1) refuse("trainable_token_indices", *value);
  const auto& [module, indices] = *value->as_object().begin();
  std::vector<std::int64_t> out;
  for (const Json& index : indices.as_array("trainable_token_indices")) {
    out.push_back(index.as_integer("trainable_token_indices"));
  }
  return out;
}

LoraConfig read_lora(const Json& json) {
  constexpr std::string_view kKnown[] = {
      "alpha_pattern",     "bias",           "exclude_modules",     "fan_in_fan_out",
      "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_alpha",
      "lora_bias",         "lora_dropout",   "modules_to_save",     "r",
      "rank_pattern",      "target_modules", "target_parameters",   "trainable_token_indices",
      "use_dora",          "use_rslora"};
  check_other_keys(json, kKnown);
  LoraConfig config;
  config.rank = json.integer_or("r", 8);
  config.alpha = json.double_or("lora_alpha", 8);
  config.dropout = json.double_or("lora_dropout", 0);
  names_or_pattern(json, "target_modules", config.target_modules, config.target_pattern);
  names_or_pattern(json, "exclude_modules", config.exclude_modules, config.exclude_pattern);
  config.target_parameters = strings(json, "target_parameters");
  config.modules_to_save = strings(json, "modules_to_save");
  config.layers_to_transform = integers(json, "layers_to_transform");
  config.layers_pattern = strings(json, "layers_pattern");
  patterns(json, "rank_pattern", config.rank_pattern);
  patterns(json, "alpha_pattern", config.alpha_pattern);
  const std::string bias = json.string_or("bias", "none");
  if (bias != "none" && bias != "all" && bias != "lora_only") refuse("bias", json.at("bias"));
  config.bias = bias == "none" ? AdapterBias::none : bias == "all" ? AdapterBias::all : AdapterBias::lora_only;
  config.use_rslora = json.bool_or("use_rslora", false);
  config.use_dora = json.bool_or("use_dora", false);
  config.lora_bias = json.bool_or("lora_bias", false);
  config.init_lora_weights = init_of(json);
  config.trainable_token_indices = token_indices(json);
  return config;
}

Ia3Config read_ia3(const Json& json) {
  constexpr std::string_view kKnown[] = {"fan_in_fan_out", "feedforward_modules", "init_ia3_weights", "modules_to_save",
                                         "target_modules"};
  check_other_keys(json, kKnown);
  for (const char* key : {"target_modules", "feedforward_modules"}) {
    if (const Json* value = json.get(key); value != nullptr && value->is_string()) refuse(key, *value);
  }
  return {.target_modules = strings(json, "target_modules"),
          .feedforward_modules = strings(json, "feedforward_modules"),
          .modules_to_save = strings(json, "modules_to_save")};
}

// Both kinds of virtual tokens. What their keys say of the model, the tensors say too.
constexpr std::string_view kPromptKeys[] = {
    "encoder_hidden_size",        "num_attention_heads",     "num_layers",
    "num_transformer_submodules", "num_virtual_tokens",      "prefix_projection",
    "prompt_tuning_init",         "prompt_tuning_init_text", "token_dim",
    "tokenizer_kwargs",           "tokenizer_name_or_path"};

Json number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<std::int64_t>(value);
  return value;
}

Json list(const std::vector<std::string>& texts) {
  Json::Array out(texts.begin(), texts.end());
  return out;
}

Json list_or_null(const std::vector<std::string>& texts) { return texts.empty() ? Json() : list(texts); }

Json list_or_null(const std::vector<std::int64_t>& values) {
  if (values.empty()) return {};
  return Json::Array(values.begin(), values.end());
}

template <typename Value>
Json mapping(const std::vector<std::pair<std::string, Value>>& patterns) {
  JsonObject out;
  for (const auto& [pattern, value] : patterns) out[pattern] = number(static_cast<double>(value));
  return out;
}

void common(JsonObject& out, const Adapter& adapter, const Model& model, const std::string& base) {
  out["auto_mapping"] = Json();
  out["base_model_name_or_path"] = base;
  out["inference_mode"] = true;
  out["peft_type"] = adapter.peft_type();
  out["peft_version"] = "0.21.0";
  out["revision"] = Json();
  out["task_type"] = model.config.sequence_head ? "SEQ_CLS" : "CAUSAL_LM";
}

void write(JsonObject& out, const LoraConfig& config, const Adapter& adapter) {
  for (const char* key :
       {"alora_invocation_tokens", "arrow_config", "corda_config", "eva_config", "kasa_config", "layer_replication",
        "lora_ga_config", "megatron_config", "monteclora_config", "use_bdlora", "velora_config"}) {
    out[key] = Json();
  }
  const bool conv1d =
      std::any_of(adapter.lora.begin(), adapter.lora.end(), [](const LoraModule& lora) { return lora.module.conv1d; });
  constexpr std::string_view kBias[] = {"none", "all", "lora_only"};
  out["alpha_pattern"] = mapping(config.alpha_pattern);
  out["bias"] = kBias[static_cast<std::size_t>(config.bias)];
  out["ensure_weight_tying"] = false;
  out["exclude_modules"] =
      config.exclude_pattern.empty() ? list_or_null(config.exclude_modules) : Json(config.exclude_pattern);
  out["fan_in_fan_out"] = conv1d;
  const std::string& init = config.init_lora_weights;
  out["init_lora_weights"] = init == "true" || init == "false" ? Json(init == "true") : Json(init);
  out["layers_pattern"] =
      config.layers_pattern.size() == 1 ? Json(config.layers_pattern[0]) : list_or_null(config.layers_pattern);
  out["layers_to_transform"] = list_or_null(config.layers_to_transform);
  out["loftq_config"] = JsonObject();
  out["lora_alpha"] = number(config.alpha);
  out["lora_bias"] = config.lora_bias;
  out["lora_dropout"] = config.dropout;
  out["megatron_core"] = "megatron.core";
  out["modules_to_save"] = list_or_null(config.modules_to_save);
  out["qalora_group_size"] = 16;
  out["r"] = config.rank;
  out["rank_pattern"] = mapping(config.rank_pattern);
  // Without the key a reader would take the family's usual ones: a list, be it empty.
  out["target_modules"] = config.target_pattern.empty() ? list(config.target_modules) : Json(config.target_pattern);
  out["target_parameters"] = list_or_null(config.target_parameters);
  out["trainable_token_indices"] = list_or_null(config.trainable_token_indices);
  out["use_dora"] = config.use_dora;
  out["use_qalora"] = false;
  out["use_rslora"] = config.use_rslora;
}

void write(JsonObject& out, const Ia3Config& config, const Adapter& adapter) {
  out["exclude_modules"] = Json();
  out["fan_in_fan_out"] =
      std::any_of(adapter.ia3.begin(), adapter.ia3.end(), [](const Ia3Module& ia3) { return ia3.module.conv1d; });
  out["feedforward_modules"] = list(config.feedforward_modules);
  out["init_ia3_weights"] = true;
  out["modules_to_save"] = list_or_null(config.modules_to_save);
  out["target_modules"] = list(config.target_modules);
}

void common_prompt(JsonObject& out, const Model& model, std::int64_t tokens) {
  out["modules_to_save"] = Json();
  out["num_layers"] = static_cast<std::int64_t>(model.config.layers.size());
  out["num_transformer_submodules"] = 1;
  out["num_virtual_tokens"] = tokens;
}

void write(JsonObject& out, const PromptTuningConfig&, const Adapter& adapter, const Model& model) {
  common_prompt(out, model, adapter.virtual_tokens.size(0));
  out["num_attention_heads"] = model.config.layers.front().attention.num_heads;
  out["prompt_tuning_init"] = "RANDOM";
  out["token_dim"] = adapter.virtual_tokens.size(1);
  for (const char* key : {"prompt_tuning_init_text", "tokenizer_kwargs", "tokenizer_name_or_path"}) out[key] = Json();
}

void write(JsonObject& out, const PrefixTuningConfig&, const Adapter& adapter, const Model& model) {
  common_prompt(out, model, adapter.virtual_tokens.size(0));
  // PEFT counts key-value heads here, and a token as wide as they are together.
  const Attention& attention = model.config.layers.front().attention;
  const std::int64_t width = attention.num_key_value_heads * attention.head_dim;
  out["encoder_hidden_size"] = width;
  out["init_weights"] = Json();
  out["num_attention_heads"] = attention.num_key_value_heads;
  out["prefix_projection"] = false;
  out["token_dim"] = width;
}

// PEFT sorts its keys.
Json sorted(const JsonObject& object) {
  std::vector<JsonObject::Member> members(object.begin(), object.end());
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  JsonObject out;
  for (const auto& [key, value] : members) out[key] = value;
  return out;
}

}  // namespace

AdapterConfig read_peft_config(const Json& json) {
  const std::string type = json.at("peft_type").as_string("peft_type");
  if (type == "LORA") return read_lora(json);
  if (type == "IA3") return read_ia3(json);
  if (type == "PROMPT_TUNING" || type == "PREFIX_TUNING") {
    check_other_keys(json, kPromptKeys);
    const std::int64_t tokens = json.at("num_virtual_tokens").as_integer("num_virtual_tokens");
    if (json.integer_or("num_transformer_submodules", 1) != 1) {
      refuse("num_transformer_submodules", json.at("num_transformer_submodules"));
    }
    if (type == "PROMPT_TUNING") return PromptTuningConfig{.num_virtual_tokens = tokens};
    return PrefixTuningConfig{.num_virtual_tokens = tokens};
  }
  throw Error(ErrorKind::unsupported, "adapters of this kind are not built",
              {.field = "peft_type", .expected = "LORA, IA3, PROMPT_TUNING or PREFIX_TUNING", .found = type});
}

Json write_peft_config(const Adapter& adapter, const Model& model, const std::string& base) {
  JsonObject out;
  common(out, adapter, model, base);
  if (const auto* lora = adapter.lora_config()) write(out, *lora, adapter);
  if (const auto* ia3 = std::get_if<Ia3Config>(&adapter.config)) write(out, *ia3, adapter);
  if (const auto* prompt = std::get_if<PromptTuningConfig>(&adapter.config)) write(out, *prompt, adapter, model);
  if (const auto* prefix = std::get_if<PrefixTuningConfig>(&adapter.config)) write(out, *prefix, adapter, model);
  return sorted(out);
}

}  // namespace powerhouse
