// train(TrainingRun): opens data and model, trains, and leaves the result in output_dir.
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "powerhouse/training_run.h"
#include "support/json.h"
#include "training/model_state.h"
#include "training/run_classification.h"
#include "training/run_distillation.h"
#include "training/run_model.h"
#include "training/run_online.h"
#include "training/run_options.h"
#include "training/run_preference.h"

namespace powerhouse {
namespace {

void log_lines(const std::string& text) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    log(LogLevel::info, text.substr(begin, end - begin));
    begin = end + 1;
  }
}

void log_notices(const TrainingRun& run) {
  if (run.notices.empty()) return;
  std::string text = "keys without effect here: ";
  for (std::size_t i = 0; i < run.notices.size(); ++i) text += (i == 0 ? "" : "; ") + run.notices[i];
  log(LogLevel::info, text);
}

template <typename Data>
struct RunData {
  Data all;
  Data train;
  std::optional<Data> validation;
};

// A side without rows would be a run that does not do what it was asked for.
template <typename Data>
void check_held_back(const TrainingRun& run, const RunData<Data>& data) {
  if (!data.validation) return;
  const bool split = run.test_datasets.empty();
  const std::string found = split ? Json(run.val_set_size).dump() : run.test_datasets.front().path;
  if (data.validation->size() == 0) {
    throw Error(ErrorKind::usage, "no held-back row can be evaluated",
                {.field = split ? "val_set_size" : "test_datasets", .found = found});
  }
  if (split && data.train.size() == 0) {
    throw Error(ErrorKind::usage, "no row is left to train on: all are held back",
                {.field = "val_set_size", .found = found});
  }
}

// Before the first step, not in the middle of the run that meets such a row.
void check_length(const TrainingRun& run, const CausalLM& model, const DatasetReport& report) {
  const std::int64_t longest = std::min(run.sequence_len, report.lengths.max);
  const std::int64_t context = longest_row(model) - (is_online(run.rl) ? 1 : 0);  // room for a token of an answer
  if (longest <= context) return;
  throw Error(
      ErrorKind::range, "rows longer than the model's context",
      {.field = "sequence_len", .expected = "at most " + std::to_string(context), .found = std::to_string(longest)});
}

template <typename Data, typename Options>
RunData<Data> open_data(const TrainingRun& run, const Tokenizer& tokenizer, const Options& options) {
  const Data data = Data::open(tokenizer, run.datasets, options);
  RunData<Data> parts{data, data.train(), std::nullopt};
  if (!run.test_datasets.empty()) {
    parts.validation = Data::open(tokenizer, run.test_datasets, options);
  } else if (run.val_set_size > 0) {
    parts.validation = data.validation();
  }
  check_held_back(run, parts);
  log_notices(run);
  log_lines(parts.train.report().text());
  return parts;
}

template <typename Data>
void check_lengths(const TrainingRun& run, const CausalLM& model, const RunData<Data>& data) {
  check_length(run, model, data.train.report());
  if (data.validation) check_length(run, model, data.validation->report());
}

template <typename Data>
CausalLM open_model(const TrainingRun& run, const Tokenizer& tokenizer, const RunData<Data>& data) {
  CausalLM model = run_model(run, tokenizer);
  check_lengths(run, model, data);
  return model;
}

TrainingResult finished(const TrainingRun& run, const CausalLM& model, TrainingResult result) {
  if (result.end == TrainingEnd::cancelled) return result;
  if (const std::string broken = not_finite_parameter(model); !broken.empty()) {
    throw Error(ErrorKind::numeric, "training left numbers that are not finite, and nothing is written",
                {.file = run.output_dir, .field = broken});
  }
  save_trained(model, run.output_dir);
  return result;
}

TrainingResult train_on_preferences(const TrainingRun& run, const TrainingOptions& options, std::stop_token stop) {
  const Tokenizer tokenizer = run_tokenizer(run);
  const auto data = open_data<PreferenceDataset>(run, tokenizer, preference_dataset_options(run));
  CausalLM model = open_model(run, tokenizer, data);
  std::optional<CausalLM> reference = run_reference(run, model);
  AlignmentOptions alignment = alignment_options(run);
  if (reference) alignment.ref_model = &*reference;
  Trainer trainer(model, data.train, data.validation, preference_options(run), options, alignment);
  return finished(run, model, trainer.train(std::move(stop)));
}

