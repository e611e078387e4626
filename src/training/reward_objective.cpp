// A reward model's objective: Bradley-Terry's loss of pairs (losses/reward.cpp), as TRL's RewardTrainer has it. A micro
// batch is one pass: all chosen texts, then all rejected ones. As there, a step's loss and its metrics are the means
// over its micro batches, each the mean over its pairs; an evaluation's are means over pairs.
#include "training/reward_objective.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <limits>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "training/data/row_loader.h"
#include "training/metric_means.h"
#include "training/trainer_impl.h"

namespace powerhouse {
namespace {

using training::RowLoader;
using training::RowLoaderOptions;

struct PairBatch {
  TokenBatch texts;
  std::int64_t pairs = 0;
  at::Tensor margin{};  // float32 [pairs], or undefined
};

PairBatch pair_batch(const PreferenceDataset& data, const std::vector<std::int64_t>& rows) {
  PairBatch batch{.pairs = static_cast<std::int64_t>(rows.size())};
  std::vector<PreferencePair> pairs;
  for (const std::int64_t row : rows) pairs.push_back(data.pair(row));
  for (const PreferencePair& pair : pairs) batch.texts.add(pair.chosen.input_ids);
  for (const PreferencePair& pair : pairs) batch.texts.add(pair.rejected.input_ids);
  bool margins = false;
  for (const PreferencePair& pair : pairs) margins = margins || pair.margin.has_value();
  if (!margins) return batch;
  batch.margin = empty_tensor({batch.pairs}, at::kFloat);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    batch.margin.data_ptr<float>()[i] = static_cast<float>(pairs[i].margin.value_or(0));
  }
  return batch;
}

class RewardObjective final : public Objective {
 public:
  RewardObjective(SequenceClassifier& model, PreferenceDataset train, std::optional<PreferenceDataset> validation,
                  const RewardOptions& method, const TrainingOptions& options)
      : model_(model),
        train_(std::move(train)),
        validation_(std::move(validation)),
        method_(method),
        train_options_{.micro_batch_size = options.micro_batch_size,
                       .shuffle = options.shuffle,
                       .seed = options.seed,
                       .drop_last = options.drop_last},
        eval_options_{
            .micro_batch_size = options.eval_batch_size > 0 ? options.eval_batch_size : options.micro_batch_size,
            .shuffle = false} {}

  std::string data_fingerprint() const override { return train_.fingerprint(); }
  Facts facts() const override {
    return {{"method", "reward"},
            {"pairs", std::to_string(train_.size())},
            {"held-back pairs", std::to_string(validation_ ? validation_->size() : 0)}};
  }
  bool has_validation() const override { return validation_.has_value(); }
  std::int64_t batches_in_epoch(std::int64_t /*epoch*/) const override { return fresh_loader().batches_in_epoch(); }

  void restart() override { loader_.emplace(fresh_loader()); }
  std::string position() const override { return loader_->position(); }
  void restore(const std::string& position) override { loader_->restore(position); }

  StepData load(std::int64_t micro_batches) override {
    StepData data;
    batches_.clear();
    load_step(*loader_, micro_batches, [&](const std::vector<std::int64_t>& rows) {
      PairBatch batch = pair_batch(train_, rows);
      for (const std::int64_t row : rows) data.rows.push_back(train_.place(row));
      data.tokens += batch.texts.rows();
      data.target_tokens += batch.texts.documents();  // what is judged
      batches_.push_back(std::move(batch));
    });
    return data;
  }

  StepLoss forward_and_backward(const StepContext& context) override {
    StepLoss step;
    MetricMeans metrics;
    const auto count = static_cast<double>(batches_.size());
    for (std::size_t pass = 0; pass < batches_.size(); ++pass) {
      const PairBatch& batch = batches_[pass];
      ScoreOptions options = context.score_options(pass, batch.texts.rows());
      if (method_.disable_dropout) options.dropout_key.reset();
      try {
        const LossResult part = loss_of(batch, options);
        part.loss.div(count).backward();
        step.loss += part.loss.item<double>() / count;
        metrics.add(part.metrics, 1);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::numeric) throw;
        log(LogLevel::warning, "step " + std::to_string(context.step) + ": " + error.what());
        return {std::numeric_limits<double>::quiet_NaN(), {}};  // a step that the loop leaves out
      }
    }
    step.metrics = metrics.means();
    return step;
  }

  Evaluation evaluate() override {
    RowLoader loader(validation_->size(), validation_->fingerprint(), eval_options_);
    const c10::AutoGradMode no_gradients(false);
    Evaluation evaluation;
    MetricMeans metrics;
    double sum = 0;
    while (const auto rows = loader.next()) {
      const PairBatch batch = pair_batch(*validation_, *rows);
      const LossResult part = loss_of(batch, {});
      const auto weight = static_cast<double>(batch.pairs);
      sum += weight * part.loss.item<double>();
      metrics.add(part.metrics, weight);
      evaluation.target_tokens += batch.texts.documents();
    }
    evaluation.eval_loss = sum / static_cast<double>(validation_->size());
    evaluation.metrics = metrics.means();
    return evaluation;
  }

 private:
  RowLoader fresh_loader() const { return {train_.size(), train_.fingerprint(), train_options_}; }

  LossResult loss_of(const PairBatch& batch, const ScoreOptions& options) const {
    const at::Tensor rewards = model_.logits(batch.texts, options).squeeze(1);
    return reward_loss(rewards.narrow(0, 0, batch.pairs), rewards.narrow(0, batch.pairs, batch.pairs), batch.margin,
                       method_);
  }

  SequenceClassifier& model_;
  PreferenceDataset train_;
  std::optional<PreferenceDataset> validation_;
  RewardOptions method_;
  RowLoaderOptions train_options_, eval_options_;
  std::optional<RowLoader> loader_;
  std::vector<PairBatch> batches_;  // of the step
};

void check_pairs(const PreferenceDataset& data) {
  if (!data.unpaired()) return;
  throw Error(ErrorKind::usage, "a reward model learns from pairs", {.field = "unpaired", .expected = "false"});
}

}  // namespace

std::unique_ptr<Objective> make_reward_objective(SequenceClassifier& model, PreferenceDataset train,
                                                 std::optional<PreferenceDataset> validation,
                                                 const RewardOptions& method, const TrainingOptions& options) {
  check(method);
  check_pairs(train);
  if (validation) check_pairs(*validation);
  if (model.num_labels() != 1) {
    throw Error(ErrorKind::usage, "a reward is one number",
                {.field = "num_labels", .expected = "1", .found = std::to_string(model.num_labels())});
  }
  if (train.size() == 0) throw Error(ErrorKind::usage, "no pairs to train on", {.field = "data"});
  if (validation && validation->size() == 0) validation.reset();
  return std::make_unique<RewardObjective>(model, std::move(train), std::move(validation), method, options);
}

Trainer::Trainer(SequenceClassifier& model, const PreferenceDataset& data, const RewardOptions& method,
                 TrainingOptions options, TrainingCallbacks callbacks)
    : Trainer(model, data.train(), data.validation(), method, std::move(options), std::move(callbacks)) {}

Trainer::Trainer(SequenceClassifier& model, const PreferenceDataset& train,
                 const std::optional<PreferenceDataset>& validation, const RewardOptions& method,
                 TrainingOptions options, TrainingCallbacks callbacks) {
  auto objective = make_reward_objective(model, train, validation, method, options);
  impl_ = Impl::make(model.model(), std::move(objective), std::move(options), std::move(callbacks));
}

}  // namespace powerhouse
