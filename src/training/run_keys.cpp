// The rows of honoured keys.
#include <algorithm>
#include <array>

#include "powerhouse/optimizer_options.h"
#include "powerhouse/schedule.h"
#include "training/run_config.h"

namespace powerhouse {
namespace {

using R = TrainingRun;

// Whatever `check` throws about a value is said with its place.
template <typename Check>
void checked(const YamlValue& value, const std::string& field, Check check) {
  try {
    check(yaml_string(value, field));
  } catch (const Error& error) {
    if (!error.file().empty()) throw;
    const ErrorKind kind = error.kind() == ErrorKind::unsupported ? ErrorKind::unsupported : value.fault;
    throw Error(kind, error.message(),
                {.file = value.place, .field = field, .expected = error.expected(), .found = yaml_shown(value)});
  }
}

void read_adapter(R& run, const YamlValue& value, const std::string& field) {
  const std::string& name = value.is_null() ? run.adapter = "" : yaml_string(value, field);
  if (name != "" && name != "none" && name != "lora" && name != "qlora") {
    throw wrong_value(value, field, "lora, qlora or none");
  }
  run.adapter = name == "none" ? "" : name;
}

// PEFT takes a list for names and a single text for a pattern.
void read_targets(R& run, const YamlValue& value, const std::string& field) {
  run.lora_target_modules.clear();
  run.lora_target_pattern.clear();
  if (value.kind == YamlValue::Kind::scalar) {
    run.lora_target_pattern = value.text;
  } else if (!value.is_null()) {
    run.lora_target_modules = yaml_strings(value, field);
  }
}

void read_rank_pattern(R& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  if (value.kind != YamlValue::Kind::mapping) throw wrong_value(value, field, "a mapping of patterns to ranks");
  for (const auto& [pattern, rank] : value.members) {
    run.lora_rank_pattern[pattern] = yaml_integer(rank, field + "." + pattern, 1);
  }
}

void read_alpha_pattern(R& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  if (value.kind != YamlValue::Kind::mapping) throw wrong_value(value, field, "a mapping of patterns to alphas");
  for (const auto& [pattern, alpha] : value.members) {
    run.lora_alpha_pattern[pattern] = yaml_number(alpha, field + "." + pattern, 0);
  }
}

void read_layers(R& run, const YamlValue& value, const std::string& field) {
  run.peft_layers_to_transform.clear();
  if (value.is_null()) return;
  if (value.kind == YamlValue::Kind::scalar) {
    run.peft_layers_to_transform.push_back(yaml_integer(value, field, 0));
    return;
  }
  if (value.kind != YamlValue::Kind::sequence) throw wrong_value(value, field, "a list of layers");
  for (const YamlValue& item : value.items) run.peft_layers_to_transform.push_back(yaml_integer(item, field, 0));
}

void read_special_tokens(R& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  if (value.kind != YamlValue::Kind::mapping) throw wrong_value(value, field, "a mapping of roles to tokens");
  for (const auto& [role, token] : value.members) {
    const std::string name = field + "." + role;
    if (role == "additional_special_tokens" && yaml_truthy(token)) {
      throw Error(ErrorKind::unsupported, "new tokens are not added to a vocabulary",
                  {.file = token.place, .field = name, .found = yaml_shown(token)});
    }
    constexpr std::array roles{"bos_token", "eos_token", "pad_token", "unk_token", "additional_special_tokens"};
    if (std::find(roles.begin(), roles.end(), role) == roles.end()) {
      throw Error(token.fault, "no such special token",
                  {.file = token.place, .field = name, .expected = "bos_token, eos_token, pad_token or unk_token"});
    }
    if (!token.is_null() && role != "additional_special_tokens") {
      run.special_tokens.emplace_back(role, yaml_string(token, name));
    }
  }
}

void read_datasets(R& run, const YamlValue& value, const std::string& field) {
  run.datasets = read_dataset_sources(value, field);
}

void read_test_datasets(R& run, const YamlValue& value, const std::string& field) {
  if (!value.is_null()) run.test_datasets = read_dataset_sources(value, field);
}

void read_max_steps(R& run, const YamlValue& value, const std::string& field) {
  run.max_steps = value.is_null() ? 0 : std::max<std::int64_t>(0, yaml_integer(value, field, -1));
}

void read_optimizer(R& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  checked(value, field, [](const std::string& name) { optimizer_options(name); });
  run.optimizer = value.text;
}

void read_schedule(R& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  checked(value, field, [](const std::string& name) { schedule_kind(name); });
  run.lr_scheduler = value.text;
}

// Words, and true and false in any of YAML's spellings.
void read_word(std::string& target, const YamlValue& value, const std::string& field,
               std::initializer_list<std::string_view> words, const std::string& expected) {
  if (value.is_null()) return;
  if (value.kind == YamlValue::Kind::scalar &&
      std::find(words.begin(), words.end(), std::string_view(value.text)) != words.end()) {
    target = value.text;
    return;
  }
  try {
    target = yaml_bool(value, field) ? "true" : "false";
  } catch (const Error&) {
    throw wrong_value(value, field, expected);
  }
}

void read_bf16(R& run, const YamlValue& value, const std::string& field) {
  read_word(run.bf16, value, field, {"auto", "full"}, "true, false or auto");
  if (run.bf16 == "full") run.bf16 = "true";
}

void read_checkpointing(R& run, const YamlValue& value, const std::string& field) {
  if (value.kind == YamlValue::Kind::scalar && value.text.starts_with("offload")) {
    throw Error(ErrorKind::unsupported, "activations are not offloaded here",
                {.file = value.place, .field = field, .expected = "true, false or unsloth", .found = value.text});
  }
  read_word(run.gradient_checkpointing, value, field, {"unsloth"}, "true, false or unsloth");
  if (run.gradient_checkpointing == "unsloth") run.gradient_checkpointing = "true";
}

// A number of bytes, with one of the units that people write.
void read_budget(R& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  constexpr std::pair<std::string_view, double> units[] = {
      {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}};
  constexpr double kMost = 0x1p60;
  YamlValue number = value;
  double unit = 1;
  for (const auto& [name, bytes] : units) {
    if (value.kind != YamlValue::Kind::scalar || !value.text.ends_with(name)) continue;
    number.text = value.text.substr(0, value.text.find_last_not_of(' ', value.text.size() - name.size() - 1) + 1);
    unit = bytes;
    break;
  }
  try {
    run.activation_memory_budget = static_cast<std::uint64_t>(unit * yaml_number(number, field, 0, kMost / unit));
  } catch (const Error&) {
    throw wrong_value(value, field, "bytes, as 512MiB, 2GiB or 1000000; 0 is off");
  }
}

void read_autocast(R&, const YamlValue& value, const std::string& field) {
  if (value.is_null() || yaml_bool(value, field)) return;
  throw Error(ErrorKind::unsupported, "adapters are kept and trained in float32",
              {.file = value.place, .field = field, .expected = "true", .found = yaml_shown(value)});
}

void read_metric(R&, const YamlValue& value, const std::string& field) {
  if (value.is_null() || value.text == "eval_loss" || value.text == "loss") return;
  throw Error(ErrorKind::unsupported, "no other metric is built",
              {.file = value.place, .field = field, .expected = "eval_loss", .found = yaml_shown(value)});
}

void read_initialization(R& run, const YamlValue& value, const std::string& field) {
  read_word(run.peft_init_lora_weights, value, field, {"gaussian", "pissa"}, "true, false, gaussian or pissa");
}

void read_resume(R& run, const YamlValue& value, const std::string& field) {
  run.resume_from_checkpoint.clear();
  if (value.is_null()) return;
  const std::string& text = yaml_string(value, field);
  if (value.quoted || yaml_truthy(value)) run.resume_from_checkpoint = text;
  if (run.resume_from_checkpoint == "auto" || run.resume_from_checkpoint == "True") run.resume_from_checkpoint = "true";
}

void read_rl(R& run, const YamlValue& value, const std::string& field) {
  constexpr std::string_view kMethods = "dpo|ipo|orpo|kto|cpo|simpo|reward|distill|grpo|rloo|ppo";
  if (value.is_null()) return;
  const std::string& name = yaml_string(value, field);
  if (name == "gdpo" || name == "ebft") {
    throw Error(ErrorKind::unsupported, "not built", {.file = value.place, .field = field, .found = name});
  }
  if (!has_word(kMethods, name)) throw wrong_value(value, field, "one of " + std::string(kMethods));
  if (run.rl == "reward" && name != run.rl) throw wrong_value(value, field, "reward: reward_model is true");
  run.rl = name;
}

void read_loss_weights(R& run, const YamlValue& value, const std::string& field) {
  if (!value.is_null()) run.loss_weights = yaml_numbers(value, field);
}

constexpr std::string_view kStrategies = "steps|epoch|no";

const auto& table() {
  static const std::array keys{
      RunKey{"base_model", &R::base_model, "a GGUF file, or a folder in Hugging Face layout; required"},
      RunKey{"adapter", KeyReader{read_adapter}, "lora, qlora, or none: all weights are trained"},
      RunKey{"load_in_4bit", &R::load_in_4bit,
             "quantize a base that is not quantized yet to NF4 (qlora does so anyway)"},
      RunKey{"load_in_8bit", &R::load_in_8bit, "quantize a base that is not quantized yet to int8, row by row"},
      RunKey{"lora_model_dir", &R::lora_model_dir, "start from this saved adapter"},
      RunKey{"lora_r", &R::lora_r, "rank", 1, 1 << 16},
      RunKey{"lora_alpha", &R::lora_alpha, "the adapter is scaled by lora_alpha / lora_r"},
      RunKey{"lora_dropout", &R::lora_dropout, "of the adapter's input", 0, 1},
      RunKey{"lora_target_modules", KeyReader{read_targets},
             "a list of names, or one text: a regular expression; default: what PEFT takes for the family"},
      RunKey{"lora_target_linear", &R::lora_target_linear,
             "every linear layer but the head, beside lora_target_modules"},
      RunKey{"lora_target_parameters", &R::lora_target_parameters, "tensors of experts that get adapters"},
      RunKey{"lora_modules_to_save", &R::lora_modules_to_save, "modules trained whole and saved with the adapter"},
      RunKey{"lora_rank_pattern", KeyReader{read_rank_pattern}, "pattern: rank, for modules of another rank"},
      RunKey{"lora_alpha_pattern", KeyReader{read_alpha_pattern}, "pattern: alpha"},
      RunKey{"peft_layers_to_transform", KeyReader{read_layers}, "only these layers get adapters"},
      RunKey{"peft_autocast_adapter_dtype", KeyReader{read_autocast}, "adapters are float32 whatever the base is"},
      RunKey{"peft_init_lora_weights", KeyReader{read_initialization}, "true, false, gaussian or pissa"},
      RunKey{"peft_use_dora", &R::peft_use_dora, "DoRA: the magnitude of each row is learned apart"},
      RunKey{"peft_use_rslora", &R::peft_use_rslora, "scale by lora_alpha / sqrt(lora_r)"},
      RunKey{"loraplus_lr_ratio", &R::loraplus_lr_ratio, "LoRA+: learning rate of B over that of A; 0 is off"},
      RunKey{"loraplus_lr_embedding", &R::loraplus_lr_embedding, "LoRA+: learning rate of embeddings' adapters"},
      RunKey{"unfrozen_parameters", &R::unfrozen_parameters,
             "regular expressions at the beginning of names: without an adapter, only these parameters are trained"},
      RunKey{"chat_template", &R::chat_template, "a format's name, tokenizer_default, or jinja"},
      RunKey{"chat_template_jinja", &R::chat_template_jinja, "the template, or a file that holds it"},
      RunKey{"special_tokens", KeyReader{read_special_tokens},
             "bos_token, eos_token, pad_token, unk_token: special tokens of the vocabulary in the place of the files'"},
      RunKey{"eot_tokens", &R::eot_tokens, "tokens that end a turn, beside EOS"},
      RunKey{
          "datasets", KeyReader{read_datasets},
          "a list: path, type (completion, alpaca, chat_template, sharegpt, input_output), split, field, "
          "field_messages, message_property_mappings, roles, roles_to_train, train_on_eos, ...; with rl: none (prompt, "
          "chosen, rejected), chat_template.default, chatml.intel, ..., field_chosen, field_rejected; required"},
      RunKey{"test_datasets", KeyReader{read_test_datasets}, "held-back data, instead of val_set_size"},
      RunKey{"val_set_size", &R::val_set_size, "held back: below 1 a share, from 1 on a number of rows"},
      RunKey{"shuffle", &R::shuffle, "rows in a new order each epoch, by the seed"},
      RunKey{"sequence_len", &R::sequence_len, "the most tokens of a row", 2, 1 << 24},
      RunKey{"excess_length_strategy", &R::excess_length_strategy, "what becomes of longer rows", 0, kUnbounded,
             "drop|truncate|raise"},
      RunKey{"min_sample_len", &R::min_sample_len, "shorter rows are left out"},
      RunKey{"sample_packing", &R::sample_packing, "several rows a sequence, none sees another"},
      RunKey{"eval_sample_packing", &R::eval_sample_packing, "in evaluation; default: sample_packing"},
      RunKey{"pad_to_sequence_len", &R::pad_to_sequence_len, "no padding exists here, so this changes nothing"},
      RunKey{"train_on_inputs", &R::train_on_inputs, "prompts are targets too"},
      RunKey{"rl", KeyReader{read_rl},
             "train on preferences: dpo, ipo, orpo, kto, cpo, simpo, reward; distill; or sample: grpo, rloo, ppo"},
      RunKey{"rl_beta", &R::rl_beta,
             "the method's beta; also `beta`; default: 0.1, of distill 1, of grpo 0, of rloo 0.05"},
      RunKey{"loss_type", &R::loss_type,
             "of dpo (one, or a list that is added up), kto, cpo and grpo: docs/alignment.md has them all"},
      RunKey{"loss_weights", KeyReader{read_loss_weights}, "dpo: one for each loss_type"},
      RunKey{"label_smoothing", &R::label_smoothing, "dpo, cpo, simpo", 0, 1},
      RunKey{"f_divergence_type", &R::f_divergence_type, "dpo: reverse_kl, forward_kl, js_divergence ..."},
      RunKey{"f_alpha_divergence_coef", &R::f_alpha_divergence_coef, "dpo: alpha_divergence's alpha", -kUnbounded},
      RunKey{"ld_alpha", &R::ld_alpha, "dpo: weight of tokens beyond the shorter completion's length", 0, 1},
      RunKey{"discopop_tau", &R::discopop_tau, "dpo: discopop's temperature"},
      RunKey{"use_weighting", &R::use_weighting, "dpo: pairs weigh as likely as the model finds them (WPO)"},
      RunKey{"desirable_weight", &R::desirable_weight, "kto: of desirable completions' losses"},
      RunKey{"undesirable_weight", &R::undesirable_weight, "kto: of the others'"},
      RunKey{"cpo_alpha", &R::cpo_alpha, "cpo, simpo: weight of the chosen completions' likelihood; of simpo 0"},
      RunKey{"simpo_gamma", &R::simpo_gamma, "simpo: margin between the two"},
      RunKey{"alpha", &R::alpha, "cpo, simpo: AlphaPO's; 0 is off", -kUnbounded},
      RunKey{"nll", &R::nll, "orpo: prompt_and_completion or completion; cpo: token_mean or sequence_sum (not TRL's)"},
      RunKey{"bos_and_eos", &R::bos_and_eos, "orpo, cpo, simpo: around each row, as TRL has it there (not TRL's name)"},
      RunKey{"center_rewards_coefficient", &R::center_rewards_coefficient,
             "reward: adds this times the mean of (chosen + rejected)^2, so that rewards stay around 0; TRL: 0.01"},
      RunKey{"truncation_mode", &R::truncation_mode, "of longer preferences", 0, kUnbounded, "keep_start|keep_end"},
      RunKey{"ref_model", &R::ref_model,
             "dpo, kto, grpo, rloo, ppo: to compare with (not Axolotl's); default: the base"},
      RunKey{"precompute_ref_log_probs", &R::precompute_ref_log_probs,
             "dpo, kto: score all rows once, kept in output_dir"},
      RunKey{"precompute_ref_batch_size", &R::precompute_ref_batch_size, "rows a pass; 0: micro_batch_size"},
      RunKey{"sync_ref_model", &R::sync_ref_model, "the same: the reference follows the model; not with adapters"},
      RunKey{"ref_model_mixup_alpha", &R::ref_model_mixup_alpha, "by this share; default: 0.6", 0, 1},
      RunKey{"ref_model_sync_steps", &R::ref_model_sync_steps, "each so many steps; default: 512", 1},
      RunKey{"disable_dropout", &R::disable_dropout, "with rl; default: true; of grpo, rloo and ppo false"},
      RunKey{"micro_batch_size", &R::micro_batch_size, "rows (or packed sequences) a pass", 1, 1 << 20},
      RunKey{"gradient_accumulation_steps", &R::gradient_accumulation_steps, "passes a step", 1, 1 << 20},
      RunKey{"eval_batch_size", &R::eval_batch_size, "0: micro_batch_size", 0, 1 << 20},
      RunKey{"num_epochs", &R::num_epochs, "may be a fraction"},
      RunKey{"max_steps", KeyReader{read_max_steps}, "stronger than num_epochs; 0 or -1: by num_epochs"},
      RunKey{"optimizer", KeyReader{read_optimizer},
             "adamw (also adamw_torch, adamw_torch_fused), adamw_bnb_8bit, paged_adamw_8bit, paged_adamw_32bit, "
             "adafactor, lion, muon, sgd, adagrad, rmsprop"},
      RunKey{"learning_rate", &R::learning_rate, "default: 2e-4 for adapters, else 2e-5; with rl 1e-5 and 1e-6"},
      RunKey{"lr_scheduler", KeyReader{read_schedule},
             "constant, constant_with_warmup, linear, cosine, warmup_stable_decay"},
      RunKey{"cosine_min_lr_ratio", &R::cosine_min_lr_ratio, "cosine ends at this share of learning_rate", 0, 1},
      RunKey{"warmup_steps", &R::warmup_steps, "default: 3 % of all steps, rounded up, at most 100"},
      RunKey{"warmup_ratio", &R::warmup_ratio, "of all steps, rounded up; not with warmup_steps", 0, 1},
      RunKey{"weight_decay", &R::weight_decay, "of matrices, not of norms and biases"},
      RunKey{"max_grad_norm", &R::max_grad_norm, "gradients are scaled down to this norm; 0 or less is off",
             -kUnbounded},
      RunKey{"adam_beta1", &R::adam_beta1, "", 0, 1},
      RunKey{"adam_beta2", &R::adam_beta2, "", 0, 1},
      RunKey{"adam_epsilon", &R::adam_epsilon, ""},
      RunKey{"seed", &R::seed, "of data order, dropout and initialization"},
      RunKey{"bf16", KeyReader{read_bf16},
             "true; false: float32 throughout; auto: true where the processor multiplies bf16"},
      RunKey{"master_weights", &R::master_weights, "float32 copies of trained bf16 weights (not Axolotl's)"},
      RunKey{"gradient_checkpointing", KeyReader{read_checkpointing},
             "compute activations again in the backward pass: less memory, more time"},
      RunKey{"activation_memory_budget", KeyReader{read_budget},
             "instead: in each pass as few layers again as keep activations within these bytes, as 512MiB; 0 is off "
             "(not Axolotl's)"},
      RunKey{"logging_steps", &R::logging_steps, "a line on stderr each; train_log.jsonl has every step", 1},
      RunKey{"eval_steps", &R::eval_steps, "evaluate each so many steps; below 1: a share of all"},
      RunKey{"evals_per_epoch", &R::evals_per_epoch, "instead of eval_steps"},
      RunKey{"eval_strategy", &R::eval_strategy,
             "default: epoch where held-back data is; steps without a number: logging_steps", 0, kUnbounded,
             kStrategies},
      RunKey{"save_steps", &R::save_steps, "a checkpoint each so many steps; below 1: a share of all"},
      RunKey{"saves_per_epoch", &R::saves_per_epoch, "instead of save_steps"},
      RunKey{"save_strategy", &R::save_strategy, "default: epoch; steps without a number: 500", 0, kUnbounded,
             "steps|epoch|no|best"},
      RunKey{"save_total_limit", &R::save_total_limit, "checkpoints kept; 0: all"},
      RunKey{"save_first_step", &R::save_first_step, "a checkpoint after the first step too"},
      RunKey{"load_best_model_at_end", &R::load_best_model_at_end, "leave the weights of the best evaluation"},
      RunKey{"metric_for_best_model", KeyReader{read_metric}, "what the best evaluation has the lowest of"},
      RunKey{"early_stopping_patience", &R::early_stopping_patience, "stop after so many worse evaluations; 0 is off"},
      RunKey{"loss_watchdog_threshold", &R::loss_watchdog_threshold,
             "steps of a higher loss are not applied; 0 is off"},
      RunKey{"loss_watchdog_patience", &R::loss_watchdog_patience,
             "after so many in a row go back to the last checkpoint", 1},
      RunKey{"use_tensorboard", &R::use_tensorboard, "write event files into output_dir/runs"},
      RunKey{"resume_from_checkpoint", KeyReader{read_resume}, "a folder, or true: the latest whole one"},
      RunKey{"auto_resume_from_checkpoints", &R::auto_resume_from_checkpoints, "the latest one, where there is one"},
      RunKey{"output_dir", &R::output_dir, "what the run leaves"},
  };
  return keys;
}

}  // namespace

std::span<const RunKey> common_keys() { return table(); }

}  // namespace powerhouse
