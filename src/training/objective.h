// Objective: what a step of training makes smaller, and the data that it does so with. The loop (training_loop.h) knows
// steps, the optimizer, evaluations, checkpoints and logs; an objective knows rows, micro batches and losses.
//
// A new one is a class of its own file with these members, a function that makes it, and a constructor of Trainer that
// gives it to Trainer::Impl::make (trainer_impl.h). next_token_objective.cpp is the shortest.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/dataset_report.h"
#include "powerhouse/trainer.h"
#include "training/html_report.h"

namespace powerhouse {

/// What the loop tells of the micro batches that an objective has loaded for a step.
struct StepData {
  std::vector<RowPlace> rows{};
  std::int64_t tokens = 0;         // that pass through the model
  std::int64_t target_tokens = 0;  // that the loss is made of
  std::string nothing{};           // why the step has no loss, where that is so: it is skipped and counted as such
};

/// What the loop tells an objective of the step whose gradient it wants.
struct StepContext {
  std::int64_t step = 0;  // from 1
  /// For pass number `pass` of this step over `rows` tokens: how many layers are computed again, and its own key of
  /// dropout. Equal for equal steps, so that a resumed run has equal bits.
  std::function<ScoreOptions(std::size_t pass, std::int64_t rows)> score_options;
};

/// A loss and what else is worth a curve, under TRL's names ("rewards/margins"; without "eval_").
struct StepLoss {
  double loss = 0;
  Metrics metrics{};
};

class Objective {
 public:
  virtual ~Objective() = default;

  /// Changes where another step would see other data; a run is resumed with the same alone.
  virtual std::string data_fingerprint() const = 0;
  /// For the report's table: {"rows", "120"}, ...
  virtual Facts facts() const = 0;
  virtual bool has_validation() const = 0;
  /// Micro batches of an epoch. Called before any other step is taken, and must not move the position.
  virtual std::int64_t batches_in_epoch(std::int64_t epoch) const = 0;

  /// To the first row of the first epoch: a call of train() begins.
  virtual void restart() = 0;
  /// Takes the next `micro_batches`, fewer at an epoch's end (load_step below), and holds them until the next call.
  virtual StepData load(std::int64_t micro_batches) = 0;
  /// Of what was loaded: adds the step's gradient to what requires gradients. The sum over micro batches is normalised
  /// here, the same as that of one big batch.
  virtual StepLoss forward_and_backward(const StepContext& context) = 0;
  /// The optimizer has taken the step (from 1): time to move a reference model.
  virtual void updated(std::int64_t /*step*/) {}
  /// The held-back rows, without gradients and dropout: loss, metrics and target_tokens; the loop knows the rest.
  virtual Evaluation evaluate() = 0;

  /// The position behind the last load(), for trainer_state.json, and back to it.
  virtual std::string position() const = 0;
  virtual void restore(const std::string& position) = 0;

  /// What trains beside the model's own trainable parameters: a value head.
  virtual std::vector<std::pair<std::string, at::Tensor>> extra_parameters() const { return {}; }
  /// State that belongs to the weights of a step and not to the position in the data (extra parameters, a reference
  /// model that moves), as files of a checkpoint's folder, under the objective's own names.
  virtual void save_state(const std::string& /*folder*/) const {}
  virtual void restore_state(const std::string& /*folder*/) {}
};

/// load() over a loader whose next() gives nothing once at the end of each epoch: a step ends there, short where it has
/// something already. `take(batch)` counts and keeps.
template <typename Loader, typename Take>
void load_step(Loader& loader, std::int64_t micro_batches, Take take) {
  for (std::int64_t taken = 0; taken < micro_batches;) {
    auto batch = loader.next();
    if (batch) {
      take(std::move(*batch));
      ++taken;
    } else if (taken > 0) {
      return;
    }
  }
}

}  // namespace powerhouse
