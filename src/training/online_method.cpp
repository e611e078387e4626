#include "training/online_method.h"

#include <ATen/core/Tensor.h>

#include "powerhouse/error.h"
#include "support/number_text.h"
#include "support/refuse_usage.h"
#include "training/losses/common.h"
#include "training/losses/grpo_terms.h"

namespace powerhouse {
namespace {

std::vector<std::int64_t> offsets(const Rollouts& rollouts) {
  std::vector<std::int64_t> out{0};
  for (const PreferenceSequence& sequence : rollouts.sequences)
    out.push_back(out.back() + sequence.completion_tokens());
  return out;
}

void append(Metrics& metrics, const Metrics& more) { metrics.insert(metrics.end(), more.begin(), more.end()); }

class Grpo final : public OnlineMethodRule {
 public:
  Grpo(GrpoOptions options, const OnlineOptions& online) : options_(std::move(options)) {
    options_.max_completion_length = online.max_completion_length;
    check(options_);
  }
  std::string description() const override {
    return "grpo (" + std::string(to_string(options_.loss_type)) + "), beta " + number_text(options_.beta);
  }
  bool has_reference() const override { return options_.beta != 0; }
  bool has_entropy_bonus() const override { return options_.entropy_coef != 0; }

  void judge(Rollouts& rollouts, const at::Tensor& rewards, std::int64_t num_generations) const override {
    const Advantages found = grpo_advantages(rewards, num_generations, options_);
    rollouts.of_completions["advantages"] = found.advantages;
    append(rollouts.metrics, found.metrics);
  }

  // dapo and its kin divide by the tokens of a step: those of the generation, times the share of it that a step takes.
  LossResult loss(const CompletionLogProbs& policy, const RolloutBatch& batch, const OnlineStep& step) const override {
    const GrpoBatch with{.advantages = batch.value("advantages"),
                         .old_log_probs = batch.value("old"),
                         .ref_log_probs = batch.value("ref"),
                         .num_items_in_batch = std::max<std::int64_t>(1, step.generation_tokens),
                         .accumulation_steps = step.micro_batches};
    LossResult result = grpo_loss(policy, with, options_);
    if (losses::grpo_row(options_.loss_type).share_of_step && step.steps_per_generation != step.micro_batches) {
      result.loss =
          result.loss.mul(static_cast<double>(step.steps_per_generation) / static_cast<double>(step.micro_batches));
    }
    return result;
  }

 private:
  GrpoOptions options_;
};

class Rloo final : public OnlineMethodRule {
 public:
  explicit Rloo(RlooOptions options) : options_(std::move(options)) { check(options_); }
  std::string description() const override { return "rloo, beta " + number_text(options_.beta); }
  bool has_reference() const override { return options_.beta != 0; }
  bool always_old() const override { return true; }

  void judge(Rollouts& rollouts, const at::Tensor& rewards, std::int64_t num_generations) const override {
    const std::vector<std::int64_t> begins = offsets(rollouts);
    const at::Tensor& old = rollouts.of_tokens.at("old");
    at::Tensor kl;
    if (has_reference()) {
      const at::Tensor each = old.sub(rollouts.of_tokens.at("ref"));
      kl = losses::segment_sums(each, begins);
      if (each.size(0) > 0) losses::add_metric(rollouts.metrics, "kl", each);
    }
    const Advantages found = rloo_advantages(rewards, kl, num_generations, options_);
    rollouts.of_completions["advantages"] = found.advantages;
    rollouts.of_completions["old_sums"] = losses::segment_sums(old, begins);
    append(rollouts.metrics, found.metrics);
  }

  LossResult loss(const CompletionLogProbs& policy, const RolloutBatch& batch, const OnlineStep& step) const override {
    LossResult result = rloo_loss(policy, batch.value("old_sums"), batch.value("advantages"), options_);
    result.loss = result.loss.div(static_cast<double>(step.micro_batches));
    return result;
  }

 private:
  RlooOptions options_;
};

struct Defaults {
  std::int64_t num_generations = 8, least_generations = 2, num_iterations = 1;
};

Defaults defaults_of(const OnlineMethod& method) {
  if (std::holds_alternative<RlooOptions>(method)) return {.num_generations = 2};
  if (std::holds_alternative<PpoOptions>(method)) {
    return {.num_generations = 1, .least_generations = 1, .num_iterations = 4};
  }
  return {};
}

}  // namespace

GenerationShape generation_shape(const OnlineMethod& method, const OnlineOptions& options,
                                 std::int64_t micro_batch_size, std::int64_t gradient_accumulation_steps) {
  const Defaults defaults = defaults_of(method);
  const GenerationShape shape{.micro_batch_size = micro_batch_size,
                              .steps_per_generation = options.steps_per_generation != 0 ? options.steps_per_generation
                                                                                        : gradient_accumulation_steps,
                              .num_generations = options.num_generations.value_or(defaults.num_generations),
                              .num_iterations = options.num_iterations.value_or(defaults.num_iterations)};
  refuse_usage(shape.num_iterations < 1, "num_iterations", "must be 1 or more");
  refuse_usage(shape.steps_per_generation < 1, "steps_per_generation", "must be 0 or more");
  refuse_usage(options.max_completion_length < 1, "max_completion_length", "must be 1 or more");
  refuse_usage(!(options.temperature > 0), "temperature", "must be above 0: completions are sampled");
  refuse_usage(shape.num_generations < defaults.least_generations, "num_generations",
               "must be " + std::to_string(defaults.least_generations) + " or more");
  refuse_usage(options.num_generations_eval.value_or(1) < 1, "num_generations_eval", "must be 1 or more");
  const std::int64_t completions = shape.steps_per_generation * micro_batch_size;
  refuse_usage(completions % shape.num_generations != 0, "num_generations",
               std::to_string(shape.num_generations) + " must divide the " + std::to_string(completions) +
                   " completions of a generation (micro_batch_size times steps_per_generation)");
  return shape;
}

std::unique_ptr<OnlineMethodRule> make_online_method(const OnlineMethod& method, const OnlineOptions& options,
                                                     std::int64_t batch_size) {
  if (const auto* ppo = std::get_if<PpoOptions>(&method)) return make_ppo_method(*ppo, options, batch_size);
  if (options.value_model != nullptr) {
    throw Error(ErrorKind::usage, "has no effect: only PPO has a value model", {.field = "value_model"});
  }
  if (const auto* grpo = std::get_if<GrpoOptions>(&method)) return std::make_unique<Grpo>(*grpo, options);
  return std::make_unique<Rloo>(std::get<RlooOptions>(method));
}

}  // namespace powerhouse
