// A generation is sampled when its first micro batch is asked for; its micro batches are then given out num_iterations
// times. A checkpoint within a generation takes its rollouts along, so that a resumed run goes on with the same.
//
// An evaluation samples too. Its loss is minus the mean reward: the policy's own loss is about 0 wherever it stands.
#include "training/online_objective.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>

#include "powerhouse/error.h"
#include "support/json.h"
#include "support/refuse_usage.h"
#include "support/sha256.h"
#include "training/data/permutation.h"
#include "training/data/row_loader.h"
#include "training/online_method.h"
#include "training/rollout_source.h"
#include "training/step_passes.h"

namespace powerhouse {
namespace {

constexpr const char* kRolloutsFile = "/rollouts.safetensors";
constexpr std::uint32_t kCompletionUse = 7;  // of Permutation

class OnlineObjective final : public Objective {
 public:
  OnlineObjective(CausalLM& model, PromptDataset train, std::optional<PromptDataset> validation,
                  const OnlineMethod& method, std::vector<RewardFunction> rewards, const OnlineOptions& online,
                  const TrainingOptions& options)
      : model_(model),
        train_(std::move(train)),
        validation_(std::move(validation)),
        method_(make_online_method(method, online, options.micro_batch_size)),
        online_(online),
        shape_(generation_shape(method, online, options.micro_batch_size, options.gradient_accumulation_steps)),
        seed_(options.seed),
        source_(model, *method_, std::move(rewards), online, options.gradient_accumulation_steps % uses() == 0,
                options.micro_batch_size, options.seed) {
    refuse_usage(train_.size() == 0, "data", "no prompts to train on");
    refuse_usage(options.sample_packing, "sample_packing", "completions are not packed");
    loader_options_ = {shape_.steps_per_generation * shape_.micro_batch_size / shape_.num_generations, options.shuffle,
                       options.seed, true};
    refuse_usage(loader().batches_in_epoch() == 0, "data",
                 "a generation takes " + std::to_string(loader_options_.micro_batch_size) + " prompts, and there are " +
                     std::to_string(train_.size()));
  }

  std::string data_fingerprint() const override {
    const OnlineOptions& o = online_;
    std::string text = train_.fingerprint() + method_->description();
    for (const std::int64_t value :
         {shape_.num_generations, shape_.steps_per_generation, shape_.num_iterations, shape_.micro_batch_size,
          o.max_completion_length, o.top_k, std::int64_t{o.mask_truncated_completions}})
      text += ' ' + std::to_string(value);
    for (const float value : {o.temperature, o.top_p, o.min_p, o.repetition_penalty})
      text += ' ' + std::to_string(value);
    return sha256(text);
  }
  Facts facts() const override {
    return {{"method", method_->description()},
            {"prompts", std::to_string(train_.size())},
            {"held-back prompts", std::to_string(validation_ ? validation_->size() : 0)},
            {"completions of a prompt", std::to_string(shape_.num_generations)}};
  }
  bool has_validation() const override { return validation_.has_value(); }
  std::int64_t batches_in_epoch(std::int64_t /*epoch*/) const override { return loader().batches_in_epoch() * uses(); }

  void restart() override {
    loader_.emplace(loader());
    generation_ = 0;
    used_ = uses();
    rollouts_.reset();
  }
  std::string position() const override {
    JsonObject out;
    out["prompts"] = Json::parse(loader_->position(), "data position");
    out["generation"] = static_cast<std::int64_t>(generation_);
    out["used"] = used_;
    return Json(std::move(out)).dump();
  }
  void restore(const std::string& position) override {
    const Json saved = Json::parse(position, "data position");
    loader_->restore(saved.at("prompts").dump());
    generation_ = static_cast<std::uint64_t>(saved.at("generation").as_integer("generation"));
    used_ = saved.at("used").as_integer("used");
    if (used_ < 0 || used_ > uses())
      throw Error(ErrorKind::range, "a position outside the data", {.field = "used", .found = std::to_string(used_)});
    rollouts_.reset();
  }

  void save_state(const std::string& folder) const override {
    if (used_ < uses()) rollouts_->save(folder + kRolloutsFile);
    if (source_.reference()) source_.reference()->save(folder, model_);
    method_->save(folder);
  }
  // Of a run that goes back to earlier weights, the rollouts go on as the data do.
  void restore_state(const std::string& folder) override {
    if (used_ < uses() && !rollouts_) {
      rollouts_ = Rollouts::load(folder + kRolloutsFile);
      rollouts_->share_prompts = source_.shares_prompts();
    }
    if (source_.reference()) source_.reference()->restore(folder, model_);
    method_->restore(folder);
  }
  std::vector<std::pair<std::string, at::Tensor>> extra_parameters() const override {
    return method_->extra_parameters();
  }

  StepData load(std::int64_t micro_batches) override {
    StepData data;
    batches_.clear();
    generation_tokens_.clear();
    while (std::ssize(batches_) < micro_batches) {
      if (used_ == uses() && !generate()) {
        if (!batches_.empty()) break;
        continue;  // an epoch ended
      }
      const std::vector<std::int64_t> chosen = completions_of(used_++);
      for (const std::int64_t i : chosen)
        data.rows.push_back(train_.place(rollouts_->rows[static_cast<std::size_t>(i)]));
      batches_.push_back(rollouts_->batch(chosen));
      data.tokens += batches_.back().completions.tokens.rows();
      data.target_tokens += batches_.back().completions.tokens.target_count();
      generation_tokens_.push_back(rollouts_->tokens());
    }
    if (data.target_tokens == 0) data.nothing = "every completion was cut off";
    return data;
  }

