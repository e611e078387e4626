// One call of Trainer::train: the loop over steps, and the state that it moves.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "powerhouse/data_loader.h"
#include "powerhouse/optimizer.h"
#include "powerhouse/trainer.h"
#include "training/checkpoint.h"
#include "training/folder_lock.h"
#include "training/run_files.h"
#include "training/step_plan.h"
#include "training/trainer_state.h"
#include "training/watchdog.h"

namespace powerhouse {

/// Everything a Trainer holds between calls.
struct TrainerParts {
  CausalLM& model;
  Dataset train;
  std::optional<Dataset> validation;
  TrainingOptions options;
  TrainingCallbacks callbacks;
  StepPlan plan;
};

/// How the rows of training are loaded.
DataLoaderOptions loader_options(const TrainingOptions& options);

/// Scores held-back rows.
Evaluation evaluate(const TrainerParts& parts);

class TrainingLoop {
 public:
  explicit TrainingLoop(TrainerParts& parts);
  TrainingResult run(std::stop_token stop);

 private:
  struct StepData {
    std::vector<TokenBatch> batches;
    std::vector<RowPlace> rows;
    std::int64_t tokens = 0, target_tokens = 0;
  };

  void begin();  // a new run, or resumed
  void resume(const std::string& folder, const JsonObject& saved);
  StepData next_data();
  void step();
  std::int64_t checkpointed_layers(std::int64_t rows);  // of a pass
  double forward_and_backward(const StepData& data);
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
  DataLoader loader_;
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
