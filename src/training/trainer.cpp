// Trainer: checks what it is given, and runs the loop.
#include "powerhouse/trainer.h"

#include <cmath>

#include "model/api_guard.h"
#include "powerhouse/error.h"
#include "powerhouse/pooled_tensors.h"
#include "training/distillation_objective.h"
#include "training/next_token_objective.h"
#include "training/online_objective.h"
#include "training/preference_objective.h"
#include "training/trainer_impl.h"

namespace powerhouse {
namespace {

void check(bool fine, const char* field, const char* expected) {
  if (!fine) throw Error(ErrorKind::usage, "out of range", {.field = field, .expected = expected});
}

void check_cadence(const Cadence& cadence, const char* field) {
  check(cadence.steps >= 0 && cadence.per_epoch >= 0, field, "0 or more");
  check(cadence.steps <= 1 || cadence.steps == std::floor(cadence.steps), field, "a whole number of steps above 1");
}

void check_options(const TrainingOptions& options, const CausalLM& model, bool validation) {
  check(!options.learning_rate || *options.learning_rate >= 0, "learning_rate", "0 or more");
  check(options.max_steps > 0 || (options.max_steps == 0 && options.epochs > 0), "epochs", "above 0, or max_steps");
  check(options.micro_batch_size > 0, "micro_batch_size", "1 or more");
  check(options.gradient_accumulation_steps > 0, "gradient_accumulation_steps", "1 or more");
  check(options.eval_batch_size >= 0, "eval_batch_size", "0 or more");
  check(options.checkpointed_layers >= -1, "checkpointed_layers", "-1 or more");
  check(options.checkpointed_layers == 0 || options.activation_memory_budget == 0, "activation_memory_budget",
        "0 where checkpointed_layers says how many");
  check_cadence(options.evaluation, "evaluation");
  check_cadence(options.save, "save");
  check(options.precision == Dtype::automatic || options.precision == model.dtype(), "precision",
        "the model's compute type: load the model in it (LoadOptions::dtype)");
  const bool needs_evaluation =
      options.load_best_model_at_end || options.save_best || options.early_stopping_patience > 0;
  check(!needs_evaluation || validation, "validation", "held-back rows, to know what is best");
  check(!needs_evaluation || is_asked(options.evaluation), "evaluation", "steps or epochs, to know what is best");
  check(!options.load_best_model_at_end || !options.output_dir.empty(), "load_best_model_at_end", "an output_dir");
  const bool by_time = options.resume_from_checkpoint == "auto" || options.resume_from_checkpoint == "latest";
  check(!by_time || !options.output_dir.empty(), "resume_from_checkpoint", "an output_dir");
}

}  // namespace

std::string_view to_string(TrainingEnd end) noexcept {
  switch (end) {
    case TrainingEnd::finished: return "finished";
    case TrainingEnd::cancelled: return "cancelled";
    case TrainingEnd::stopped_by_callback: return "stopped by a callback";
    case TrainingEnd::early_stopping: return "early stopping";
  }
  return "unknown";
}

std::unique_ptr<Trainer::Impl> Trainer::Impl::make(CausalLM& model, std::unique_ptr<Objective> objective,
                                                   TrainingOptions options, TrainingCallbacks callbacks) {
  check_options(options, model, objective->has_validation());
  if (model.trainable_parameters().empty() && objective->extra_parameters().empty()) {
    throw Error(ErrorKind::usage, "nothing requires gradients",
                {.field = "model", .expected = "add_adapter, or set_requires_grad(true)"});
  }
  StepPlan plan([&](std::int64_t epoch) { return objective->batches_in_epoch(epoch); }, options.epochs,
                options.max_steps, options.gradient_accumulation_steps);
  return std::make_unique<Impl>(
      Impl{{model, std::move(objective), std::move(options), std::move(callbacks), std::move(plan)}});
}

Trainer::Trainer(CausalLM& model, const Dataset& data, TrainingOptions options, TrainingCallbacks callbacks)
    : Trainer(model, data.train(), data.validation(), std::move(options), std::move(callbacks)) {}

Trainer::Trainer(CausalLM& model, Dataset train, std::optional<Dataset> validation, TrainingOptions options,
                 TrainingCallbacks callbacks) {
  auto objective = make_next_token_objective(model, std::move(train), std::move(validation), options);
  impl_ = Impl::make(model, std::move(objective), std::move(options), std::move(callbacks));
}

Trainer::Trainer(CausalLM& model, const PreferenceDataset& data, PreferenceOptions method, TrainingOptions options,
                 AlignmentOptions alignment, TrainingCallbacks callbacks)
    : Trainer(model, data.train(), data.validation(), std::move(method), std::move(options), std::move(alignment),
              std::move(callbacks)) {}

Trainer::Trainer(CausalLM& model, PreferenceDataset train, std::optional<PreferenceDataset> validation,
                 PreferenceOptions method, TrainingOptions options, AlignmentOptions alignment,
                 TrainingCallbacks callbacks) {
  auto objective = make_preference_objective(model, std::move(train), std::move(validation), std::move(method),
                                             std::move(alignment), options);
  impl_ = Impl::make(model, std::move(objective), std::move(options), std::move(callbacks));
}

Trainer::Trainer(CausalLM& student, const CausalLM& teacher, const Dataset& data, DistillationOptions method,
                 TrainingOptions options, TrainingCallbacks callbacks)
    : Trainer(student, Teacher{.model = &teacher}, data.train(), data.validation(), method, std::move(options),
              std::move(callbacks)) {}

Trainer::Trainer(CausalLM& student, Teacher teacher, Dataset train, std::optional<Dataset> validation,
                 DistillationOptions method, TrainingOptions options, TrainingCallbacks callbacks) {
  auto objective = make_distillation_objective(student, std::move(teacher), std::move(train), std::move(validation),
                                               method, options);
  impl_ = Impl::make(student, std::move(objective), std::move(options), std::move(callbacks));
}

Trainer::Trainer(CausalLM& model, const PromptDataset& data, OnlineMethod method, std::vector<RewardFunction> rewards,
                 OnlineOptions online, TrainingOptions options, TrainingCallbacks callbacks)
    : Trainer(model, data.train(), data.validation(), std::move(method), std::move(rewards), online, std::move(options),
              std::move(callbacks)) {}

Trainer::Trainer(CausalLM& model, PromptDataset train, std::optional<PromptDataset> validation, OnlineMethod method,
                 std::vector<RewardFunction> rewards, OnlineOptions online, TrainingOptions options,
                 TrainingCallbacks callbacks) {
  auto objective = make_online_objective(model, std::move(train), std::move(validation), method, std::move(rewards),
                                         online, options);
  impl_ = Impl::make(model, std::move(objective), std::move(options), std::move(callbacks));
}

Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

TrainingResult Trainer::train(std::stop_token stop) {
  const PooledTensors pool;
  return guarded([&] { return TrainingLoop(impl_->parts).run(std::move(stop)); });
}

Evaluation Trainer::evaluate() {
  if (!impl_->parts.objective->has_validation())
    throw Error(ErrorKind::usage, "no held-back rows", {.field = "validation"});
  return guarded([&] { return powerhouse::evaluate(impl_->parts); });
}

std::int64_t Trainer::total_steps() const { return impl_->parts.plan.total_steps(); }

double Trainer::learning_rate(std::int64_t step) const {
  const TrainingOptions& options = impl_->parts.options;
  const double rate = options.learning_rate.value_or(
      std::visit([](const auto& own) { return std::optional<double>(own.lr).value_or(0); }, options.optimizer));
  return rate * learning_rate_multiplier(options.schedule, step - 1, total_steps());
}

}  // namespace powerhouse
