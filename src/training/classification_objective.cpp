// A classifier's objective: the losses of transformers' classes. A micro batch is one pass over its texts, side by
// side.
#include "training/classification_objective.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "training/rows_objective.h"
#include "training/trainer_impl.h"

namespace powerhouse {
namespace {

struct LabelledBatch {
  TokenBatch texts{};
  at::Tensor labels{};  // int64 [texts] of one class, else float32 [texts, labels]
};

LabelledBatch labelled_batch(const ClassificationDataset& data, const std::vector<std::int64_t>& rows) {
  LabelledBatch batch;
  std::vector<float> values;
  for (const std::int64_t row : rows) {
    const ClassificationExample example = data.example(row);
    batch.texts.add(example.input_ids);
    values.insert(values.end(), example.label.begin(), example.label.end());
  }
  if (data.problem_type() == ProblemType::single_label_classification) {
    batch.labels = index_tensor(std::vector<std::int64_t>(values.begin(), values.end()));
    return batch;
  }
  batch.labels = empty_tensor({std::ssize(rows), data.num_labels()}, at::kFloat);
  std::copy(values.begin(), values.end(), batch.labels.data_ptr<float>());
  return batch;
}

// The share of rows whose class is the largest number; whose labels are all right; or how far values are off.
Metrics metrics_of(const at::Tensor& logits, const at::Tensor& labels, ProblemType type) {
  const auto mean = [](const at::Tensor& values) { return values.to(at::kDouble).mean().item<double>(); };
  if (type == ProblemType::single_label_classification) return {{"accuracy", mean(logits.argmax(1).eq(labels))}};
  if (type == ProblemType::regression) return {{"mae", mean(logits.sub(labels).abs())}};
  return {{"accuracy", mean(logits.gt(0).eq(labels.gt(0.5)).all(1))}};
}

class ClassificationObjective final : public RowsObjective<ClassificationDataset, LabelledBatch> {
 public:
  ClassificationObjective(SequenceClassifier& model, ClassificationDataset train,
                          std::optional<ClassificationDataset> validation, const TrainingOptions& options)
      : RowsObjective(std::move(train), std::move(validation), options, /*disable_dropout=*/false, StepMean::rows),
        model_(model) {}

  Facts facts() const override {
    return {{"problem", std::string(to_string(train().problem_type()))},
            {"labels", std::to_string(train().num_labels())},
            {"rows", std::to_string(train().size())},
            {"held-back rows", std::to_string(validation() ? validation()->size() : 0)}};
  }

 private:
  LabelledBatch make_batch(const ClassificationDataset& data, std::vector<std::int64_t> rows) const override {
    return labelled_batch(data, rows);
  }
  const TokenBatch& texts_of(const LabelledBatch& batch) const override { return batch.texts; }
  std::int64_t targets_of(const LabelledBatch& batch) const override { return batch.texts.documents(); }
  LossResult loss_of(const LabelledBatch& batch, const ScoreOptions& options, bool /*held_back*/) override {
    const ProblemType type = train().problem_type();
    const at::Tensor logits = model_.logits(batch.texts, options);
    return {sequence_classification_loss(logits, batch.labels, type), metrics_of(logits.detach(), batch.labels, type)};
  }

  SequenceClassifier& model_;
};

bool are_named(const std::vector<std::string>& labels) {
  return std::any_of(labels.begin(), labels.end(), [](const std::string& name) { return !name.starts_with("LABEL_"); });
}

void check_fit(const SequenceHead& head, const ClassificationDataset& data) {
  const auto refuse = [](bool wrong, const char* what, const char* field, std::string expected, std::string found) {
    if (wrong) {
      throw Error(ErrorKind::usage, what, {.field = field, .expected = std::move(expected), .found = std::move(found)});
    }
  };
  refuse(head.num_labels() != data.num_labels(), "head and data have another number of labels", "num_labels",
         std::to_string(head.num_labels()), std::to_string(data.num_labels()));
  refuse(head.problem_type != ProblemType::automatic && head.problem_type != data.problem_type(),
         "head and data are of another kind of problem", "problem_type", std::string(to_string(head.problem_type)),
         std::string(to_string(data.problem_type())));
  if (!are_named(head.labels) || !are_named(data.labels())) return;
  const auto [ours, theirs] = std::mismatch(head.labels.begin(), head.labels.end(), data.labels().begin());
  if (ours != head.labels.end()) refuse(true, "head and data name a label otherwise", "labels", *ours, *theirs);
}

}  // namespace

std::unique_ptr<Objective> make_classification_objective(SequenceClassifier& model, ClassificationDataset train,
                                                         std::optional<ClassificationDataset> validation,
                                                         const TrainingOptions& options) {
  if (train.size() == 0) throw Error(ErrorKind::usage, "no rows to train on", {.field = "data"});
  if (options.sample_packing) {
    throw Error(ErrorKind::usage, "labelled texts are not packed", {.field = "sample_packing", .expected = "false"});
  }
  check_fit(model.head(), train);
  if (validation && validation->size() > 0) check_fit(model.head(), *validation);
  return std::make_unique<ClassificationObjective>(model, std::move(train), std::move(validation), options);
}

Trainer::Trainer(SequenceClassifier& model, const ClassificationDataset& data, TrainingOptions options,
                 TrainingCallbacks callbacks)
    : Trainer(model, data.train(), data.validation(), std::move(options), std::move(callbacks)) {}

Trainer::Trainer(SequenceClassifier& model, const ClassificationDataset& train,
                 const std::optional<ClassificationDataset>& validation, TrainingOptions options,
                 TrainingCallbacks callbacks) {
  auto objective = make_classification_objective(model, train, validation, options);
  impl_ = Impl::make(model.model(), std::move(objective), std::move(options), std::move(callbacks));
}

}  // namespace powerhouse
