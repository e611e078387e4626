// train(TrainingRun): opens data and model, trains, and leaves the result in output_dir.
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "powerhouse/log.h"
#include "powerhouse/training_run.h"
#include "training/model_state.h"
#include "training/run_model.h"
#include "training/run_options.h"

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

struct RunData {
  Dataset train;
  std::optional<Dataset> validation;
};

RunData open_data(const TrainingRun& run, const Tokenizer& tokenizer) {
  const DatasetOptions options = dataset_options(run);
  const Dataset data = Dataset::open(tokenizer, run.datasets, options);
  RunData parts{data.train(), std::nullopt};
  if (!run.test_datasets.empty()) {
    parts.validation = Dataset::open(tokenizer, run.test_datasets, options);
  } else if (run.val_set_size > 0) {
    parts.validation = data.validation();
  }
  return parts;
}

}  // namespace

TrainingResult train(const TrainingRun& run, std::stop_token stop) {
  const TrainingOptions options = training_options(run);
  const Tokenizer tokenizer = run_tokenizer(run);
  const RunData data = open_data(run, tokenizer);
  log_notices(run);
  log_lines(data.train.report().text());
  CausalLM model = run_model(run);
  TrainingResult result = Trainer(model, data.train, data.validation, options).train(std::move(stop));
  if (result.end != TrainingEnd::cancelled) save_trained(model, run.output_dir);
  return result;
}

}  // namespace powerhouse