TrainingResult distil(const TrainingRun& run, const TrainingOptions& options, std::stop_token stop) {
  const Tokenizer tokenizer = run_tokenizer(run);
  const auto data = open_data<Dataset>(run, tokenizer, dataset_options(run));
  CausalLM model = open_model(run, tokenizer, data);
  const RunTeacher teacher = run_teacher(run, model, data.all);
  Trainer trainer(model, teacher.teacher(), data.train, data.validation, distillation_options(run), options);
  return finished(run, model, trainer.train(std::move(stop)));
}

TrainingResult train_reward_model(const TrainingRun& run, const TrainingOptions& options, std::stop_token stop) {
  const Tokenizer tokenizer = run_tokenizer(run);
  const auto data = open_data<PreferenceDataset>(run, tokenizer, preference_dataset_options(run));
  SequenceClassifier model = run_classifier(run, tokenizer, {});
  check_lengths(run, model.model(), data);
  Trainer trainer(model, data.train, data.validation, reward_options(run), options);
  return finished(run, model.model(), trainer.train(std::move(stop)));
}

TrainingResult train_on_completions(const TrainingRun& run, const TrainingOptions& options, std::stop_token stop) {
  const Tokenizer tokenizer = run_tokenizer(run);
  const auto data = open_data<PromptDataset>(run, tokenizer, prompt_dataset_options(run));
  CausalLM model = open_model(run, tokenizer, data);
  std::optional<CausalLM> reference = run_reference(run, model);
  const RunRewards rewards = run_rewards(run, model);
  std::optional<SequenceClassifier> value_model = run_value_model(run, model, tokenizer);
  OnlineOptions online = online_options(run);
  if (reference) online.ref_model = &*reference;
  if (value_model) online.value_model = &*value_model;
  Trainer trainer(model, data.train, data.validation, online_method(run), rewards.functions, online, options);
  return finished(run, model, trainer.train(std::move(stop)));
}

// Held-back files have the labels of those that are trained on.
RunData<ClassificationDataset> open_labelled(const TrainingRun& run, const Tokenizer& tokenizer) {
  ClassificationDatasetOptions options = classification_dataset_options(run, base_head(run));
  if (run.test_datasets.empty()) return open_data<ClassificationDataset>(run, tokenizer, options);
  TrainingRun training = run;
  training.test_datasets.clear();
  auto data = open_data<ClassificationDataset>(training, tokenizer, options);
  options.labels = data.train.labels();
  options.problem_type = data.train.problem_type();
  data.validation = ClassificationDataset::open(tokenizer, run.test_datasets, options);
  check_held_back(run, data);
  return data;
}

TrainingResult train_classifier(const TrainingRun& run, const TrainingOptions& options, std::stop_token stop) {
  const Tokenizer tokenizer = run_tokenizer(run);
  const auto data = open_labelled(run, tokenizer);
  SequenceClassifier model =
      run_classifier(run, tokenizer, {.labels = data.train.labels(), .problem_type = data.train.problem_type()});
  check_lengths(run, model.model(), data);
  Trainer trainer(model, data.train, data.validation, options);
  return finished(run, model.model(), trainer.train(std::move(stop)));
}

}  // namespace

TrainingResult train(const TrainingRun& run, std::stop_token stop) {
  const TrainingOptions options = training_options(run);
  if (run.rl == "distill") return distil(run, options, std::move(stop));
  if (run.rl == "reward") return train_reward_model(run, options, std::move(stop));
  if (is_online(run.rl)) return train_on_completions(run, options, std::move(stop));
  if (classifies(run)) return train_classifier(run, options, std::move(stop));
  if (!run.rl.empty()) return train_on_preferences(run, options, std::move(stop));
  const Tokenizer tokenizer = run_tokenizer(run);
  const auto data = open_data<Dataset>(run, tokenizer, dataset_options(run));
  CausalLM model = open_model(run, tokenizer, data);
  return finished(run, model, Trainer(model, data.train, data.validation, options).train(std::move(stop)));
}

}  // namespace powerhouse
