#include "training/training_loop.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>

#include "powerhouse/device.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/philox.h"
#include "support/seconds_since.h"
#include "training/model_state.h"

namespace powerhouse {
namespace {

constexpr std::size_t kRecentLosses = 10;

using Clock = std::chrono::steady_clock;
Optimizer make_optimizer(const TrainerParts& parts) {
  OptimizerOptions optimizer = parts.options.optimizer;
  if (const auto rate = parts.options.learning_rate) {
    std::visit([&](auto& own) { own.lr = *rate; }, optimizer);
    if (auto* muon = std::get_if<MuonOptions>(&optimizer)) muon->adamw.lr = *rate;
  }
  auto parameters = parts.model.trainable_parameters();
  for (auto& extra : parts.objective->extra_parameters()) parameters.push_back(std::move(extra));
  return Optimizer(make_parameter_groups(parameters, parts.options.parameter_groups), optimizer,
                   parts.options.optimizer_storage);
}

// A dropout key for each pass of each step, whatever came before.
std::uint64_t dropout_key(std::uint64_t seed, std::int64_t step, std::size_t pass) {
  const auto words =
      Random(seed, RandomStream::dropout, static_cast<std::uint32_t>(pass)).block(static_cast<std::uint64_t>(step));
  return std::uint64_t{words[1]} << 32 | words[0];
}

// What "latest" promises; "auto" takes a new run too.
std::optional<WholeCheckpoint> latest_checkpoint(const TrainingOptions& options) {
  auto latest = latest_whole_checkpoint(options.output_dir);
  if (latest) return latest;
  if (options.resume_from_checkpoint == "latest") {
    throw Error(ErrorKind::not_found, "no whole checkpoint to resume from",
                {.file = options.output_dir, .field = "resume_from_checkpoint"});
  }
  log(LogLevel::info, "no checkpoint to resume from: a new run");
  return latest;
}

std::string new_run_id() { return std::to_string(microseconds_now()) + "-" + std::to_string(::getpid()); }

}  // namespace

Evaluation evaluate(const TrainerParts& parts) {
  const auto begin = Clock::now();
  Evaluation evaluation = parts.objective->evaluate();
  evaluation.seconds = seconds_since(begin);
  return evaluation;
}

TrainingLoop::TrainingLoop(TrainerParts& parts)
    : parts_(parts),
      options_(parts.options),
      objective_(*parts.objective),
      optimizer_(make_optimizer(parts)),
      watchdog_(parts.options.watchdog) {}

void TrainingLoop::begin() {
  objective_.restart();
  state_.run_id = new_run_id();
  state_.data_fingerprint = objective_.data_fingerprint();
  state_.base_fingerprint = base_fingerprint(parts_.model);
  state_.gradient_accumulation_steps = options_.gradient_accumulation_steps;
  std::string from = options_.resume_from_checkpoint;
  while (from.size() > 1 && from.ends_with('/')) from.pop_back();
  const bool by_time = from == "auto" || from == "latest";
  const std::optional<WholeCheckpoint> latest = by_time ? latest_checkpoint(options_) : std::nullopt;
  if (by_time) from = latest ? latest->path : "";
  if (!options_.output_dir.empty()) {
    lock_.take(options_.output_dir, "output_dir");
    remove_unfinished_checkpoints(options_.output_dir);
  }
  if (!from.empty()) resume(from, latest ? latest->state : read_checkpoint(from));
  const std::int64_t total = parts_.plan.total_steps();
  Facts facts{{"model", parts_.model.config().architecture + ", " + std::string(to_string(parts_.model.dtype()))}};
  for (auto& fact : objective_.facts()) facts.push_back(std::move(fact));
  facts.emplace_back("steps", std::to_string(total));
  facts.emplace_back("run", state_.run_id);
  std::error_code ignored;  // a run that goes on in another folder begins its logs there
  const bool same_folder = !from.empty() && std::filesystem::equivalent(std::filesystem::absolute(from).parent_path(),
                                                                        options_.output_dir, ignored);
  files_ = std::make_unique<RunFiles>(options_, state_.step, same_folder, total, std::move(facts));
  if (!options_.output_dir.empty()) {
    write_manifest(options_.output_dir, parts_.model, options_, state_.run_id, state_.data_fingerprint, total);
  }
}

std::int64_t TrainingLoop::checkpointed_layers(std::int64_t rows) {
  const std::uint64_t budget = options_.activation_memory_budget;
  if (budget == 0) return options_.checkpointed_layers;
  const CausalLM& model = parts_.model;
  const std::int64_t layers = checkpointed_layers_for(model.config(), rows, model.dtype(), budget);
  const std::uint64_t bytes = activation_bytes(model.config(), rows, model.dtype(), layers);
  if (bytes > budget && !std::exchange(over_budget_, true)) {
    JsonObject details;
    details["rows"] = rows;
    details["activation_bytes"] = Json(bytes);
    files_->event(state_.step, "over_budget", std::move(details),
                  "step " + std::to_string(state_.step) + ": activations of " + std::to_string(rows) + " tokens need " +
                      std::to_string(bytes) + " bytes with all layers computed again, more than " +
                      "activation_memory_budget");
  }
  return layers;
}

StepContext TrainingLoop::context() {
  return {.step = state_.step, .score_options = [this](std::size_t pass, std::int64_t rows) {
            return ScoreOptions{.checkpointed_layers = checkpointed_layers(rows),
                                .dropout_key = dropout_key(options_.seed, state_.step, pass)};
          }};
}

void TrainingLoop::step() {
  const auto begin = Clock::now();
  const StepData data = objective_.load(options_.gradient_accumulation_steps);
  TrainingStep record{.step = ++state_.step, .tokens = data.tokens, .target_tokens = data.target_tokens};
  state_.epoch = record.epoch = parts_.plan.epoch(record.step);
  const bool back = update(record, data);
  const double seconds = seconds_since(begin);
  training_seconds_ += seconds;
  tokens_ += data.tokens;
  state_.tokens += data.tokens;
  record.tokens_per_second = static_cast<double>(data.tokens) / seconds;
  record.peak_memory_bytes = peak_memory_bytes();
  files_->step(record, data.rows);
  if (!record.skipped.empty()) skip(record, data, record.skipped);
  if (back) return roll_back(record);
  after_step(record);
}

bool TrainingLoop::update(TrainingStep& record, const StepData& data) {
  const double multiplier = learning_rate_multiplier(options_.schedule, record.step - 1, parts_.plan.total_steps());
  const std::vector<double> rates = optimizer_.learning_rates();
  record.learning_rate = rates.empty() ? 0 : rates.front() * multiplier;
  if (!data.nothing.empty()) {
    record.loss = std::numeric_limits<double>::quiet_NaN();
    record.skipped = data.nothing;
    return false;
  }
  StepLoss step = objective_.forward_and_backward(context());
  record.loss = step.loss;
  record.metrics = std::move(step.metrics);
  const Watchdog::Verdict verdict = watchdog_.judge(record.loss, record.skipped);
  if (verdict == Watchdog::Verdict::good) {
    const StepResult result = optimizer_.step({.lr_multiplier = multiplier, .max_grad_norm = options_.max_grad_norm});
    record.grad_norm = result.grad_norm;
    if (result.applied) {
      watchdog_.applied();
      objective_.updated(record.step);
    } else {
      record.skipped = "the gradient of " + result.not_finite + " is not finite";
      watchdog_.not_finite(result.not_finite + " in " + rows_text(data.rows));
    }
  }
  optimizer_.zero_grad();
  return verdict == Watchdog::Verdict::roll_back;
}

void TrainingLoop::skip(TrainingStep& record, const StepData& data, const std::string& reason) {
  ++skipped_;
  JsonObject details;
  details["reason"] = reason;
  details["rows"] = rows_text(data.rows);
  files_->event(
      record.step, "skipped_step", std::move(details),
      "step " + std::to_string(record.step) + " is not applied: " + reason + " (" + rows_text(data.rows) + ")");
}

void TrainingLoop::after_step(const TrainingStep& record) {
  if (record.skipped.empty()) {
    ++applied_;
    Json::Array& recent = state_.recent_losses.as_array();
    recent.emplace_back(record.loss);
    if (recent.size() > kRecentLosses) recent.erase(recent.begin());
  }
  control_.evaluate = control_.save = false;
  if (parts_.callbacks.on_step) parts_.callbacks.on_step(record, control_);
  const bool last = record.step == parts_.plan.total_steps();
  if (control_.evaluate || parts_.plan.due(options_.evaluation, record.step) ||
      (last && is_asked(options_.evaluation))) {
    run_evaluation();
  }
  const bool first = options_.save_first_step && record.step == 1;
  if (control_.save || first || parts_.plan.due(options_.save, record.step) || (last && is_asked(options_.save)))
    save();
}

void TrainingLoop::run_evaluation() {
  if (!objective_.has_validation() || last_evaluated_step_ == state_.step) return;
  Evaluation evaluation = evaluate(parts_);
  evaluation.step = state_.step;
  evaluation.epoch = state_.epoch;
  last_evaluated_step_ = state_.step;
  last_eval_loss_ = evaluation.eval_loss;
  const double needed = options_.early_stopping_threshold;
  evaluation.best =
      std::isfinite(evaluation.eval_loss) && (!state_.best_eval_loss || evaluation.eval_loss < *state_.best_eval_loss);
  const bool better =
      evaluation.best && (!state_.best_eval_loss || *state_.best_eval_loss - evaluation.eval_loss > needed);
  state_.evaluations_without_better = better ? 0 : state_.evaluations_without_better + 1;
  if (evaluation.best) {
    state_.best_eval_loss = evaluation.eval_loss;
    state_.best_checkpoint = options_.output_dir.empty() ? "" : checkpoint_path(options_.output_dir, state_.step);
  }
  files_->evaluation(evaluation);
  if (parts_.callbacks.on_evaluate) parts_.callbacks.on_evaluate(evaluation, control_);
  if (evaluation.best && (options_.save_best || options_.load_best_model_at_end)) save();
}

TrainingResult TrainingLoop::run(std::stop_token stop) {
  const auto began = Clock::now();
  begin();
  TrainingResult result;
  if (state_.step == 0 && is_asked(options_.evaluation)) run_evaluation();
  while (state_.step < parts_.plan.total_steps()) {
    if (stop.stop_requested()) result.end = TrainingEnd::cancelled;
    if (control_.stop) result.end = TrainingEnd::stopped_by_callback;
    const std::int64_t patience = options_.early_stopping_patience;
    if (patience > 0 && state_.evaluations_without_better >= patience) result.end = TrainingEnd::early_stopping;
    if (result.end != TrainingEnd::finished) break;
    step();
  }
  finish(result);
  result.seconds = seconds_since(began);
  return result;
}

void TrainingLoop::finish(TrainingResult& result) {
  if (skipped_ > 0 && applied_ == 0) throw Error(ErrorKind::numeric, "no step could be applied", {.field = "loss"});
  if (result.end != TrainingEnd::finished && state_.step > 0) save();
  std::error_code ignored;
  const std::string& best = state_.best_checkpoint;
  const bool best_is_there = !best.empty() && std::filesystem::exists(best, ignored);
  if (best_is_there) result.best_checkpoint = best;
  if (options_.load_best_model_at_end && result.end != TrainingEnd::cancelled) load_best(best_is_there);
  files_->write_report();
  result.steps = state_.step;
  result.epochs = state_.epoch;
  result.tokens = state_.tokens;
  result.tokens_per_second = training_seconds_ > 0 ? static_cast<double>(tokens_) / training_seconds_ : 0;
  result.best_eval_loss = state_.best_eval_loss;
  result.final_eval_loss = last_eval_loss_;
  result.last_checkpoint = last_checkpoint_;
  result.skipped_steps = skipped_;
  const Json::Array& recent = state_.recent_losses.as_array();
  for (const Json& loss : recent) result.loss += loss.as_double() / static_cast<double>(recent.size());
}

}  // namespace powerhouse
