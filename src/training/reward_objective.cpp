// A reward model's objective: Bradley-Terry's loss of pairs (losses/reward.cpp), as TRL's RewardTrainer has it. A micro
// batch is one pass: all chosen texts, then all rejected ones.
#include "training/reward_objective.h"

#include <ATen/core/Tensor.h>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "training/preference_rows_objective.h"
#include "training/trainer_impl.h"

namespace powerhouse {
namespace {

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

class RewardObjective final : public PreferenceRowsObjective<PairBatch> {
 public:
  RewardObjective(SequenceClassifier& model, PreferenceDataset train, std::optional<PreferenceDataset> validation,
                  const RewardOptions& method, const TrainingOptions& options)
      : PreferenceRowsObjective(std::move(train), std::move(validation), options, method.disable_dropout),
        model_(model),
        method_(method) {}

  Facts facts() const override {
    return {{"method", "reward"},
            {"pairs", std::to_string(train().size())},
            {"held-back pairs", std::to_string(validation() ? validation()->size() : 0)}};
  }

 private:
  PairBatch make_batch(const PreferenceDataset& data, std::vector<std::int64_t> rows) const override {
    return pair_batch(data, rows);
  }
  const TokenBatch& texts_of(const PairBatch& batch) const override { return batch.texts; }
  std::int64_t targets_of(const PairBatch& batch) const override { return batch.texts.documents(); }  // what is judged
  LossResult loss_of(const PairBatch& batch, const ScoreOptions& options, bool /*held_back*/) override {
    const at::Tensor rewards = model_.logits(batch.texts, options).squeeze(1);
    return reward_loss(rewards.narrow(0, 0, batch.pairs), rewards.narrow(0, batch.pairs, batch.pairs), batch.margin,
                       method_);
  }

  SequenceClassifier& model_;
  RewardOptions method_;
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
