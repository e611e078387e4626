// A training run as data: the YAML that `powerhouse train --config run.yaml` reads, in Axolotl's keys.
//
//     auto run = powerhouse::load_training_run("run.yaml", {"learning_rate=1e-4"});
//     powerhouse::train(run);
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/dataset.h"
#include "powerhouse/device.h"
#include "powerhouse/export.h"
#include "powerhouse/online_run.h"
#include "powerhouse/trainer.h"

namespace powerhouse {

/// One field a key, under Axolotl's name and with Axolotl's meaning; defaults are Axolotl's but where a comment says
/// otherwise. `powerhouse train --print-defaults` explains every key.
struct TrainingRun {
  /// Where the models compute: no key of the file, but `--device` of the program.
  Device device{};
  std::string base_model{};  ///< a GGUF file or a folder; required
  std::string adapter{};     ///< "lora", "qlora" or empty: full fine-tuning
  bool load_in_4bit = false;
  bool load_in_8bit = false;
  std::string lora_model_dir{};  ///< a saved adapter to go on with
  std::int64_t lora_r = 8;
  double lora_alpha = 8;
  double lora_dropout = 0;
  std::vector<std::string> lora_target_modules{};  ///< names; empty: the family's own choice, PEFT's
  std::string lora_target_pattern{};               ///< lora_target_modules given as one text: a regular expression
  bool lora_target_linear = false;
  std::vector<std::string> lora_target_parameters{};  ///< expert tensors, whole
  std::vector<std::string> lora_modules_to_save{};
  std::map<std::string, std::int64_t> lora_rank_pattern{};
  std::map<std::string, double> lora_alpha_pattern{};
  std::vector<std::int64_t> peft_layers_to_transform{};
  std::string peft_init_lora_weights = "true";
  bool peft_use_dora = false;
  bool peft_use_rslora = false;
  double loraplus_lr_ratio = 0;  ///< 0 is off
  double loraplus_lr_embedding = 1e-6;
  std::vector<std::string> unfrozen_parameters{};  ///< without an adapter: only these train; see docs/training.md

  /// A format's name, "jinja", or empty: the tokenizer's own; or the source, as a run that was read from a file has it.
  std::string chat_template{};
  std::string chat_template_jinja{};  ///< source, or the name of a file of it
  /// bos_token, eos_token, pad_token, unk_token: a special token of the vocabulary for each, instead of the files'. It
  /// is saved with what is trained.
  std::vector<std::pair<std::string, std::string>> special_tokens{};
  std::vector<std::string> eot_tokens{};
  std::vector<DatasetSource> datasets{};
  std::vector<DatasetSource> test_datasets{};  ///< instead of val_set_size
  double val_set_size = 0;
  bool shuffle = true;  ///< also `shuffle_merged_datasets`
  std::int64_t sequence_len = 512;
  std::string excess_length_strategy = "drop";
  std::int64_t min_sample_len = 2;
  bool sample_packing = false;
  std::optional<bool> eval_sample_packing{};  ///< default: sample_packing
  bool pad_to_sequence_len = false;           ///< no padding exists here: changes nothing
  bool train_on_inputs = false;

  /// A name that ends in "ForSequenceClassification": train such a head on labelled texts (classification_dataset.h).
  std::string model_type{};
  std::int64_t num_labels = 0;          ///< of it; 0: the base's, or the data's
  std::string problem_type{};           ///< config.json's; empty: the base's, or the data's
  std::vector<std::string> id2label{};  ///< names by number; empty: the base's, or the data's

  /// "dpo", "ipo", "orpo", "kto", "cpo", "simpo", "reward": train on preferences; "distill": from a teacher; "grpo",
  /// "rloo", "ppo": on completions that the model samples; empty: on the next token. What follows is Error{format} for
  /// a method that does not have it; defaults are the method's own.
  std::string rl{};
  std::optional<double> rl_beta{};  ///< also `beta`, `dpo_beta`, `kd_beta`, and `orpo_alpha` of orpo
  std::vector<std::string> loss_type{};
  std::vector<double> loss_weights{};
  std::optional<double> label_smoothing{};
  std::string f_divergence_type{};
  std::optional<double> f_alpha_divergence_coef{}, ld_alpha{}, discopop_tau{};
  bool use_weighting = false;  ///< also `dpo_use_weighting`: WPO
  std::optional<double> desirable_weight{}, undesirable_weight{};
  std::optional<double> cpo_alpha{}, simpo_gamma{};
  std::optional<double> alpha{};                       ///< AlphaPO's
  std::string nll{};                                   ///< ours: OrpoNll or CpoNll by name
  bool bos_and_eos = false;                            ///< ours: PreferenceDatasetOptions::bos_and_eos
  std::optional<double> center_rewards_coefficient{};  ///< of reward, whose model gets a head of one number
  std::string truncation_mode = "keep_start";          ///< of rows over sequence_len
  std::string ref_model{};                             ///< a model; empty: the base without the adapter, or a copy
  bool precompute_ref_log_probs = false;
  std::int64_t precompute_ref_batch_size = 0;
  bool sync_ref_model = false;
  std::optional<double> ref_model_mixup_alpha{};
  std::optional<std::int64_t> ref_model_sync_steps{};
  std::optional<bool> disable_dropout{};  ///< default: true; of grpo, rloo and ppo false, as TRL's
  std::string teacher_model{};            ///< of distill: a GGUF file or a folder; required there
  std::optional<double> kd_alpha{}, kd_ce_alpha{}, kd_temperature{};
  bool kd_scale_by_temperature_squared = false;
  double kd_hidden_state_weight = 0;
  std::int64_t kd_top_k = 0;   ///< ours: above 0, ask the teacher once and train from a file of its likeliest tokens
  std::string kd_cache_dir{};  ///< ours: where that file is; empty: output_dir
  bool use_uld_loss = false;   ///< TRL's: the teacher has another tokenizer
  OnlineRun online{};          ///< of grpo, rloo and ppo; its fields are keys as these are

