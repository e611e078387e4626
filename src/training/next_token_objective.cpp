// Next-token training. The loss of a step is the mean over the target tokens of all its micro batches, so that a step
// of many small ones has the gradient of the big one.
#include "training/next_token_objective.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "training/dataset_objective.h"

namespace powerhouse {
namespace {

class NextTokenObjective final : public DatasetObjective {
 public:
  NextTokenObjective(CausalLM& model, Dataset train, std::optional<Dataset> validation, const TrainingOptions& options)
      : DatasetObjective(std::move(train), std::move(validation), options), model_(model) {}

  StepLoss forward_and_backward(const StepContext& context) override {
    StepLoss step;
    for (std::size_t pass = 0; pass < batches().size(); ++pass) {
      if (batches()[pass].target_count() == 0) continue;  // a piece of a cut row
      const TokenLoss part = model_.loss(batches()[pass], static_cast<double>(target_tokens()),
                                         context.score_options(pass, batches()[pass].rows()));
      part.loss.backward();
      step.loss += part.loss.item<double>();
    }
    return step;
  }

  Evaluation evaluate() override {
    DataLoader loader = validation_loader();
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
};

}  // namespace

std::unique_ptr<Objective> make_next_token_objective(CausalLM& model, Dataset train, std::optional<Dataset> validation,
                                                     const TrainingOptions& options) {
  return std::make_unique<NextTokenObjective>(model, std::move(train), std::move(validation), options);
}

}  // namespace powerhouse
