// DatasetObjective: what objectives over the rows of a Dataset have in common: the micro batches of a step, packed or
// not, and the place in the data.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "powerhouse/data_loader.h"
#include "training/objective.h"

namespace powerhouse {

class DatasetObjective : public Objective {
 public:
  std::string data_fingerprint() const override { return train_.fingerprint(); }
  Facts facts() const override;
  bool has_validation() const override { return validation_.has_value(); }
  std::int64_t batches_in_epoch(std::int64_t epoch) const override;
  void restart() override { loader_.emplace(train_, train_options_); }
  std::string position() const override { return loader_->position(); }
  void restore(const std::string& position) override { loader_->restore(position); }
  StepData load(std::int64_t micro_batches) override;

 protected:
  /// Held-back data without rows are none. Error{usage} for no rows to train on.
  DatasetObjective(Dataset train, std::optional<Dataset> validation, const TrainingOptions& options);

  const Dataset& train() const { return train_; }
  const std::optional<Dataset>& validation() const { return validation_; }
  DataLoader validation_loader() const { return DataLoader(*validation_, eval_options_); }
  /// Of the step, and the targets of all of them. One may have none: a piece of a cut row.
  const std::vector<TokenBatch>& batches() const { return batches_; }
  std::int64_t target_tokens() const { return target_tokens_; }

 private:
  Dataset train_;
  std::optional<Dataset> validation_;
  DataLoaderOptions train_options_, eval_options_;
  std::optional<DataLoader> loader_{};
  std::vector<TokenBatch> batches_{};
  std::int64_t target_tokens_ = 0;
};

}  // namespace powerhouse
