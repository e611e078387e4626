// PPO: a value model says what each state is worth; advantages by GAE, several epochs over a generation's completions.
#include <ATen/core/Tensor.h>

#include <cmath>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "powerhouse/sequence_classifier.h"
#include "support/refuse_usage.h"
#include "training/model_state.h"
#include "training/online_method.h"

namespace powerhouse {
namespace {

constexpr const char* kValueModelFile = "/value_model.safetensors";

// Of the states that completions' tokens are sampled in: float32 [tokens], differentiable.
at::Tensor values_of(const SequenceClassifier& model, const TokenBatch& batch, const ScoreOptions& options) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] != kIgnoredTarget) rows.push_back(static_cast<std::int64_t>(i));
  }
  return model.token_logits(batch, options).select(1, 0).index_select(0, index_tensor(rows)).to(at::kFloat);
}

// Weights that train beside the policy's: its number of labels is 1.
class Ppo final : public OnlineMethodRule {
 public:
  Ppo(PpoOptions options, const OnlineOptions& online, std::int64_t batch_size)
      : options_(std::move(options)), value_model_(online.value_model), batch_size_(batch_size) {
    check(options_);
    refuse_usage(value_model_ == nullptr, "value_model", "PPO needs a value model");
    refuse_usage(value_model_->num_labels() != 1, "value_model", "a value is one number: the head must have one label");
    refuse_usage(value_model_->model().trainable_parameters().empty(), "value_model",
                 "nothing in it requires gradients");
    refuse_usage(online.mask_truncated_completions, "mask_truncated_completions",
                 "PPO learns from them too: missing_eos_penalty judges them");
  }

  std::string description() const override { return "ppo"; }
  bool has_reference() const override { return options_.kl_coef != 0; }
  bool has_entropy_bonus() const override { return options_.entropy_coef != 0; }
  bool always_old() const override { return true; }
  bool shares_prompts() const override { return false; }  // the value model takes whole documents
  bool reorders() const override { return true; }

  void judge(Rollouts& rollouts, const at::Tensor& rewards, std::int64_t /*num_generations*/) const override {
    const at::Tensor scores = rewards.nansum(1).masked_fill(rewards.isnan().all(1), std::nan(""));
    PpoRollout rollout{.log_probs = rollouts.of_tokens.at("old"), .scores = scores, .ended = rollouts.ended};
    rollout.ref_log_probs = has_reference() ? rollouts.of_tokens.at("ref") : rollout.log_probs;
    for (const PreferenceSequence& sequence : rollouts.sequences) {
      rollout.cu_seqlens.push_back(rollout.cu_seqlens.back() + sequence.completion_tokens());
    }
    rollout.values =
        rollouts.each_token(batch_size_, [&](const TokenBatch& batch) { return values_of(*value_model_, batch, {}); });
    const PpoTargets targets = ppo_targets(rollout, options_);
    rollouts.of_tokens["values"] = rollout.values;
    rollouts.of_tokens["advantages"] = targets.advantages;
    rollouts.of_tokens["returns"] = targets.returns;
    rollouts.metrics.emplace_back("reward", scores.mean().item<double>());
    rollouts.metrics.insert(rollouts.metrics.end(), targets.metrics.begin(), targets.metrics.end());
  }

  LossResult loss(const CompletionLogProbs& policy, const RolloutBatch& batch, const OnlineStep& step) const override {
    ScoreOptions options = step.options;
    options.temperature = 1;
    const at::Tensor values = values_of(*value_model_, batch.completions.tokens, options);
    const PpoBatch with{.old_log_probs = batch.value("old"),
                        .old_values = batch.value("values"),
                        .advantages = batch.value("advantages"),
                        .returns = batch.value("returns"),
                        .entropy = policy.entropy};
    LossResult result = ppo_loss(policy.token_log_probs, values, with, options_);
    result.loss = result.loss.div(static_cast<double>(step.micro_batches));
    return result;
  }

  std::vector<std::pair<std::string, at::Tensor>> extra_parameters() const override {
    auto parameters = value_model_->model().trainable_parameters();
    for (auto& [name, tensor] : parameters) name.insert(0, "value_model.");
    return parameters;
  }
  void save(const std::string& folder) const override {
    save_safetensors(folder + kValueModelFile, value_model_->model().trainable_parameters());
  }
  void restore(const std::string& folder) const override {
    restore_tensors(folder + kValueModelFile, value_model_->model().trainable_parameters());
  }

 private:
  PpoOptions options_;
  SequenceClassifier* value_model_;
  std::int64_t batch_size_;
};

}  // namespace

std::unique_ptr<OnlineMethodRule> make_ppo_method(const PpoOptions& method, const OnlineOptions& options,
                                                  std::int64_t batch_size) {
  return std::make_unique<Ppo>(method, options, batch_size);
}

}  // namespace powerhouse
