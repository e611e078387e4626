// Preferences. As in TRL, a step's loss and its metrics are the means over its micro batches, each the mean over its
// rows; an evaluation's are means over rows.
#include "training/preference_objective.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "ops/rope.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "training/data/row_loader.h"
#include "training/metric_means.h"
#include "training/preference_method.h"
#include "training/reference_model.h"
#include "training/reference_table.h"

namespace powerhouse {
namespace {

// Where the length of a sequence turns all of its keys, two continuations see different prompts.
bool may_share_prompts(const ModelConfig& config) {
  return std::none_of(config.layers.begin(), config.layers.end(), [](const Block& block) {
    return block.position == PositionKind::rope && ops::depends_on_length(block.rope);
  });
}

bool may_share_prompts(const CausalLM& model, const AlignmentOptions& alignment) {
  return may_share_prompts(model.config()) &&
         (alignment.ref_model == nullptr || may_share_prompts(alignment.ref_model->config()));
}

class PreferenceObjective final : public Objective {
 public:
  PreferenceObjective(CausalLM& model, PreferenceDataset train, std::optional<PreferenceDataset> validation,
                      PreferenceOptions method, AlignmentOptions alignment, const TrainingOptions& options)
      : model_(model),
        train_(std::move(train)),
        validation_(std::move(validation)),
        method_(std::move(method), may_share_prompts(model, alignment)),
        alignment_(std::move(alignment)),
        train_options_{options.micro_batch_size, options.shuffle, options.seed, options.drop_last},
        eval_options_{options.eval_batch_size > 0 ? options.eval_batch_size : options.micro_batch_size, false,
                      options.seed, false} {
    if (alignment_.ref_cache_dir.empty()) alignment_.ref_cache_dir = options.output_dir;
    check(options);
    if (method_.has_reference()) reference_.emplace(model, alignment_);
  }

  std::string data_fingerprint() const override { return train_.fingerprint(); }
  Facts facts() const override {
    return {{"method", method_.description()},
            {"rows", std::to_string(train_.size())},
            {"held-back rows", std::to_string(validation_ ? validation_->size() : 0)}};
  }
  bool has_validation() const override { return validation_.has_value(); }
  std::int64_t batches_in_epoch(std::int64_t /*epoch*/) const override { return loader(train_).batches_in_epoch(); }

  void restart() override {
    prepare_reference();
    loader_.emplace(loader(train_));
  }
  std::string position() const override { return loader_->position(); }
  void restore(const std::string& position) override { loader_->restore(position); }

  StepData load(std::int64_t micro_batches) override {
    StepData data;
    batches_.clear();
    load_step(*loader_, micro_batches, [&](std::vector<std::int64_t> rows) {
      for (const std::int64_t row : rows) data.rows.push_back(train_.place(row));
      batches_.push_back(method_.load(train_, std::move(rows)));
      data.tokens += batches_.back().completions.tokens.rows();
      data.target_tokens += batches_.back().completions.tokens.target_count();
    });
    return data;
  }

  StepLoss forward_and_backward(const StepContext& context) override {
    StepLoss step;
    MetricMeans metrics;
    const auto count = static_cast<double>(batches_.size());
    for (std::size_t pass = 0; pass < batches_.size(); ++pass) {
      const PreferenceMicroBatch& batch = batches_[pass];
      ScoreOptions options = context.score_options(pass, batch.completions.tokens.rows());
      if (alignment_.disable_dropout) options.dropout_key.reset();
      try {
        const LossResult result = method_.loss(model_, batch, reference_of(batch, train_table_), options);
        result.loss.div(count).backward();
        step.loss += result.loss.item<double>() / count;
        metrics.add(result.metrics, 1);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::numeric) throw;
        log(LogLevel::warning, "step " + std::to_string(context.step) + ": " + error.what());
        return {std::numeric_limits<double>::quiet_NaN(), {}};  // a step that the loop leaves out
      }
    }
    step.metrics = metrics.means();
    return step;
  }

  void updated(std::int64_t step) override {
    if (reference_) reference_->updated(step, model_);
  }

