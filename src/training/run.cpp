// train(TrainingRun): from keys to data, model, adapter and options, and the result into output_dir.
#include <ATen/core/Tensor.h>

#include <regex>

#include "powerhouse/adapter.h"
#include "powerhouse/chat.h"
#include "powerhouse/device.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "powerhouse/training_run.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "training/checkpoint.h"
#include "training/model_state.h"
#include "training/run_model.h"

namespace powerhouse {
namespace {

constexpr std::size_t kLongestTemplate = std::size_t{1} << 20;
constexpr double kAdapterRate = 2e-4, kFullRate = 2e-5;

void log_lines(const std::string& text) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    log(LogLevel::info, text.substr(begin, end - begin));
    begin = end + 1;
  }
}

// A template or a format's name, before any data is read. `key`: where it stands.
void check_template(const std::string& text, const char* key) {
  if (text.empty() || text.starts_with("tokenizer_default")) return;
  const bool source = text.find("{{") != std::string::npos || text.find("{%") != std::string::npos;
  try {
    source ? ChatTemplate(text) : ChatTemplate::from_format(text);
  } catch (const Error& error) {
    throw error.in_file(key);
  }
}

// What DatasetOptions::chat_template takes: a source, a format's name, or nothing for the tokenizer's own.
std::string chat_template_of(const TrainingRun& run) {
  const bool own = run.chat_template.empty() || run.chat_template == "tokenizer_default";
  if (run.chat_template != "jinja" && !(own && !run.chat_template_jinja.empty())) {
    check_template(own ? "" : run.chat_template, "chat_template");
    return own ? "" : run.chat_template;
  }
  const std::string& given = run.chat_template_jinja;
  if (given.find_first_of("{\n") != std::string::npos) {
    check_template(given, "chat_template_jinja");
    return given;
  }
  const std::string text = read_text(given, kLongestTemplate);
  check_template(text, given.c_str());
  return text;
}

