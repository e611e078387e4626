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
#include "training/model_state.h"

namespace powerhouse {
namespace {

constexpr std::size_t kRecentLosses = 10;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

Optimizer make_optimizer(const TrainerParts& parts) {
  OptimizerOptions optimizer = parts.options.optimizer;
  if (const auto rate = parts.options.learning_rate) {
    std::visit([&](auto& own) { own.lr = *rate; }, optimizer);
    if (auto* muon = std::get_if<MuonOptions>(&optimizer)) muon->adamw.lr = *rate;
  }
  return Optimizer(make_parameter_groups(parts.model.trainable_parameters(), parts.options.parameter_groups), optimizer,
                   parts.options.optimizer_storage);
}

// A dropout key for each pass of each step, whatever came before.
std::uint64_t dropout_key(std::uint64_t seed, std::int64_t step, std::size_t pass) {
  const auto words =
      Random(seed, RandomStream::dropout, static_cast<std::uint32_t>(pass)).block(static_cast<std::uint64_t>(step));
  return std::uint64_t{words[1]} << 32 | words[0];
}

std::string new_run_id() { return std::to_string(microseconds_now()) + "-" + std::to_string(::getpid()); }

}  // namespace

DataLoaderOptions loader_options(const TrainingOptions& options) {
  return {.micro_batch_size = options.micro_batch_size,
          .sample_packing = options.sample_packing,
          .shuffle = options.shuffle,
          .seed = options.seed,
          .drop_last = options.drop_last};
}

Evaluation evaluate(const TrainerParts& parts) {
  const TrainingOptions& options = parts.options;
  const auto begin = Clock::now();
  DataLoader loader(*parts.validation, {.micro_batch_size = options.eval_batch_size > 0 ? options.eval_batch_size
                                                                                        : options.micro_batch_size,
                                        .sample_packing = options.eval_sample_packing.value_or(options.sample_packing),
                                        .shuffle = false,
                                        .seed = options.seed});
  const c10::AutoGradMode no_gradients(false);
  double sum = 0;
  Evaluation evaluation;
  while (const auto batch = loader.next()) {
    const std::int64_t targets = batch->target_count();
    if (targets == 0) continue;  // a piece of a cut row
    sum += parts.model.loss(*batch, 1.0).loss.item<double>();
    evaluation.target_tokens += targets;
  }
  evaluation.eval_loss = sum / static_cast<double>(evaluation.target_tokens);
  evaluation.seconds = seconds_since(begin);
  return evaluation;
}

TrainingLoop::TrainingLoop(TrainerParts& parts)
    : parts_(parts),
      options_(parts.options),
      loader_(parts.train, loader_options(parts.options)),
      optimizer_(make_optimizer(parts)),
      watchdog_(parts.options.watchdog) {}

void TrainingLoop::begin() {
  state_.run_id = new_run_id();
  state_.data_fingerprint = parts_.train.fingerprint();
  state_.base_fingerprint = base_fingerprint(parts_.model);
  state_.gradient_accumulation_steps = options_.gradient_accumulation_steps;
  std::string from = options_.resume_from_checkpoint;
  while (from.size() > 1 && from.ends_with('/')) from.pop_back();
  if (!options_.output_dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options_.output_dir, error);
    if (error) throw Error(ErrorKind::io, "cannot make the folder: " + error.message(), {.file = options_.output_dir});
    remove_unfinished_checkpoints(options_.output_dir);
  }
  if (from == "auto") {
    const auto latest = latest_whole_checkpoint(options_.output_dir);
    if (!latest) log(LogLevel::info, "no checkpoint to resume from: a new run");
    from = latest ? latest->path : "";
  }
  if (!from.empty()) resume(from);
  const std::int64_t total = parts_.plan.total_steps();
  const Facts facts{{"model", parts_.model.config().architecture + ", " + std::string(to_string(parts_.model.dtype()))},
                    {"rows", std::to_string(parts_.train.size())},
                    {"held-back rows", std::to_string(parts_.validation ? parts_.validation->size() : 0)},
                    {"steps", std::to_string(total)},
                    {"run", state_.run_id}};
  std::error_code ignored;  // a run that goes on in another folder begins its logs there
  const bool same_folder = !from.empty() && std::filesystem::equivalent(std::filesystem::absolute(from).parent_path(),
                                                                        options_.output_dir, ignored);
  files_ = std::make_unique<RunFiles>(options_, state_.step, same_folder, total, facts);
  if (!options_.output_dir.empty()) {
    write_manifest(options_.output_dir, parts_.model, options_, state_.run_id, state_.data_fingerprint, total);
  }
}

void TrainingLoop::resume(const std::string& folder) {
  const TrainerState state = trainer_state_from(read_checkpoint(folder), folder);
  check_same_run(state, state_, folder);
  check_adapter_options(parts_.model, folder);
  try {
    loader_.restore(state.data_position);
  } catch (const Error& error) {
    throw error.in_file(folder);
  }
  restore_weights(parts_.model, folder);
  restore_optimizer(optimizer_, folder);
  watchdog_.restore(state.watchdog);
  state_ = state;
  last_checkpoint_ = folder;
  last_saved_step_ = last_evaluated_step_ = state.step;  // a step is evaluated before it is saved
  log(LogLevel::info, "resumed from " + folder);
}

TrainingLoop::StepData TrainingLoop::next_data() {
  StepData data;
  while (static_cast<std::int64_t>(data.batches.size()) < options_.gradient_accumulation_steps) {
    auto batch = loader_.next();
    if (!batch) {
      if (data.batches.empty()) continue;  // an epoch ends between two steps
      break;                               // its last step may have fewer batches
    }
    data.tokens += static_cast<std::int64_t>(batch->input_ids.size());
    data.target_tokens += batch->target_count();
    for (RowPlace& row : loader_.last_rows()) data.rows.push_back(std::move(row));
    data.batches.push_back(std::move(*batch));
  }
  return data;
}

