// One call of Trainer::train: the loop over steps, and the state that it moves.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "powerhouse/optimizer.h"
#include "powerhouse/trainer.h"
#include "support/folder_lock.h"
#include "training/checkpoint.h"
#include "training/objective.h"
#include "training/run_files.h"
#include "training/step_plan.h"
#include "training/trainer_state.h"
#include "training/watchdog.h"

namespace powerhouse {

/// Everything a Trainer holds between calls.
struct TrainerParts {
  CausalLM& model;
  std::unique_ptr<Objective> objective;
  TrainingOptions options;
  TrainingCallbacks callbacks;
  StepPlan plan;
};

/// The objective's evaluation, with its time.
Evaluation evaluate(const TrainerParts& parts);

class TrainingLoop {
 public:
  explicit TrainingLoop(TrainerParts& parts);
  TrainingResult run(std::stop_token stop);

 private:
  void begin();  // a new run, or resumed
  void resume(const std::string& folder, const JsonObject& saved);
  void step();
  std::int64_t checkpointed_layers(std::int64_t rows);  // of a pass
  StepContext context();
  bool update(TrainingStep& record, const StepData& data);  // whether to go back to the last checkpoint
  void skip(TrainingStep& record, const StepData& data, const std::string& reason);
  void roll_back(const TrainingStep& record);
  void after_step(const TrainingStep& record);
  void run_evaluation();
  void save();
  void rotate();
  void load_best(bool is_there);
  void finish(TrainingResult& result);

  TrainerParts& parts_;
  const TrainingOptions& options_;
  Objective& objective_;
  Optimizer optimizer_;
  Watchdog watchdog_;
  TrainerState state_;
  FolderLock lock_;  // of output_dir
  std::unique_ptr<RunFiles> files_;
  TrainingControl control_;
  std::string last_checkpoint_{};  // of this run
  std::int64_t last_saved_step_ = -1, last_evaluated_step_ = -1;
  std::optional<double> last_eval_loss_{};
  std::int64_t skipped_ = 0, applied_ = 0, tokens_ = 0;
  bool over_budget_ = false;  // and said so
  double training_seconds_ = 0;
};

}  // namespace powerhouse
