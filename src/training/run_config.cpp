// run.yaml, overrides and defaults by the table of keys.
#include "training/run_config.h"

#include <algorithm>
#include <charconv>

#include "powerhouse/error.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "training/run_classification.h"
#include "training/run_distillation.h"
#include "training/run_online.h"

namespace powerhouse {
namespace {

constexpr std::size_t kLongestFile = std::size_t{1} << 20;
constexpr double kLargest = std::numeric_limits<double>::max();

// Axolotl's older or other names of the same thing.
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
    {"shuffle_merged_datasets", "shuffle"},
    {"evaluation_strategy", "eval_strategy"},
    {"beta", "rl_beta"},
    {"kd_beta", "rl_beta"},
    {"teacher_model_name_or_path", "teacher_model"},
    {"dpo_beta", "rl_beta"},
    {"orpo_alpha", "rl_beta"},
    {"dpo_loss_type", "loss_type"},
    {"dpo_loss_weights", "loss_weights"},
    {"dpo_label_smoothing", "label_smoothing"},
    {"dpo_use_weighting", "use_weighting"},
    {"kto_desirable_weight", "desirable_weight"},
    {"kto_undesirable_weight", "undesirable_weight"},
    {"max_length", "sequence_len"},
    {"reward_model_name_or_path", "reward_model_path"},
    {"response_length", "max_completion_length"},
    {"num_ppo_epochs", "num_iterations"},
};

void check_choice(const RunKey& key, const YamlValue& value, const std::string& text) {
  if (key.choices.empty()) return;
  std::string expected;
  for (std::string_view rest = key.choices; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find('|'));
    if (word == text) return;
    expected += (expected.empty() ? "" : ", ") + std::string(word);
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  }
  throw wrong_value(value, std::string(key.name), "one of " + expected);
}

struct FieldReader {
  TrainingRun& run;
  const RunKey& key;
  const YamlValue& value;
  std::string field = std::string(key.name);

  std::int64_t integer() const {
    const bool bounded = key.high < kLargest;
    return yaml_integer(value, field, static_cast<std::int64_t>(key.low),
                        bounded ? static_cast<std::int64_t>(key.high) : std::numeric_limits<std::int64_t>::max());
  }
  double number() const { return yaml_number(value, field, key.low, key.high); }

  void read(bool& target) const { target = yaml_bool(value, field); }
  void read(std::int64_t& target) const { target = integer(); }
  void read(std::uint64_t& target) const { target = static_cast<std::uint64_t>(integer()); }
  void read(double& target) const { target = number(); }
  void read(std::string& target) const {
    check_choice(key, value, yaml_string(value, field));
    target = value.text;
  }
  void read(std::vector<std::string>& target) const { target = yaml_strings(value, field); }
  template <typename T>
  void read(std::optional<T>& target) const {
    read(target.emplace());
  }

  // A key without a value keeps its default, as in Axolotl.
  template <typename T>
  void operator()(T TrainingRun::*member) const {
    if (!value.is_null()) read(run.*member);
  }
  template <typename T>
  void operator()(T OnlineRun::*member) const {
    if (!value.is_null()) read(run.online.*member);
  }
  void operator()(const KeyReader& reader) const { reader.read(run, value, field); }
};

// Of what is not built: switched off, or as it is done anyway.
bool asks_for_nothing(const OtherKey& key, const YamlValue& value) {
  return !yaml_truthy(value) || (!key.done_anyway.empty() && value.text == key.done_anyway);
}

std::string_view target_of(std::string_view name) {
  for (const auto& [alias, target] : kAliases) {
    if (name == alias) return target;
  }
  return name;
}

// The same thing under two names with two values would be a value without effect.
void check_aliases(const YamlValue& root) {
  for (const auto& [name, value] : root.members) {
    const std::string_view target = target_of(name);
    const YamlValue* other = root.find(target);
    if (target == name || other == nullptr || value.is_null() || other->is_null()) continue;
    if (yaml_shown(*other) == yaml_shown(value)) continue;
    throw Error(value.fault, "another name of " + std::string(target) + ", which has another value",
                {.file = value.place, .field = name, .expected = yaml_shown(*other), .found = yaml_shown(value)});
  }
}

