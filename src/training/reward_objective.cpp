// A reward model's objective: Bradley-Terry's loss of pairs (losses/reward.cpp), as TRL's RewardTrainer has it. A micro
// batch is one pass, in which a pair's prompt is computed once.
#include "training/reward_objective.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/number_text.h"
#include "training/completion_batch.h"
#include "training/rows_objective.h"
#include "training/trainer_impl.h"

namespace powerhouse {
namespace {

struct RewardBatch {
  CompletionBatch texts{};  // chosen, then rejected
  at::Tensor margin{};      // float32 [pairs], or undefined

  std::int64_t pairs() const { return std::ssize(texts.documents) / 2; }
};

at::Tensor margins_of(const std::vector<PreferencePair>& pairs) {
  const auto has_margin = [](const PreferencePair& pair) { return pair.margin.has_value(); };
  if (std::none_of(pairs.begin(), pairs.end(), has_margin)) return {};
  at::Tensor margins = empty_tensor({std::ssize(pairs)}, at::kFloat);
  float* out = margins.data_ptr<float>();
  for (const PreferencePair& pair : pairs) *out++ = static_cast<float>(pair.margin.value_or(0));
  return margins;
}

class RewardObjective final : public RowsObjective<PreferenceDataset, RewardBatch> {
 public:
  RewardObjective(SequenceClassifier& model, PreferenceDataset train, std::optional<PreferenceDataset> validation,
                  const RewardOptions& method, const TrainingOptions& options)
      : RowsObjective(std::move(train), std::move(validation), options, method.disable_dropout),
        model_(model),
        method_(method) {}

  Facts facts() const override {
    Facts facts{{"method", "reward"},
                {"pairs", std::to_string(train().size())},
                {"held-back pairs", std::to_string(validation() ? validation()->size() : 0)}};
    if (const auto& centre = method_.center_rewards_coefficient) {
      facts.emplace_back("center_rewards_coefficient", number_text(*centre));
    }
    return facts;
  }

 private:
  RewardBatch make_batch(const PreferenceDataset& data, std::vector<std::int64_t> rows) const override {
    std::vector<PreferencePair> pairs;
    for (const std::int64_t row : rows) pairs.push_back(data.pair(row));
    return {pair_batch(pairs, false, may_share_prompts(model_.model())), margins_of(pairs)};
  }
  const TokenBatch& texts_of(const RewardBatch& batch) const override { return batch.texts.tokens; }
  std::int64_t targets_of(const RewardBatch& batch) const override { return 2 * batch.pairs(); }  // what is judged
  LossResult loss_of(const RewardBatch& batch, const ScoreOptions& options, bool /*held_back*/) override {
    const at::Tensor rewards =
        model_.logits(batch.texts.tokens, options).squeeze(1).index_select(0, index_tensor(batch.texts.documents));
    return reward_loss(rewards.narrow(0, 0, batch.pairs()), rewards.narrow(0, batch.pairs(), batch.pairs()),
                       batch.margin, method_);
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
