// What a Trainer is told. Names are those of transformers' TrainingArguments where it has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "powerhouse/device.h"
#include "powerhouse/export.h"
#include "powerhouse/optimizer.h"
#include "powerhouse/optimizer_options.h"
#include "powerhouse/schedule.h"

namespace powerhouse {

/// When something is done again and again.
struct Cadence {
  double steps = 0;            ///< each so many steps, a whole number; below 1: a share of all steps; 0: not by steps
  std::int64_t per_epoch = 0;  ///< so many times an epoch, the last at its end; 0: not by epochs
};

/// Steps that look wrong are not applied.
struct LossWatchdog {
  double threshold = 0;  ///< a loss above it is a spike; 0 is off
  double factor = 0;     ///< a loss above so many times the median of the last 50 is a spike; 0 is off
  /// After so many spikes in a row the weights themselves are taken for broken: back to the last checkpoint, and on
  /// with the data that follow. Error{numeric} where there is no checkpoint, and after max_rollbacks.
  std::int64_t patience = 3;
  std::int64_t max_rollbacks = 3;
  /// Error{numeric} after so many steps in a row whose loss or gradients are not finite.
  std::int64_t max_not_finite = 10;
};

struct TrainingOptions {
  std::optional<double> learning_rate{};  ///< instead of the optimizer's own
  double epochs = 1;                      ///< may be a fraction
  std::int64_t max_steps = 0;             ///< stronger than epochs; 0: by epochs
  std::int64_t micro_batch_size = 1;      ///< rows (or packed sequences) a pass
  /// Passes a step. The loss is normalised by the target tokens of all of them: the same gradient as the big batch's.
  std::int64_t gradient_accumulation_steps = 1;
  bool sample_packing = false;
  bool shuffle = true;
  bool drop_last = false;
  std::uint64_t seed = 42;               ///< of data order and dropout
  Dtype precision = Dtype::automatic;    ///< must be the model's compute type; automatic: whatever that is
  std::int64_t checkpointed_layers = 0;  ///< ScoreOptions: layers computed again in the backward pass; -1: all
  /// Instead: in each pass the fewest layers with which its activations are within so many bytes
  /// (checkpointed_layers_for); where all of them are not enough, a warning. 0 is off.
  std::uint64_t activation_memory_budget = 0;

  OptimizerOptions optimizer = AdamWOptions{.weight_decay = 0};
  OptimizerStorage optimizer_storage{};
  ParameterGroupOptions parameter_groups{};
  ScheduleOptions schedule{};
  double max_grad_norm = 1;  ///< 0 or less: no clipping

  /// Error{usage} for none where load_best_model_at_end, save_best or early stopping need evaluations.
  Cadence evaluation{.per_epoch = 1};  ///< where there are held-back rows; also before the first step and at the end
  std::int64_t eval_batch_size = 0;    ///< 0: micro_batch_size
  std::optional<bool> eval_sample_packing{};  ///< default: sample_packing
  std::int64_t early_stopping_patience = 0;   ///< evaluations without a better one; 0 is off
  double early_stopping_threshold = 0;        ///< by how much one must be better

  /// Where checkpoint-N/, train_log.jsonl, data_order.jsonl, report.html and run.json go. Empty: nothing is written.
  std::string output_dir{};
  Cadence save{.per_epoch = 1};
  bool save_first_step = false;
  bool save_best = false;             ///< also whenever an evaluation is the best
  std::int64_t save_total_limit = 4;  ///< older checkpoints of this run go, but never the best; 0: all stay
  bool load_best_model_at_end = false;
  /// A checkpoint folder, or the latest whole one of output_dir: "latest" is Error{not_found} where there is none,
  /// "auto" a new run. A damaged one is Error{format}, of the latest a warning, and the one before is taken.
  std::string resume_from_checkpoint{};

  LossWatchdog watchdog{};
  std::int64_t logging_steps = 10;  ///< a line in the log each; on a terminal there is a bar instead
  bool progress = true;             ///< neither lines nor bar where false
  bool tensorboard = false;         ///< event files in output_dir/runs
  std::string manifest{};           ///< JSON that run.json takes along: what the run was made from
};

}  // namespace powerhouse