void read_key(TrainingRun& run, std::string_view name, const YamlValue& value) {
  name = target_of(name);
  const auto keys = run_keys();
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const RunKey& key) { return key.name == name; });
  if (found != keys.end()) {
    std::visit(FieldReader{run, *found, value}, found->field);
    return;
  }
  if (const OtherKey* unsupported = unsupported_key(name)) {
    if (asks_for_nothing(*unsupported, value)) return;
    throw Error(value.fault == ErrorKind::usage ? ErrorKind::usage : ErrorKind::unsupported,
                "not supported: " + std::string(unsupported->why),
                {.file = value.place, .field = std::string(name), .found = yaml_shown(value)});
  }
  if (const OtherKey* other = key_without_effect(name)) {
    if (yaml_truthy(value)) run.notices.push_back(std::string(name) + ": " + std::string(other->why));
    return;
  }
  throw Error(value.fault, "unknown key",
              {.file = value.place, .field = std::string(name), .expected = nearest_key(name, known_keys())});
}

// "datasets.0.path" in a tree: members by name, items by number; what is not there yet is made.
YamlValue& reach(YamlValue& root, std::string_view path, const std::string& shown) {
  YamlValue* at = &root;
  for (std::string_view rest = path; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    std::size_t index = 0;
    const auto [end, failure] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number = failure == std::errc() && end == part.data() + part.size();
    if (at->is_null()) at->kind = number ? YamlValue::Kind::sequence : YamlValue::Kind::mapping;
    if (number && at->kind == YamlValue::Kind::sequence && index <= at->items.size()) {
      if (index == at->items.size()) at->items.push_back({.place = shown, .fault = ErrorKind::usage});
      at = &at->items[index];
    } else if (at->kind == YamlValue::Kind::mapping && !part.empty()) {
      YamlValue* member = at->find(part);
      if (member == nullptr) {
        at->members.emplace_back(part, YamlValue{.place = shown, .fault = ErrorKind::usage});
        member = &at->members.back().second;
      }
      at = member;
    } else {
      throw Error(ErrorKind::usage, "no such place", {.file = shown, .field = std::string(part)});
    }
  }
  return *at;
}

// Axolotl's mapping of TRL's options: its keys are keys of the run here.
void take_trl_keys(YamlValue& root) {
  const auto found =
      std::find_if(root.members.begin(), root.members.end(), [](const auto& member) { return member.first == "trl"; });
  if (found == root.members.end()) return;
  const YamlValue trl = std::move(found->second);
  root.members.erase(found);
  if (trl.is_null()) return;
  if (trl.kind != YamlValue::Kind::mapping) throw wrong_value(trl, "trl", "a mapping of TRL's options");
  for (const auto& [name, value] : trl.members) {
    if (root.find(name) != nullptr) {
      throw Error(value.fault, "stands in the run too", {.file = value.place, .field = "trl." + name});
    }
    root.members.emplace_back(name, value);
  }
}

void apply_override(YamlValue& root, const std::string& text) {
  const std::string shown = "override " + text;
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorKind::usage, "not an override", {.field = text, .expected = "key=value"});
  }
  std::string_view key = std::string_view(text).substr(0, equals);
  while (key.starts_with('-')) key.remove_prefix(1);
  YamlValue value = parse_yaml(text.substr(equals + 1), shown, ErrorKind::usage);
  reach(root, key, shown) = std::move(value);
}

struct Shower {
  const TrainingRun& run;

  static std::string shown(double number) {
    std::string text = Json(number).dump();
    return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
  }
  std::string operator()(bool TrainingRun::*member) const { return run.*member ? "true" : "false"; }
  std::string operator()(std::int64_t TrainingRun::*member) const { return std::to_string(run.*member); }
  std::string operator()(std::uint64_t TrainingRun::*member) const { return std::to_string(run.*member); }
  std::string operator()(double TrainingRun::*member) const { return shown(run.*member); }
  std::string operator()(std::string TrainingRun::*member) const {
    return (run.*member).empty() ? "" : yaml_quoted(run.*member);
  }
  template <typename T>
  std::string operator()(std::optional<T> TrainingRun::*) const {
    return "";
  }
  std::string operator()(std::vector<std::string> TrainingRun::*) const { return ""; }
  template <typename T>
  std::string operator()(T OnlineRun::*) const {
    return "";
  }
  std::string operator()(const KeyReader&) const { return ""; }
};

