// What a TrainingRun says, as options of the trainer and of the data.
#include "training/run_options.h"

#include "powerhouse/optimizer_options.h"
#include "powerhouse/schedule.h"
#include "support/json.h"
#include "training/run_config.h"

namespace powerhouse {
namespace {

constexpr double kAdapterRate = 2e-4, kFullRate = 2e-5;
// Of preferences: TRL's, and ten times as much for adapters.
constexpr double kPreferenceAdapterRate = 1e-5, kPreferenceRate = 1e-6;
constexpr double kRewardRate = 1e-4;  // TRL's
// Axolotl's warm-up where none is asked for.
constexpr double kWarmup = 0.03;
constexpr std::int64_t kMostWarmup = 100;
// transformers' save_steps.
constexpr double kSaveSteps = 500;

double default_rate(const TrainingRun& run) {
  if (run.rl.empty() || run.rl == "distill") return run.adapter.empty() ? kFullRate : kAdapterRate;
  if (run.rl == "reward") return kRewardRate;
  return run.adapter.empty() ? kPreferenceRate : kPreferenceAdapterRate;
}

OptimizerOptions optimizer_of(const TrainingRun& run, OptimizerStorage& storage) {
  const NamedOptimizer named = optimizer_options(run.optimizer, {.weight_decay = run.weight_decay,
                                                                 .adam_beta1 = run.adam_beta1,
                                                                 .adam_beta2 = run.adam_beta2,
                                                                 .adam_epsilon = run.adam_epsilon});
  storage.paged = named.paged;
  storage.master_weights = run.master_weights;
  storage.seed = run.seed;
  return named.options;
}

ScheduleOptions schedule_of(const TrainingRun& run) {
  ScheduleOptions schedule{.kind = schedule_kind(run.lr_scheduler)};
  if (schedule.kind == ScheduleKind::cosine) schedule.min_lr_ratio = run.cosine_min_lr_ratio;
  if (run.warmup_steps) {
    schedule.warmup_steps = *run.warmup_steps;
  } else if (run.warmup_ratio) {
    schedule.warmup_ratio = *run.warmup_ratio;
  } else {
    schedule.warmup_ratio = kWarmup;
    schedule.max_warmup_steps = kMostWarmup;
  }
  return schedule;
}

// Steps where they are given, else so many an epoch, else what the strategy says; by default once an epoch. Which of
// them exclude each other: run_checks.cpp.
Cadence cadence_of(const std::string& strategy, double steps, std::int64_t per_epoch, double default_steps) {
  if (strategy == "no" || strategy == "best") return {};
  if (steps > 0) return {.steps = steps};
  if (per_epoch > 0) return {.per_epoch = per_epoch};
  if (strategy == "steps") return {.steps = default_steps};
  return {.per_epoch = 1};
}

}  // namespace

DatasetOptions dataset_options(const TrainingRun& run) {
  return {.sequence_len = run.sequence_len,
          .excess_length_strategy = run.excess_length_strategy == "truncate" ? ExcessLength::truncate
                                    : run.excess_length_strategy == "raise"  ? ExcessLength::raise
                                                                             : ExcessLength::drop,
          .train_on_inputs = run.train_on_inputs,
          .chat_template = chat_template_source(run.chat_template, run.chat_template_jinja),
          .eot_tokens = run.eot_tokens,
          .val_set_size = run.val_set_size,
          .seed = run.seed,
          .min_tokens = run.min_sample_len};
}

TrainingOptions training_options(const TrainingRun& run) {
  TrainingOptions options{
      .learning_rate = run.learning_rate.value_or(default_rate(run)),
      .epochs = run.num_epochs,
      .max_steps = run.max_steps,
      .micro_batch_size = run.micro_batch_size,
      .gradient_accumulation_steps = run.gradient_accumulation_steps,
      .sample_packing = run.sample_packing,
      .shuffle = run.shuffle,
      .seed = run.seed,
      .checkpointed_layers = run.gradient_checkpointing == "true" ? -1 : 0,
      .activation_memory_budget = run.activation_memory_budget,
      .parameter_groups = {.loraplus_lr_ratio = run.loraplus_lr_ratio > 0 ? run.loraplus_lr_ratio : 1,
                           .loraplus_lr_embedding = run.loraplus_lr_embedding},
      .schedule = schedule_of(run),
      .max_grad_norm = run.max_grad_norm,
      .evaluation =
          cadence_of(run.eval_strategy, run.eval_steps, run.evals_per_epoch, static_cast<double>(run.logging_steps)),
      .eval_batch_size = run.eval_batch_size,
      .eval_sample_packing = run.eval_sample_packing,
      .early_stopping_patience = run.early_stopping_patience,
      .output_dir = run.output_dir,
      .save = cadence_of(run.save_strategy, run.save_steps, run.saves_per_epoch, kSaveSteps),
      .save_first_step = run.save_first_step,
      .save_best = run.save_strategy == "best",
      .save_total_limit = run.save_total_limit,
      .load_best_model_at_end = run.load_best_model_at_end,
      .resume_from_checkpoint = run.resume_from_checkpoint == "true" ? "latest" : run.resume_from_checkpoint,
      .watchdog = {.threshold = run.loss_watchdog_threshold, .patience = run.loss_watchdog_patience},
      .logging_steps = run.logging_steps,
      .tensorboard = run.use_tensorboard};
  if (options.resume_from_checkpoint.empty() && run.auto_resume_from_checkpoints) {
    options.resume_from_checkpoint = "auto";
  }
  options.optimizer = optimizer_of(run, options.optimizer_storage);
  JsonObject manifest;
  manifest["yaml"] = run.yaml;
  Json::Array overrides;
  for (const std::string& text : run.overrides) overrides.emplace_back(text);
  manifest["overrides"] = std::move(overrides);
  options.manifest = Json(std::move(manifest)).dump();
  return options;
}

}  // namespace powerhouse
