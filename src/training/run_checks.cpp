// What the keys of a run mean together: those that exclude each other, and those that do nothing without another. A
// setting that would silently have no effect is an Error, as in transformers and Axolotl.
#include <cmath>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "support/mapped_file.h"
#include "training/run_classification.h"
#include "training/run_config.h"
#include "training/run_distillation.h"
#include "training/run_online.h"
#include "training/run_preference.h"

namespace powerhouse {
namespace {

constexpr std::size_t kLongestTemplate = std::size_t{1} << 20;

bool is_template(const std::string& text) {
  return text.find("{{") != std::string::npos || text.find("{%") != std::string::npos;
}

// A template or a format's name, before any data are read.
void check_template(const std::string& text, const std::string& file) {
  if (text.empty() || text.starts_with("tokenizer_default")) return;
  try {
    is_template(text) ? ChatTemplate(text) : ChatTemplate::from_format(text);
  } catch (const Error& error) {
    throw error.in_file(file);
  }
}

struct CommonChecks : RunChecks {
  void model() const {
    refuse(run.base_model.empty(), "base_model", "missing: the model to train");
    refuse(run.load_in_4bit && run.adapter.empty(), "load_in_4bit",
           "4-bit weights are trained through an adapter only");
    refuse(run.load_in_8bit && run.adapter.empty(), "load_in_8bit",
           "8-bit weights are trained through an adapter only");
    refuse(run.load_in_8bit && (run.load_in_4bit || run.adapter == "qlora"), "load_in_8bit",
           "not together with load_in_4bit or adapter: qlora, which are of 4 bits");
    refuse(!run.lora_model_dir.empty() && run.adapter.empty(), "lora_model_dir", "needs adapter: lora or qlora");
    refuse(!run.unfrozen_parameters.empty() && !run.adapter.empty(), "unfrozen_parameters",
           "has no effect: an adapter trains nothing but itself");
    refuse(run.activation_memory_budget > 0 && run.gradient_checkpointing == "true", "activation_memory_budget",
           "not together with gradient_checkpointing: it says how many layers are computed again");
  }

  void data() const {
    refuse(run.datasets.empty(), "datasets", "missing: the data to train on");
    refuse(run.val_set_size > 0 && !run.test_datasets.empty(), "val_set_size", "not together with test_datasets");
    refuse(run.val_set_size > 1 && run.val_set_size != std::floor(run.val_set_size), "val_set_size",
           "above 1 it is a number of rows");
  }

  void length() const {
    refuse(run.warmup_steps && run.warmup_ratio, "warmup_ratio", "not together with warmup_steps");
    refuse(run.num_epochs <= 0 && run.max_steps <= 0, "num_epochs", "must be above 0 where max_steps is not given");
    refuse(run.output_dir.empty(), "output_dir", "must not be empty");
  }

  // How often, told by `strategy` and two numbers of which one counts.
  void cadence(const std::string& strategy, const char* steps_key, double steps, const char* per_epoch_key,
               std::int64_t per_epoch) const {
    refuse(steps > 0 && per_epoch > 0, per_epoch_key, "not together with the same in steps");
    refuse(steps > 1 && steps != std::floor(steps), steps_key, "above 1 it is a whole number of steps");
    const bool by_steps = strategy.empty() || strategy == "steps";
    refuse(!by_steps && steps > 0, steps_key, "has no effect: the strategy is not steps");
    refuse(!by_steps && per_epoch > 0, per_epoch_key, "has no effect: the strategy is not steps");
  }

  void evaluation() const {
    cadence(run.eval_strategy, "eval_steps", run.eval_steps, "evals_per_epoch", run.evals_per_epoch);
    cadence(run.save_strategy, "save_steps", run.save_steps, "saves_per_epoch", run.saves_per_epoch);
    const bool by_best = run.load_best_model_at_end || run.early_stopping_patience > 0 || run.save_strategy == "best";
    refuse(by_best && !holds_back(run), "val_set_size", "the best evaluation needs held-back data");
    refuse(by_best && run.eval_strategy == "no", "eval_strategy",
           "the best evaluation needs evaluations: load_best_model_at_end, early_stopping_patience and save_strategy: "
           "best do nothing without");
    refuse(run.eval_steps > 0 && !holds_back(run), "eval_steps", "has no effect: no data are held back");
    const bool evaluates = !run.eval_strategy.empty() && run.eval_strategy != "no";
    refuse(evaluates && !holds_back(run), "eval_strategy", "has no effect: no data are held back");
  }
};

}  // namespace

bool holds_back(const TrainingRun& run) { return run.val_set_size > 0 || !run.test_datasets.empty(); }

void check_together(const TrainingRun& run, const std::string& origin) {
  const CommonChecks checks{{run, origin}};
  checks.model();
  checks.data();
  checks.length();
  checks.evaluation();
  check_classification(run, origin);
  check_preference(run, origin);
  check_distillation(run, origin);
  check_online(run, origin);
}

bool has_word(std::string_view words, std::string_view word) {
  for (; !words.empty(); words.remove_prefix(std::min(words.size(), words.find('|') + 1))) {
    if (words.substr(0, words.find('|')) == word) return true;
    if (words.find('|') == std::string_view::npos) break;
  }
  return false;
}

std::string chat_template_source(const std::string& name, const std::string& jinja) {
  const bool own = name.empty() || name == "jinja" || name == "tokenizer_default";
  if (jinja.empty() && name == "jinja") {
    throw Error(ErrorKind::format, "missing: chat_template is jinja", {.field = "chat_template_jinja"});
  }
  if (!jinja.empty() && !own) {
    throw Error(ErrorKind::format, "has no effect: chat_template names another",
                {.field = "chat_template_jinja", .expected = "chat_template: jinja", .found = name});
  }
  try {
    std::string text = jinja.empty() ? name : jinja;
    const bool in_file = !jinja.empty() && !is_template(jinja);
    if (in_file) text = read_text(jinja, kLongestTemplate);
    check_template(text, in_file ? jinja : "");
    return text;
  } catch (const Error& error) {
    std::string message = error.file();
    for (const std::string& part : {error.field(), error.message()}) {
      if (!part.empty()) message.append(message.empty() ? "" : ": ").append(part);
    }
    throw Error(error.kind(), message,
                {.field = jinja.empty() ? "chat_template" : "chat_template_jinja",
                 .expected = error.expected(),
                 .found = error.found()});
  }
}

}  // namespace powerhouse
