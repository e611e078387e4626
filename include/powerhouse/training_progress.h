// What a Trainer tells of a run: each step and evaluation as it comes, and the whole at the end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "powerhouse/completion_log_probs.h"
#include "powerhouse/export.h"

namespace powerhouse {

/// One optimizer step; a row of train_log.jsonl.
struct TrainingStep {
  std::int64_t step = 0;  ///< from 1
  double epoch = 0;       ///< epochs done, with their fraction
  double loss = 0;        ///< mean over the step's target tokens, in nats
  double learning_rate = 0;
  double grad_norm = 0;  ///< before clipping
  std::int64_t tokens = 0;
  std::int64_t target_tokens = 0;
  double tokens_per_second = 0;  ///< of this step alone, without evaluation and checkpoints
  std::uint64_t peak_memory_bytes = 0;
  Metrics metrics{};      ///< of the method, under TRL's names ("rewards/accuracies"); next-token training has none
  std::string skipped{};  ///< why the step was not applied; empty: it was
};

/// The held-back rows, scored without dropout.
struct Evaluation {
  std::int64_t step = 0;
  double epoch = 0;
  double eval_loss = 0;  ///< mean over all target tokens; of online methods minus the mean reward
  std::int64_t target_tokens = 0;
  double seconds = 0;
  bool best = false;  ///< the lowest so far
  Metrics metrics{};
};

/// What a callback may ask for; it is done behind the step.
struct TrainingControl {
  bool stop = false;  ///< end the run here, with a checkpoint
  bool evaluate = false;
  bool save = false;
};

/// Called on the thread that trains. What a callback throws ends the run.
struct TrainingCallbacks {
  std::function<void(const TrainingStep&, TrainingControl&)> on_step{};
  std::function<void(const Evaluation&, TrainingControl&)> on_evaluate{};
  std::function<void(const std::string& checkpoint)> on_save{};
};

enum class TrainingEnd { finished, cancelled, stopped_by_callback, early_stopping };

/// "finished", "cancelled", "stopped by a callback", "early stopping".
POWERHOUSE_API std::string_view to_string(TrainingEnd end) noexcept;

struct TrainingResult {
  std::int64_t steps = 0;  ///< done, those before a resumed run too
  double epochs = 0;
  double loss = 0;  ///< mean over the last steps (at most 10)
  std::int64_t tokens = 0;
  double seconds = 0;                       ///< of this call
  double tokens_per_second = 0;             ///< of training alone
  std::optional<double> best_eval_loss{};   ///< where something was evaluated
  std::optional<double> final_eval_loss{};  ///< of the weights that are left
  std::string best_checkpoint{};
  std::string last_checkpoint{};
  std::int64_t skipped_steps = 0;  ///< of this call
  TrainingEnd end = TrainingEnd::finished;
};

}  // namespace powerhouse