  StepLoss forward_and_backward(const StepContext& context) override {
    StepLoss step = run_passes(context, batches_.size(), [&](std::size_t pass, MetricMeans& metrics) {
      const RolloutBatch& batch = batches_[pass];
      if (batch.completions.tokens.target_count() == 0) return 0.0;  // all of them cut off
      ScoreOptions options = context.score_options(pass, batch.completions.tokens.rows());
      if (online_.disable_dropout) options.dropout_key.reset();
      options.temperature = online_.temperature;
      options.entropy_gradient = method_->has_entropy_bonus();
      const CompletionScores scores = score(model_, batch.completions, options);
      const LossResult result = method_->loss(scores.completions, batch,
                                              {.options = options,
                                               .micro_batches = std::ssize(batches_),
                                               .steps_per_generation = shape_.steps_per_generation,
                                               .generation_tokens = generation_tokens_[pass]});
      result.loss.backward();
      metrics.add(result.metrics, 1);
      return result.loss.item<double>();
    });
    if (!std::isfinite(step.loss)) return step;
    Metrics all = metrics_.means();
    metrics_ = {};
    for (auto& metric : step.metrics) all.push_back(std::move(metric));
    step.metrics = std::move(all);
    return step;
  }

  void updated(std::int64_t step) override {
    if (source_.reference()) source_.reference()->updated(step, model_);
  }

  Evaluation evaluate() override {
    const std::int64_t each = online_.num_generations_eval.value_or(shape_.num_generations);
    const std::int64_t together =
        std::max<std::int64_t>(1, loader_options_.micro_batch_size * shape_.num_generations / each);
    Evaluation evaluation;
    MetricMeans metrics;
    training::RowLoader rows(validation_->size(), validation_->fingerprint(), {together, false, seed_, false});
    std::uint64_t number = 0;
    while (const auto taken = rows.next()) {
      const Rollouts rollouts = source_.generate(*validation_, *taken, each, {.number = number++, .evaluation = true});
      metrics.add(rollouts.metrics, static_cast<double>(taken->size()));
      evaluation.target_tokens += rollouts.tokens();
    }
    evaluation.metrics = metrics.means();
    for (const auto& [name, value] : evaluation.metrics) {
      if (name == "reward") evaluation.eval_loss = -value;
    }
    return evaluation;
  }

 private:
  training::RowLoader loader() const { return {train_.size(), train_.fingerprint(), loader_options_}; }
  /// Micro batches that a generation gives.
  std::int64_t uses() const { return shape_.steps_per_generation * shape_.num_iterations; }

  bool generate() {
    const auto rows = loader_->next();
    if (!rows) return false;
    rollouts_ = source_.generate(train_, *rows, shape_.num_generations, {.number = generation_++});
    used_ = 0;
    metrics_.add(rollouts_->metrics, 1);
    return true;
  }

  std::vector<std::int64_t> completions_of(std::int64_t use) const {
    // Whole groups where they fit a micro batch, so that siblings share their prompt's computation.
    const auto& [micro_batch_size, steps_per_generation, num_generations, num_iterations] = shape_;
    const std::int64_t together = micro_batch_size % num_generations == 0 ? num_generations : 1;
    const std::int64_t iteration = method_->reorders() ? use / steps_per_generation : 0;
    const auto key = static_cast<std::uint32_t>(generation_ * static_cast<std::uint64_t>(num_iterations));
    const training::Permutation order(rollouts_->completions() / together, seed_, kCompletionUse,
                                      key + static_cast<std::uint32_t>(iteration));
    std::vector<std::int64_t> chosen;
    const std::int64_t first = use % steps_per_generation * micro_batch_size;
    for (std::int64_t i = first; i < first + micro_batch_size; ++i) {
      chosen.push_back(order[i / together] * together + i % together);
    }
    return chosen;
  }

  CausalLM& model_;
  PromptDataset train_;
  std::optional<PromptDataset> validation_;
  std::unique_ptr<OnlineMethodRule> method_;
  OnlineOptions online_;
  GenerationShape shape_;
  std::uint64_t seed_;
  RolloutSource source_;
  training::RowLoaderOptions loader_options_{};
  std::optional<training::RowLoader> loader_{};
  std::optional<Rollouts> rollouts_{};             // of the last generation
  std::uint64_t generation_ = 0;                   // of the next one
  std::int64_t used_ = 0;                          // micro batches of the last one that were given out
  std::vector<RolloutBatch> batches_{};            // of the step
  std::vector<std::int64_t> generation_tokens_{};  // of each one's generation
  MetricMeans metrics_{};                          // of generations that no step has told of
};

}  // namespace

std::unique_ptr<Objective> make_online_objective(CausalLM& model, PromptDataset train,
                                                 std::optional<PromptDataset> validation, const OnlineMethod& method,
                                                 std::vector<RewardFunction> rewards, const OnlineOptions& online,
                                                 const TrainingOptions& options) {
  if (validation && validation->size() == 0) validation.reset();
  return std::make_unique<OnlineObjective>(model, std::move(train), std::move(validation), method, std::move(rewards),
                                           online, options);
}

}  // namespace powerhouse