double TrainingLoop::forward_and_backward(const StepData& data) {
  double loss = 0;
  for (std::size_t pass = 0; pass < data.batches.size(); ++pass) {
    if (data.batches[pass].target_count() == 0) continue;  // a piece of a cut row
    const TokenLoss part = parts_.model.loss(data.batches[pass], static_cast<double>(data.target_tokens),
                                             {.checkpointed_layers = options_.checkpointed_layers,
                                              .dropout_key = dropout_key(options_.seed, state_.step, pass)});
    part.loss.backward();
    loss += part.loss.item<double>();
  }
  return loss;
}

void TrainingLoop::step() {
  const auto begin = Clock::now();
  const StepData data = next_data();
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
  if (data.target_tokens == 0) {
    record.loss = std::numeric_limits<double>::quiet_NaN();
    record.skipped = "no token is a target";
    return false;
  }
  record.loss = forward_and_backward(data);
  const Watchdog::Verdict verdict = watchdog_.judge(record.loss, record.skipped);
  if (verdict == Watchdog::Verdict::good) {
    const StepResult result = optimizer_.step({.lr_multiplier = multiplier, .max_grad_norm = options_.max_grad_norm});
    record.grad_norm = result.grad_norm;
    if (result.applied) {
      watchdog_.applied();
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

void TrainingLoop::roll_back(const TrainingStep& record) {
  if (last_checkpoint_.empty()) {
    throw Error(ErrorKind::numeric, "the loss stays too high, and there is no checkpoint to go back to",
                {.field = "loss", .found = std::to_string(record.loss)});
  }
  const TrainerState back = trainer_state_from(read_checkpoint(last_checkpoint_), last_checkpoint_);
  restore_weights(parts_.model, last_checkpoint_);
  restore_optimizer(optimizer_, last_checkpoint_);
  state_.step = back.step;
  state_.epoch = back.epoch;
  watchdog_.rolled_back();
  last_evaluated_step_ = -1;  // other weights will have that number
  JsonObject details;
  details["to_step"] = back.step;
  files_->event(record.step, "rollback", std::move(details),
                "step " + std::to_string(record.step) + ": back to the weights of step " + std::to_string(back.step) +
                    ", on with the data that follow");
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
  const auto asked = [](const Cadence& cadence) { return cadence.steps > 0 || cadence.per_epoch > 0; };
  if (control_.evaluate || parts_.plan.due(options_.evaluation, record.step) || (last && asked(options_.evaluation))) {
    run_evaluation();
  }
  const bool first = options_.save_first_step && record.step == 1;
  if (control_.save || first || parts_.plan.due(options_.save, record.step) || (last && asked(options_.save))) save();
}

void TrainingLoop::run_evaluation() {
  if (!parts_.validation || last_evaluated_step_ == state_.step) return;
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
    state_.best_checkpoint = "checkpoint-" + std::to_string(state_.step);
  }
  files_->evaluation(evaluation);
  if (parts_.callbacks.on_evaluate) parts_.callbacks.on_evaluate(evaluation, control_);
  if (evaluation.best && (options_.save_best || options_.load_best_model_at_end)) save();
}

void TrainingLoop::save() {
  if (options_.output_dir.empty() || last_saved_step_ == state_.step) return;
  if (const std::string broken = not_finite_parameter(parts_.model); !broken.empty()) {
    const std::string line = "step " + std::to_string(state_.step) + ": no checkpoint, " + broken + " is not finite";
    return files_->event(state_.step, "not_saved", {}, line);  // it would only push good ones out
  }
  CheckpointWriter writer(options_.output_dir, state_.step);
  save_weights(parts_.model, writer.folder());
  save_optimizer(optimizer_, writer.folder());
  state_.data_position = loader_.position();
  state_.watchdog = watchdog_.state();
  JsonObject object = to_json(state_);
  object["saved_at"] = microseconds_now();
  last_checkpoint_ = writer.commit(std::move(object));
  last_saved_step_ = state_.step;
  rotate();
  files_->write_report();
  if (parts_.callbacks.on_save) parts_.callbacks.on_save(last_checkpoint_);
}

void TrainingLoop::rotate() {
  if (options_.save_total_limit <= 0) return;
  std::int64_t kept = 0;
  for (const CheckpointPlace& place : list_checkpoints(options_.output_dir)) {
    if (place.run_id != state_.run_id) continue;
    const bool best = std::filesystem::path(place.path).filename() == state_.best_checkpoint;
    if (++kept > options_.save_total_limit && !best) remove_checkpoint(place.path);
  }
}

TrainingResult TrainingLoop::run(std::stop_token stop) {
  const auto began = Clock::now();
  begin();
  TrainingResult result;
  if (state_.step == 0 && (options_.evaluation.steps > 0 || options_.evaluation.per_epoch > 0)) run_evaluation();
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
  const std::string best = options_.output_dir + "/" + state_.best_checkpoint;
  std::error_code ignored;
  const bool best_is_there = !state_.best_checkpoint.empty() && std::filesystem::exists(best, ignored);
  if (best_is_there) result.best_checkpoint = best;
  if (options_.load_best_model_at_end && best_is_there && result.end != TrainingEnd::cancelled) {
    read_checkpoint(best);
    restore_weights(parts_.model, best);
    last_eval_loss_ = state_.best_eval_loss;
  }
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
