// Next-token training. The loss of a step is the mean over the target tokens of all its micro batches, so that a step
// of many small ones has the gradient of the big one.
#include "training/next_token_objective.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "powerhouse/data_loader.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

class NextTokenObjective final : public Objective {
 public:
  NextTokenObjective(CausalLM& model, Dataset train, std::optional<Dataset> validation, const TrainingOptions& options)
      : model_(model),
        train_(std::move(train)),
        validation_(std::move(validation)),
        train_options_{.micro_batch_size = options.micro_batch_size,
                       .sample_packing = options.sample_packing,
                       .shuffle = options.shuffle,
                       .seed = options.seed,
                       .drop_last = options.drop_last},
        eval_options_{
            .micro_batch_size = options.eval_batch_size > 0 ? options.eval_batch_size : options.micro_batch_size,
            .sample_packing = options.eval_sample_packing.value_or(options.sample_packing),
            .shuffle = false,
            .seed = options.seed} {}

  std::string data_fingerprint() const override { return train_.fingerprint(); }
  Facts facts() const override {
    return {{"rows", std::to_string(train_.size())},
            {"held-back rows", std::to_string(validation_ ? validation_->size() : 0)}};
  }
  bool has_validation() const override { return validation_.has_value(); }
  std::int64_t batches_in_epoch(std::int64_t epoch) const override {
    return DataLoader(train_, train_options_).batches_in_epoch(epoch);
  }

  void restart() override { loader_.emplace(train_, train_options_); }
  std::string position() const override { return loader_->position(); }
  void restore(const std::string& position) override { loader_->restore(position); }

  StepData load(std::int64_t micro_batches) override {
    StepData data;
    batches_.clear();
    load_step(*loader_, micro_batches, [&](TokenBatch batch) {
      data.tokens += batch.rows();
      data.target_tokens += batch.target_count();
      for (RowPlace& row : loader_->last_rows()) data.rows.push_back(std::move(row));
      batches_.push_back(std::move(batch));
    });
    if (data.target_tokens == 0) data.nothing = "no token is a target";
    target_tokens_ = data.target_tokens;
    return data;
  }

  StepLoss forward_and_backward(const StepContext& context) override {
    StepLoss step;
    for (std::size_t pass = 0; pass < batches_.size(); ++pass) {
      if (batches_[pass].target_count() == 0) continue;  // a piece of a cut row
      const TokenLoss part = model_.loss(batches_[pass], static_cast<double>(target_tokens_),
                                         context.score_options(pass, batches_[pass].rows()));
      part.loss.backward();
      step.loss += part.loss.item<double>();
    }
    return step;
  }

  Evaluation evaluate() override {
    DataLoader loader(*validation_, eval_options_);
    const c10::AutoGradMode no_gradients(false);
    double sum = 0;
    Evaluation evaluation;
    while (const auto batch = loader.next()) {
      const std::int64_t targets = batch->target_count();
      if (targets == 0) continue;  // a piece of a cut row
      sum += model_.loss(*batch, 1.0).loss.item<double>();
      evaluation.target_tokens += targets;
    }
    evaluation.eval_loss = sum / static_cast<double>(evaluation.target_tokens);
    return evaluation;
  }

 private:
  CausalLM& model_;
  Dataset train_;
  std::optional<Dataset> validation_;
  DataLoaderOptions train_options_, eval_options_;
  std::optional<DataLoader> loader_;
  std::vector<TokenBatch> batches_;  // of the step
  std::int64_t target_tokens_ = 0;   // of all of them
};

}  // namespace

std::unique_ptr<Objective> make_next_token_objective(CausalLM& model, Dataset train, std::optional<Dataset> validation,
                                                     const TrainingOptions& options) {
  if (train.size() == 0) throw Error(ErrorKind::usage, "no rows to train on", {.field = "data"});
  if (validation && validation->size() == 0) validation.reset();
  return std::make_unique<NextTokenObjective>(model, std::move(train), std::move(validation), options);
}

}  // namespace powerhouse
