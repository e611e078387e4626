// Preferences: pairs or single completions, a method's loss, and what it compares with.
#include "training/preference_objective.h"

#include <ATen/core/Tensor.h>

#include "powerhouse/error.h"
#include "support/refuse_usage.h"
#include "training/preference_method.h"
#include "training/reference_model.h"
#include "training/reference_table.h"
#include "training/rows_objective.h"

namespace powerhouse {
namespace {

bool share_prompts(const CausalLM& model, const AlignmentOptions& alignment) {
  return may_share_prompts(model) && (alignment.ref_model == nullptr || may_share_prompts(*alignment.ref_model));
}

class PreferenceObjective final : public RowsObjective<PreferenceDataset, PreferenceMicroBatch> {
 public:
  PreferenceObjective(CausalLM& model, PreferenceDataset train, std::optional<PreferenceDataset> validation,
                      PreferenceOptions method, AlignmentOptions alignment, const TrainingOptions& options)
      : RowsObjective(std::move(train), std::move(validation), options, alignment.disable_dropout),
        model_(model),
        method_(std::move(method), share_prompts(model, alignment)),
        alignment_(std::move(alignment)) {
    if (alignment_.ref_cache_dir.empty()) alignment_.ref_cache_dir = options.output_dir;
    check(options);
    if (method_.has_reference()) reference_.emplace(model, alignment_);
  }

  Facts facts() const override {
    return {{"method", method_.description()},
            {"rows", std::to_string(train().size())},
            {"held-back rows", std::to_string(validation() ? validation()->size() : 0)}};
  }
  void updated(std::int64_t step) override {
    if (reference_) reference_->updated(step, model_);
  }
  void save_state(const std::string& folder) const override {
    if (reference_) reference_->save(folder, model_);
  }
  void restore_state(const std::string& folder) override {
    if (reference_) reference_->restore(folder, model_);
  }

 private:
  void check(const TrainingOptions& options) const {
    refuse_usage(train().size() == 0, "data", "no rows to train on");
    const bool fits =
        train().unpaired() == method_.unpaired() && (!validation() || validation()->unpaired() == method_.unpaired());
    refuse_usage(!fits, "data",
                 method_.unpaired() ? "the method takes single completions: open the data with unpaired"
                                    : "the method takes pairs: open the data without unpaired");
    refuse_usage(options.sample_packing, "sample_packing", "rows of preferences are not packed");
    const bool asks_reference =
        alignment_.ref_model != nullptr || alignment_.precompute_ref_log_probs || alignment_.sync_ref_model;
    refuse_usage(!method_.has_reference() && asks_reference, "ref_model", "has no effect: the method has no reference");
    if (!method_.has_mismatched()) return;
    refuse_usage(micro_batch_size() < 2 || (validation() && eval_batch_size() < 2), "micro_batch_size",
                 "KTO puts completions to the prompts of others in the micro batch, which needs 2 or more");
    refuse_usage(alignment_.precompute_ref_log_probs && options.shuffle, "shuffle",
                 "must be off where KTO's log-probabilities are precomputed: it pairs the rows of a micro batch");
  }

  PreferenceMicroBatch make_batch(const PreferenceDataset& data, std::vector<std::int64_t> rows) const override {
    return method_.load(data, std::move(rows));
  }
  const TokenBatch& texts_of(const PreferenceMicroBatch& batch) const override { return batch.completions.tokens; }
  std::int64_t targets_of(const PreferenceMicroBatch& batch) const override { return method_.target_tokens(batch); }
  LossResult loss_of(const PreferenceMicroBatch& batch, const ScoreOptions& options, bool held_back) override {
    return method_.loss(model_, batch, reference_of(batch, held_back ? validation_table_ : train_table_), options);
  }

  // Before anything has trained: once.
  void prepare() override {
    if (!alignment_.precompute_ref_log_probs || train_table_) return;
    const auto table = [&](const PreferenceDataset& data, std::int64_t batch_size) {
      const std::int64_t asked = method_.has_mismatched() ? 0 : alignment_.precompute_ref_batch_size;
      return ReferenceTable(method_, *reference_, data, asked > 0 ? asked : batch_size, alignment_.ref_cache_dir);
    };
    train_table_.emplace(table(train(), micro_batch_size()));
    if (validation()) validation_table_.emplace(table(*validation(), eval_batch_size()));
  }

  at::Tensor reference_of(const PreferenceMicroBatch& batch, const std::optional<ReferenceTable>& table) const {
    if (!reference_) return {};
    return table ? table->of(batch) : method_.reference(reference_->model(), batch);
  }

  CausalLM& model_;
  PreferenceMethod method_;
  AlignmentOptions alignment_;
  std::optional<ReferenceModel> reference_{};
  std::optional<ReferenceTable> train_table_{}, validation_table_{};
};

}  // namespace

std::unique_ptr<Objective> make_preference_objective(CausalLM& model, PreferenceDataset train,
                                                     std::optional<PreferenceDataset> validation,
                                                     PreferenceOptions method, AlignmentOptions alignment,
                                                     const TrainingOptions& options) {
  return std::make_unique<PreferenceObjective>(model, std::move(train), std::move(validation), std::move(method),
                                               std::move(alignment), options);
}

}  // namespace powerhouse
