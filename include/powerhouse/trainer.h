// The training loop: batches, gradients, optimizer, evaluation, checkpoints and what the run leaves behind.
//
//     model.add_adapter("alpaca", {.rank = 16, .alpha = 32});
//     auto data = powerhouse::Dataset::open(tokenizer, {{.path = "alpaca.jsonl"}}, {.val_set_size = 0.05});
//     powerhouse::Trainer trainer(model, data, {.learning_rate = 2e-4, .epochs = 1, .output_dir = "out"});
//     trainer.train();
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/classification_dataset.h"
#include "powerhouse/dataset.h"
#include "powerhouse/distillation.h"
#include "powerhouse/export.h"
#include "powerhouse/online.h"
#include "powerhouse/preference.h"
#include "powerhouse/preference_dataset.h"
#include "powerhouse/prompt_dataset.h"
#include "powerhouse/training_options.h"
#include "powerhouse/training_progress.h"

namespace powerhouse {

class SequenceClassifier;

/// Trains what requires gradients: adapters, or all weights after `model.set_requires_grad(true)`. The model, which
/// must outlive the trainer, is in use while train() runs. The same seed, data and options give the same weights, bit
/// for bit, on the same processor with the same number of threads; so does a run that was stopped (or killed) and
/// resumed.
class POWERHOUSE_API Trainer {
 public:
  /// On `data.train()`, evaluated on `data.validation()`. Error{usage} for options that make no sense, and where
  /// nothing requires gradients.
  Trainer(CausalLM& model, const Dataset& data, TrainingOptions options, TrainingCallbacks callbacks = {});
  /// On all of `train`, evaluated on `validation` where there is one.
  Trainer(CausalLM& model, Dataset train, std::optional<Dataset> validation, TrainingOptions options,
          TrainingCallbacks callbacks = {});
  /// On preferences (preference.h): `data.train()`, evaluated on `data.validation()`. KTO takes data opened with
  /// `unpaired`, and a micro batch of 2 or more; a last one of a single row puts that row's completion to its own
  /// prompt. Error{usage} also for data that the method does not take and options that don't fit together.
  Trainer(CausalLM& model, const PreferenceDataset& data, PreferenceOptions method, TrainingOptions options,
          AlignmentOptions alignment = {}, TrainingCallbacks callbacks = {});
  Trainer(CausalLM& model, PreferenceDataset train, std::optional<PreferenceDataset> validation,
          PreferenceOptions method, TrainingOptions options, AlignmentOptions alignment = {},
          TrainingCallbacks callbacks = {});
  /// Distillation (distillation.h): the student learns `data.train()` and what the teacher says of it. Error{usage}
  /// also for a teacher of another vocabulary, and one that is the student.
  Trainer(CausalLM& student, const CausalLM& teacher, const Dataset& data, DistillationOptions method,
          TrainingOptions options, TrainingCallbacks callbacks = {});
  /// The same from a store, or a model with another tokenizer.
  Trainer(CausalLM& student, Teacher teacher, Dataset train, std::optional<Dataset> validation,
          DistillationOptions method, TrainingOptions options, TrainingCallbacks callbacks = {});
  /// A reward model on pairs (preference_losses.h; reward_model.h): the mean over pairs of -log sigmoid(r_c - r_r -
  /// margin). Metrics as TRL has them: accuracy, margin, min_reward, mean_reward, max_reward, means over micro batches;
  /// what counts as target tokens are texts. The default learning rate is the optimizer's (TRL: 1e-4). Error{usage} for
  /// a head of more labels than one, and rows that are no pairs.
  Trainer(SequenceClassifier& model, const PreferenceDataset& data, const RewardOptions& method,
          TrainingOptions options, TrainingCallbacks callbacks = {});
  Trainer(SequenceClassifier& model, const PreferenceDataset& train, const std::optional<PreferenceDataset>& validation,
          const RewardOptions& method, TrainingOptions options, TrainingCallbacks callbacks = {});
  /// A head over sequences on labelled texts: the loss of transformers' classes (sequence_classification_loss), a mean
  /// over the rows of a step. Metrics: accuracy (of several labels: rows all of whose labels are right, a logit above 0
  /// being a yes), or mae of a regression. What counts as target tokens are texts. Error{usage} for a head of another
  /// problem type or number of labels than the data have, and where both name them, of other names.
  Trainer(SequenceClassifier& model, const ClassificationDataset& data, TrainingOptions options,
          TrainingCallbacks callbacks = {});
  Trainer(SequenceClassifier& model, const ClassificationDataset& train,
          const std::optional<ClassificationDataset>& validation, TrainingOptions options,
          TrainingCallbacks callbacks = {});
  /// On completions that the model samples (online.h) for `data.train()`; an evaluation samples for
  /// `data.validation()`, and its eval_loss is minus the mean reward. The last prompts of an epoch that don't fill a
  /// generation are left out, as in TRL. Error{numeric} out of train() where rewards are infinite or all NaN.
  Trainer(CausalLM& model, const PromptDataset& data, OnlineMethod method, std::vector<RewardFunction> rewards,
          OnlineOptions online, TrainingOptions options, TrainingCallbacks callbacks = {});
  Trainer(CausalLM& model, PromptDataset train, std::optional<PromptDataset> validation, OnlineMethod method,
          std::vector<RewardFunction> rewards, OnlineOptions online, TrainingOptions options,
          TrainingCallbacks callbacks = {});
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  /// Runs to the end, from options.resume_from_checkpoint where that is given. A stop request ends it behind the
  /// current step, with a checkpoint. A step whose loss or gradients are not finite is skipped, recorded and warned of
  /// with the rows' files and lines; Error{numeric} where that goes on. Error{io} where a checkpoint can't be written:
  /// the one before stays whole.
  TrainingResult train(std::stop_token stop = {});

  /// Scores the held-back rows now. Error{usage} where there are none.
  Evaluation evaluate();
  /// Steps in all, and learning rate of a step (from 1) by the schedule.
  std::int64_t total_steps() const;
  double learning_rate(std::int64_t step) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace powerhouse
