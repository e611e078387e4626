// The loop's dealings with checkpoints: a run that goes on, goes back, saves, and ends with the best weights.
#include <filesystem>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "training/model_state.h"
#include "training/training_loop.h"

namespace powerhouse {

void TrainingLoop::resume(const std::string& folder, const JsonObject& saved) {
  const TrainerState state = trainer_state_from(saved, folder);
  check_same_run(state, state_, folder);
  check_adapter_options(parts_.model, folder);
  try {
    objective_.restore(state.data_position);
  } catch (const Error& error) {
    throw error.in_file(folder);
  }
  restore_weights(parts_.model, folder);
  restore_optimizer(optimizer_, folder);
  objective_.restore_state(folder);
  watchdog_.restore(state.watchdog);
  state_ = state;
  last_checkpoint_ = folder;
  last_saved_step_ = last_evaluated_step_ = state.step;  // a step is evaluated before it is saved
  log(LogLevel::info, "resumed from " + folder);
}

void TrainingLoop::roll_back(const TrainingStep& record) {
  if (last_checkpoint_.empty()) {
    throw Error(ErrorKind::numeric, "the loss stays too high, and there is no checkpoint to go back to",
                {.field = "loss", .found = std::to_string(record.loss)});
  }
  const TrainerState back = trainer_state_from(read_checkpoint(last_checkpoint_), last_checkpoint_);
  restore_weights(parts_.model, last_checkpoint_);
  restore_optimizer(optimizer_, last_checkpoint_);
  objective_.restore_state(last_checkpoint_);
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

void TrainingLoop::save() {
  if (options_.output_dir.empty() || last_saved_step_ == state_.step) return;
  if (const std::string broken = not_finite_parameter(parts_.model); !broken.empty()) {
    const std::string line = "step " + std::to_string(state_.step) + ": no checkpoint, " + broken + " is not finite";
    return files_->event(state_.step, "not_saved", {}, line);  // it would only push good ones out
  }
  CheckpointWriter writer(options_.output_dir, state_.step);
  save_weights(parts_.model, writer.folder());
  save_optimizer(optimizer_, writer.folder());
  objective_.save_state(writer.folder());
  state_.data_position = objective_.position();
  state_.watchdog = watchdog_.state();
  JsonObject object = to_json(state_, options_.output_dir);
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
    std::error_code ignored;  // of a best one that was never saved
    const bool best = std::filesystem::equivalent(place.path, state_.best_checkpoint, ignored);
    if (++kept > options_.save_total_limit && !best) remove_checkpoint(place.path);
  }
}

void TrainingLoop::load_best(bool is_there) {
  const std::string& best = state_.best_checkpoint;
  if (!is_there) {
    files_->event(state_.step, "best_is_missing", {},
                  "the checkpoint of the best evaluation is not there: the last weights stay" +
                      (best.empty() ? "" : " (" + best + ")"));
    return;
  }
  if (best != last_checkpoint_) read_checkpoint(best);  // whether it is whole
  restore_weights(parts_.model, best);
  objective_.restore_state(best);
  last_eval_loss_ = state_.best_eval_loss;
}

}  // namespace powerhouse