  std::int64_t micro_batch_size = 1;
  std::int64_t gradient_accumulation_steps = 1;
  std::int64_t eval_batch_size = 0;  ///< 0: micro_batch_size
  double num_epochs = 1;
  std::int64_t max_steps = 0;  ///< 0 or -1: by num_epochs
  std::string optimizer = "adamw_torch_fused";
  std::optional<double>
      learning_rate{};  ///< default, unlike Axolotl: 2e-4 for adapters, else 2e-5; with rl 1e-5 and 1e-6
  std::string lr_scheduler = "cosine";
  double cosine_min_lr_ratio = 0;
  std::optional<std::int64_t> warmup_steps{};  ///< default: 3 % of all steps, rounded up, at most 100
  std::optional<double> warmup_ratio{};
  double weight_decay = 0;
  double max_grad_norm = 1;  ///< 0 or less is off
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  std::uint64_t seed = 42;
  std::string bf16 = "auto";    ///< "true"; "false": float32 throughout; "auto": where the processor multiplies bf16
  bool master_weights = false;  ///< ours: float32 copies of trained bf16 weights
  std::string gradient_checkpointing = "false";  ///< "true"; also "unsloth"
  std::uint64_t activation_memory_budget = 0;    ///< ours: bytes, see TrainingOptions; 0 is off

  std::int64_t logging_steps = 10;  ///< of lines on stderr; train_log.jsonl has every step
  double eval_steps = 0;            ///< below 1: a share of all steps; 0: not by steps
  std::int64_t evals_per_epoch = 0;
  std::string eval_strategy{};  ///< "steps" (without a number: logging_steps), "epoch", "no"; default: epoch
  double save_steps = 0;        ///< as eval_steps
  std::int64_t saves_per_epoch = 0;
  std::string save_strategy{};  ///< "steps" (without a number: 500), "epoch", "no", "best"; default: epoch
  std::int64_t save_total_limit = 4;
  bool save_first_step = false;
  bool load_best_model_at_end = false;
  std::int64_t early_stopping_patience = 0;  ///< evaluations without a better one; 0 is off
  double loss_watchdog_threshold = 0;        ///< 0 is off
  std::int64_t loss_watchdog_patience = 3;
  bool use_tensorboard = false;
  std::string resume_from_checkpoint{};  ///< a folder; "true": the latest whole one of output_dir
  bool auto_resume_from_checkpoints = false;
  std::string output_dir = "./model-out";

  std::vector<std::string> notices{};    ///< of keys that have no effect here
  std::string yaml{};                    ///< what it was read from, for run.json
  std::vector<std::string> overrides{};  ///< the same
};

/// Reads a YAML file; each override is `key=value`, the value in YAML, keys with dots for what lies deeper
/// ("datasets.0.path=x.jsonl"). A key is honoured; or known and without effect here, which joins `notices`; or known
/// and switched on but not built: Error{unsupported}; or unknown: Error{format} with the nearest key. Values of wrong
/// type or out of bounds are Error{format} with file and line; on the command line all this is Error{usage}.
POWERHOUSE_API TrainingRun load_training_run(const std::string& path, const std::vector<std::string>& overrides = {});
/// The same of a text; `origin` is its name in errors.
POWERHOUSE_API TrainingRun parse_training_run(const std::string& yaml, const std::string& origin,
                                              const std::vector<std::string>& overrides = {});

/// Every honoured key with its default and what it means, as YAML that load_training_run reads.
POWERHOUSE_API std::string training_run_defaults();

/// Runs it: opens the data, loads the model, trains, and leaves in output_dir the adapter or the model, checkpoints,
/// train_log.jsonl, data_order.jsonl, report.html and run.json. Errors of every kind; Error{cancelled} is none of them:
/// a stopped run saves a checkpoint and returns.
POWERHOUSE_API TrainingResult train(const TrainingRun& run, std::stop_token stop = {});

}  // namespace powerhouse
