// RowsObjective: what objectives over rows that are not packed have in common: pairs, single completions, labelled
// texts. A step's loss and its metrics are means over its micro batches, each the mean over its rows (TRL), or weighted
// by their rows (transformers); an evaluation's are means over rows.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "training/data/row_loader.h"
#include "training/step_passes.h"

namespace powerhouse {

/// What a step's mean is over.
enum class StepMean { micro_batches, rows };

template <typename Data, typename Batch>
class RowsObjective : public Objective {
 public:
  std::string data_fingerprint() const override { return train_.fingerprint(); }
  bool has_validation() const override { return validation_.has_value(); }
  std::int64_t batches_in_epoch(std::int64_t /*epoch*/) const override { return loader().batches_in_epoch(); }
  void restart() override {
    prepare();
    loader_.emplace(loader());
  }
  std::string position() const override { return loader_->position(); }
  void restore(const std::string& position) override { loader_->restore(position); }

  StepData load(std::int64_t micro_batches) override {
    StepData data;
    batches_.clear();
    weights_.clear();
    load_step(*loader_, micro_batches, [&](std::vector<std::int64_t> rows) {
      weights_.push_back(mean_ == StepMean::rows ? static_cast<double>(rows.size()) : 1.0);
      for (const std::int64_t row : rows) data.rows.push_back(train_.place(row));
      batches_.push_back(make_batch(train_, std::move(rows)));
      data.tokens += texts_of(batches_.back()).rows();
      data.target_tokens += targets_of(batches_.back());
    });
    return data;
  }

  StepLoss forward_and_backward(const StepContext& context) override {
    const double all = std::accumulate(weights_.begin(), weights_.end(), 0.0);
    return run_passes(context, batches_.size(), [&](std::size_t pass, MetricMeans& metrics) {
      const Batch& batch = batches_[pass];
      ScoreOptions options = context.score_options(pass, texts_of(batch).rows());
      if (disable_dropout_) options.dropout_key.reset();
      const LossResult result = loss_of(batch, options, false);
      const double share = weights_[pass] / all;
      result.loss.mul(share).backward();
      metrics.add(result.metrics, weights_[pass]);
      return result.loss.template item<double>() * share;
    });
  }

  Evaluation evaluate() override {
    prepare();
    const c10::AutoGradMode no_gradients(false);
    Evaluation evaluation;
    MetricMeans metrics;
    double sum = 0;
    training::RowLoader rows(validation_->size(), validation_->fingerprint(), eval_options_);
    while (auto taken = rows.next()) {
      const auto weight = static_cast<double>(taken->size());
      const Batch batch = make_batch(*validation_, std::move(*taken));
      const LossResult result = loss_of(batch, {}, true);
      sum += weight * result.loss.template item<double>();
      metrics.add(result.metrics, weight);
      evaluation.target_tokens += targets_of(batch);
    }
    evaluation.eval_loss = sum / static_cast<double>(validation_->size());
    evaluation.metrics = metrics.means();
    return evaluation;
  }

 protected:
  RowsObjective(Data train, std::optional<Data> validation, const TrainingOptions& options, bool disable_dropout,
                StepMean mean = StepMean::micro_batches)
      : train_(std::move(train)),
        validation_(std::move(validation)),
        train_options_{options.micro_batch_size, options.shuffle, options.seed, options.drop_last},
        eval_options_{options.eval_batch_size > 0 ? options.eval_batch_size : options.micro_batch_size, false,
                      options.seed, false},
        disable_dropout_(disable_dropout),
        mean_(mean) {
    if (validation_ && validation_->size() == 0) validation_.reset();
  }

  virtual Batch make_batch(const Data& data, std::vector<std::int64_t> rows) const = 0;
  virtual const TokenBatch& texts_of(const Batch& batch) const = 0;
  virtual std::int64_t targets_of(const Batch& batch) const = 0;
  virtual LossResult loss_of(const Batch& batch, const ScoreOptions& options, bool held_back) = 0;
  /// Before the first row is used.
  virtual void prepare() {}

  const Data& train() const { return train_; }
  const std::optional<Data>& validation() const { return validation_; }
  std::int64_t micro_batch_size() const { return train_options_.micro_batch_size; }
  std::int64_t eval_batch_size() const { return eval_options_.micro_batch_size; }

 private:
  training::RowLoader loader() const { return {train_.size(), train_.fingerprint(), train_options_}; }

  Data train_;
  std::optional<Data> validation_;
  training::RowLoaderOptions train_options_, eval_options_;
  bool disable_dropout_;
  StepMean mean_;
  std::optional<training::RowLoader> loader_{};
  std::vector<Batch> batches_{};   // of the step
  std::vector<double> weights_{};  // theirs in its mean
};

}  // namespace powerhouse