DatasetOptions dataset_options(const TrainingRun& run) {
  return {.sequence_len = run.sequence_len,
          .excess_length_strategy = run.excess_length_strategy == "truncate" ? ExcessLength::truncate
                                    : run.excess_length_strategy == "raise"  ? ExcessLength::raise
                                                                             : ExcessLength::drop,
          .train_on_inputs = run.train_on_inputs,
          .chat_template = chat_template_of(run),
          .eot_tokens = run.eot_tokens,
          .val_set_size = run.val_set_size,
          .seed = run.seed,
          .min_tokens = run.min_sample_len};
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

ScheduleOptions schedule_of(const TrainingRun& run, std::int64_t total_steps) {
  ScheduleOptions schedule{.kind = schedule_kind(run.lr_scheduler)};
  if (schedule.kind == ScheduleKind::cosine) schedule.min_lr_ratio = run.cosine_min_lr_ratio;
  constexpr double kWarmup = 0.03;
  constexpr std::int64_t kMostWarmup = 100;
  if (run.warmup_steps) {
    schedule.warmup_steps = *run.warmup_steps;
  } else if (run.warmup_ratio) {
    schedule.warmup_steps = static_cast<std::int64_t>(*run.warmup_ratio * static_cast<double>(total_steps));
  } else {
    schedule.warmup_steps =
        std::min(static_cast<std::int64_t>(kWarmup * static_cast<double>(total_steps)), kMostWarmup);
  }
  return schedule;
}

// Steps where they are given, else so many an epoch, else what the strategy says; by default once an epoch.
Cadence cadence_of(double steps, std::int64_t per_epoch, const std::string& strategy) {
  if (strategy == "no" || strategy == "best") return {};
  if (steps > 0 && strategy != "epoch") return {.steps = steps};
  return {.per_epoch = per_epoch > 0 && strategy != "epoch" ? per_epoch : 1};
}

TrainingOptions training_options(const TrainingRun& run) {
  TrainingOptions options{
      .learning_rate = run.learning_rate.value_or(run.adapter.empty() ? kFullRate : kAdapterRate),
      .epochs = run.num_epochs,
      .max_steps = run.max_steps,
      .micro_batch_size = run.micro_batch_size,
      .gradient_accumulation_steps = run.gradient_accumulation_steps,
      .sample_packing = run.sample_packing,
      .shuffle = run.shuffle,
      .seed = run.seed,
      .checkpointed_layers = run.gradient_checkpointing == "true" ? -1 : 0,
      .parameter_groups = {.loraplus_lr_ratio = run.loraplus_lr_ratio > 0 ? run.loraplus_lr_ratio : 1,
                           .loraplus_lr_embedding = run.loraplus_lr_embedding},
      .max_grad_norm = run.max_grad_norm,
      .evaluation = cadence_of(run.eval_steps, run.evals_per_epoch, run.eval_strategy),
      .eval_batch_size = run.eval_batch_size,
      .eval_sample_packing = run.eval_sample_packing,
      .early_stopping_patience = run.early_stopping_patience,
      .output_dir = run.output_dir,
      .save = cadence_of(run.save_steps, run.saves_per_epoch, run.save_strategy),
      .save_first_step = run.save_first_step,
      .save_best = run.save_strategy == "best",
      .save_total_limit = run.save_total_limit,
      .load_best_model_at_end = run.load_best_model_at_end,
      .resume_from_checkpoint = run.resume_from_checkpoint == "true" ? "auto" : run.resume_from_checkpoint,
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

void log_notices(const TrainingRun& run) {
  if (run.notices.empty()) return;
  std::string text = "keys without effect here: ";
  for (std::size_t i = 0; i < run.notices.size(); ++i) text += (i == 0 ? "" : "; ") + run.notices[i];
  log(LogLevel::info, text);
}

struct RunData {
  Dataset train;
  std::optional<Dataset> validation;
};

// A side without rows would be a run that does not do what it was asked for.
void check_held_back(const TrainingRun& run, const RunData& data) {
  if (!data.validation) return;
  const bool split = run.test_datasets.empty();
  const std::string found = split ? Json(run.val_set_size).dump() : run.test_datasets.front().path;
  if (data.validation->size() == 0) {
    throw Error(ErrorKind::usage, "no held-back row can be evaluated",
                {.field = split ? "val_set_size" : "test_datasets", .found = found});
  }
  if (split && data.train.size() == 0) {
    throw Error(ErrorKind::usage, "no row is left to train on: all are held back",
                {.field = "val_set_size", .found = found});
  }
}

// Before the first step, not in the middle of the run that meets such a row.
void check_length(const TrainingRun& run, const CausalLM& model, const Dataset& data) {
  const std::int64_t longest = std::min(run.sequence_len, data.report().lengths.max);
  const std::int64_t context = longest_sequence(model.config());
  if (longest <= context) return;
  throw Error(
      ErrorKind::range, "rows longer than the model's context",
      {.field = "sequence_len", .expected = "at most " + std::to_string(context), .found = std::to_string(longest)});
}

// What `true` promises; auto_resume_from_checkpoints takes a new run too.
void check_resume(const TrainingRun& run) {
  if (run.resume_from_checkpoint != "true" || latest_whole_checkpoint(run.output_dir)) return;
  throw Error(ErrorKind::not_found, "no whole checkpoint to resume from",
              {.file = run.output_dir, .field = "resume_from_checkpoint"});
}

// Templates of single data sets may lie in files too.
std::vector<DatasetSource> with_templates(std::vector<DatasetSource> sources) {
  for (DatasetSource& source : sources) {
    std::string& text = source.chat_template;
    if (text.empty() || text.find_first_of("{\n") != std::string::npos || !may_exist(text)) continue;
    text = read_text(text, kLongestTemplate);
  }
  return sources;
}

RunData open_data(const TrainingRun& run, const Tokenizer& tokenizer) {
  const DatasetOptions options = dataset_options(run);
  const Dataset data = Dataset::open(tokenizer, with_templates(run.datasets), options);
  RunData parts{data.train(), std::nullopt};
  if (!run.test_datasets.empty()) {
    parts.validation = Dataset::open(tokenizer, with_templates(run.test_datasets), options);
  } else if (run.val_set_size > 0) {
    parts.validation = data.validation();
  }
  check_held_back(run, parts);
  return parts;
}

std::int64_t total_steps_of(CausalLM& model, const RunData& data, const TrainingOptions& options) {
  return Trainer(model, data.train, data.validation, options).total_steps();
}

}  // namespace

TrainingResult train(const TrainingRun& run, std::stop_token stop) {
  TrainingOptions options = training_options(run);
  check_resume(run);
  const Tokenizer tokenizer = run_tokenizer(run);
  const RunData data = open_data(run, tokenizer);
  log_notices(run);
  log_lines(data.train.report().text());
  CausalLM model = run_model(run);
  check_length(run, model, data.train);
  if (data.validation) check_length(run, model, *data.validation);
  options.schedule = schedule_of(run, total_steps_of(model, data, options));
  TrainingResult result = Trainer(model, data.train, data.validation, options).train(std::move(stop));
  if (result.end == TrainingEnd::cancelled) return result;
  if (const std::string broken = not_finite_parameter(model); !broken.empty()) {
    throw Error(ErrorKind::numeric, "training left numbers that are not finite, and nothing is written",
                {.file = run.output_dir, .field = broken});
  }
  save_trained(model, run.output_dir);
  return result;
}

}  // namespace powerhouse