// What keys with readers of their own default to.
std::string special_default(std::string_view name, const TrainingRun& run) {
  if (name == "adapter") return "none";
  if (name == "max_steps") return "0";
  if (name == "optimizer") return run.optimizer;
  if (name == "lr_scheduler") return run.lr_scheduler;
  if (name == "bf16") return run.bf16;
  if (name == "gradient_checkpointing") return run.gradient_checkpointing;
  if (name == "peft_init_lora_weights") return run.peft_init_lora_weights;
  if (name == "peft_autocast_adapter_dtype") return "true";
  if (name == "metric_for_best_model") return "eval_loss";
  if (name == "activation_memory_budget") return std::to_string(run.activation_memory_budget);
  return "";
}

// Once, here: what the run trains with is what was checked.
void read_template(TrainingRun& run, const std::string& origin) {
  try {
    run.chat_template = chat_template_source(run.chat_template, run.chat_template_jinja);
    run.chat_template_jinja.clear();
  } catch (const Error& error) {
    throw error.in_file(origin);
  }
}

// A saved adapter brings its own options, in Axolotl as here.
void note_saved_adapter(TrainingRun& run, const YamlValue& root) {
  if (run.lora_model_dir.empty()) return;
  constexpr std::string_view kOfAdapter[] = {"lora_r",
                                             "lora_alpha",
                                             "lora_dropout",
                                             "lora_target_modules",
                                             "lora_target_linear",
                                             "lora_rank_pattern",
                                             "lora_alpha_pattern",
                                             "lora_target_parameters",
                                             "lora_modules_to_save",
                                             "peft_use_dora",
                                             "peft_use_rslora",
                                             "peft_layers_to_transform",
                                             "peft_init_lora_weights"};
  for (const auto& [name, value] : root.members) {
    if (std::find(std::begin(kOfAdapter), std::end(kOfAdapter), name) == std::end(kOfAdapter)) continue;
    if (!value.is_null()) run.notices.push_back(name + ": told by the adapter in lora_model_dir");
  }
}

}  // namespace

std::span<const RunKey> run_keys() {
  static const std::vector<RunKey> all = [] {
    std::vector<RunKey> keys(common_keys().begin(), common_keys().end());
    const auto behind =
        std::find_if(keys.begin(), keys.end(), [](const RunKey& key) { return key.name == "micro_batch_size"; });
    std::vector<RunKey> own(distillation_keys().begin(), distillation_keys().end());
    own.insert(own.end(), online_keys().begin(), online_keys().end());
    own.insert(own.end(), classification_keys().begin(), classification_keys().end());
    keys.insert(behind, own.begin(), own.end());
    return keys;
  }();
  return all;
}

TrainingRun parse_training_run(const std::string& yaml, const std::string& origin,
                               const std::vector<std::string>& overrides) {
  YamlValue root = parse_yaml(yaml, origin);
  if (root.is_null()) root.kind = YamlValue::Kind::mapping;
  if (root.kind != YamlValue::Kind::mapping) throw wrong_value(root, "run", "a mapping of keys");
  for (const std::string& text : overrides) apply_override(root, text);
  take_trl_keys(root);
  TrainingRun run;
  run.yaml = yaml;
  run.overrides = overrides;
  check_aliases(root);
  for (const auto& [name, value] : root.members) read_key(run, name, value);
  check_together(run, origin);
  read_template(run, origin);
  note_saved_adapter(run, root);
  if (run.evals_per_epoch > 0 && !holds_back(run)) run.notices.emplace_back("evals_per_epoch: no data are held back");
  return run;
}

TrainingRun load_training_run(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_training_run(read_text(path, kLongestFile), path, overrides);
}

std::string training_run_defaults() {
  const TrainingRun defaults;
  std::string text;
  for (const RunKey& key : run_keys()) {
    if (!key.help.empty()) text += "# " + std::string(key.help) + "\n";
    std::string value = std::visit(Shower{defaults}, key.field);
    if (value.empty()) value = special_default(key.name, defaults);
    text += std::string(key.name) + ":" + (value.empty() ? "" : " " + value) + "\n";
  }
  return text;
}

}  // namespace powerhouse