  Evaluation evaluate() override {
    prepare_reference();
    const c10::AutoGradMode no_gradients(false);
    Evaluation evaluation;
    MetricMeans metrics;
    double sum = 0;
    training::RowLoader rows(validation_->size(), validation_->fingerprint(), eval_options_);
    while (auto taken = rows.next()) {
      const auto weight = static_cast<double>(taken->size());
      const PreferenceMicroBatch batch = method_.load(*validation_, std::move(*taken));
      const LossResult result = method_.loss(model_, batch, reference_of(batch, validation_table_), {});
      sum += weight * result.loss.item<double>();
      metrics.add(result.metrics, weight);
      evaluation.target_tokens += batch.completions.tokens.target_count();
    }
    evaluation.eval_loss = sum / static_cast<double>(validation_->size());
    evaluation.metrics = metrics.means();
    return evaluation;
  }

  void save_state(const std::string& folder) const override {
    if (reference_) reference_->save(folder, model_);
  }
  void restore_state(const std::string& folder) override {
    if (reference_) reference_->restore(folder, model_);
  }

 private:
  void check(const TrainingOptions& options) const {
    const auto refuse = [](bool wrong, const char* field, const char* what) {
      if (wrong) throw Error(ErrorKind::usage, what, {.field = field});
    };
    refuse(train_.size() == 0, "data", "no rows to train on");
    const bool fits =
        train_.unpaired() == method_.unpaired() && (!validation_ || validation_->unpaired() == method_.unpaired());
    refuse(!fits, "data",
           method_.unpaired() ? "the method takes single completions: open the data with unpaired"
                              : "the method takes pairs: open the data without unpaired");
    refuse(options.sample_packing, "sample_packing", "rows of preferences are not packed");
    const AlignmentOptions none;
    const bool asks_reference =
        alignment_.ref_model != nullptr || alignment_.precompute_ref_log_probs || alignment_.sync_ref_model;
    refuse(!method_.has_reference() && asks_reference, "ref_model", "has no effect: the method has no reference");
    if (!method_.has_mismatched()) return;
    refuse(train_options_.micro_batch_size < 2 || (validation_ && eval_options_.micro_batch_size < 2),
           "micro_batch_size",
           "KTO puts completions to the prompts of others in the micro batch, which needs 2 or more");
    refuse(alignment_.precompute_ref_log_probs && options.shuffle, "shuffle",
           "must be off where KTO's log-probabilities are precomputed: it pairs the rows of a micro batch");
  }

  training::RowLoader loader(const PreferenceDataset& data) const {
    return {data.size(), data.fingerprint(), train_options_};
  }

  // Before anything has trained: once.
  void prepare_reference() {
    if (!alignment_.precompute_ref_log_probs || train_table_) return;
    const auto table = [&](const PreferenceDataset& data, std::int64_t batch_size) {
      const std::int64_t asked = method_.has_mismatched() ? 0 : alignment_.precompute_ref_batch_size;
      return ReferenceTable(method_, *reference_, data, asked > 0 ? asked : batch_size, alignment_.ref_cache_dir);
    };
    train_table_.emplace(table(train_, train_options_.micro_batch_size));
    if (validation_) validation_table_.emplace(table(*validation_, eval_options_.micro_batch_size));
  }

  ReferenceSums reference_of(const PreferenceMicroBatch& batch, const std::optional<ReferenceTable>& table) const {
    if (!reference_) return {};
    return table ? table->of(batch) : method_.reference(reference_->model(), batch);
  }

  CausalLM& model_;
  PreferenceDataset train_;
  std::optional<PreferenceDataset> validation_;
  PreferenceMethod method_;
  AlignmentOptions alignment_;
  training::RowLoaderOptions train_options_, eval_options_;
  std::optional<ReferenceModel> reference_{};
  std::optional<ReferenceTable> train_table_{}, validation_table_{};
  std::optional<training::RowLoader> loader_{};
  std::vector<PreferenceMicroBatch> batches_{};  // of the step
};

}  // namespace

std::unique_ptr<Objective> make_preference_objective(CausalLM& model, PreferenceDataset train,
                                                     std::optional<PreferenceDataset> validation,
                                                     PreferenceOptions method, AlignmentOptions alignment,
                                                     const TrainingOptions& options) {
  if (validation && validation->size() == 0) validation.reset();
  return std::make_unique<PreferenceObjective>(model, std::move(train), std::move(validation), std::move(method),
                                               std::move(alignment), options);
}

}  // namespace powerhouse
