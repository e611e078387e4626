#include "training/dataset_objective.h"

#include "powerhouse/error.h"

namespace powerhouse {

DatasetObjective::DatasetObjective(Dataset train, std::optional<Dataset> validation, const TrainingOptions& options)
    : train_(std::move(train)),
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
          .seed = options.seed} {
  if (train_.size() == 0) throw Error(ErrorKind::usage, "no rows to train on", {.field = "data"});
  if (validation_ && validation_->size() == 0) validation_.reset();
}

Facts DatasetObjective::facts() const {
  return {{"rows", std::to_string(train_.size())},
          {"held-back rows", std::to_string(validation_ ? validation_->size() : 0)}};
}

std::int64_t DatasetObjective::batches_in_epoch(std::int64_t epoch) const {
  return DataLoader(train_, train_options_).batches_in_epoch(epoch);
}

StepData DatasetObjective::load(std::int64_t micro_batches) {
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

}  // namespace powerhouse
