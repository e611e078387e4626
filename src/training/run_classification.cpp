#include "training/run_classification.h"

#include <array>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::string_view kClass = "ForSequenceClassification";
constexpr const char* kWithoutClass = "has no effect without model_type: AutoModelForSequenceClassification";

// Of other models the class is told by their files.
void read_model_type(TrainingRun& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  const std::string& name = yaml_string(value, field);
  if (name.ends_with(kClass)) {
    run.model_type = name;
  } else {
    run.notices.push_back(field + ": told from the model's files");
  }
}

// Axolotl's word for rl: reward.
void read_reward_model(TrainingRun& run, const YamlValue& value, const std::string& field) {
  if (value.is_null() || !yaml_bool(value, field)) return;
  if (!run.rl.empty() && run.rl != "reward") throw wrong_value(value, field, "false: rl is " + run.rl);
  run.rl = "reward";
}

// {0: negative, 1: positive}.
void read_id2label(TrainingRun& run, const YamlValue& value, const std::string& field) {
  if (value.is_null()) return;
  if (value.kind != YamlValue::Kind::mapping) throw wrong_value(value, field, "a mapping of numbers to names");
  const std::size_t count = value.members.size();
  run.id2label.assign(count, "");
  for (const auto& [id, name] : value.members) {
    const YamlValue key{.kind = YamlValue::Kind::scalar, .text = id, .place = name.place, .fault = name.fault};
    const std::int64_t at = yaml_integer(key, field, 0, static_cast<std::int64_t>(count) - 1);
    std::string& label = run.id2label[static_cast<std::size_t>(at)];
    if (!label.empty() || yaml_string(name, field).empty()) {
      throw wrong_value(name, field + "." + id, "a name for each number from 0 on");
    }
    label = name.text;
  }
}

ProblemType problem_type_of(const std::string& name) {
  for (const ProblemType type :
       {ProblemType::regression, ProblemType::single_label_classification, ProblemType::multi_label_classification}) {
    if (to_string(type) == name) return type;
  }
  return ProblemType::automatic;
}

struct ClassificationChecks : RunChecks {
  void without() const {
    const bool reward = run.rl == "reward";
    refuse(!run.model_type.empty() && !reward, "model_type", "a class with a head over sequences, but rl is " + run.rl);
    refuse(run.num_labels != 0 && !reward, "num_labels", kWithoutClass);
    refuse(run.num_labels > 1, "num_labels", "a reward is one number");
    refuse(!run.problem_type.empty(), "problem_type", kWithoutClass);
    refuse(!run.id2label.empty(), "id2label", kWithoutClass);
    for (const auto* sources : {&run.datasets, &run.test_datasets}) {
      for (const DatasetSource& source : *sources) {
        refuse(!source.field_label.empty(), "datasets.field_label", kWithoutClass);
      }
    }
  }

  void labels() const {
    const auto names = std::ssize(run.id2label);
    refuse(names > 0 && run.num_labels > 0 && names != run.num_labels, "num_labels",
           "id2label names " + std::to_string(names));
    refuse(run.problem_type == "single_label_classification" && (names == 1 || run.num_labels == 1), "num_labels",
           "one label is no choice");
  }

  void data() const {
    refuse(run.sample_packing, "sample_packing", "labelled texts are not packed");
    refuse(run.train_on_inputs, "train_on_inputs", "has no effect: labels are the targets");
    refuse(run.excess_length_strategy != "drop", "excess_length_strategy",
           "has no effect here: truncation_mode says what is cut");
    refuse(run.min_sample_len != TrainingRun().min_sample_len, "min_sample_len", "has no effect here");
    refuse(!run.eot_tokens.empty(), "eot_tokens", "has no effect here");
    for (const auto* sources : {&run.datasets, &run.test_datasets}) {
      for (const DatasetSource& source : *sources) {
        refuse(!source.type.empty(), "datasets.type",
               "labelled texts have no type: field and field_label name columns");
      }
    }
  }
};

}  // namespace

bool classifies(const TrainingRun& run) { return run.rl.empty() && !run.model_type.empty(); }

void check_classification(const TrainingRun& run, const std::string& origin) {
  const ClassificationChecks checks{{run, origin}};
  if (!classifies(run)) return checks.without();
  checks.labels();
  checks.data();
}

std::span<const RunKey> classification_keys() {
  using R = TrainingRun;
  static const std::array keys{
      RunKey{"reward_model", KeyReader{read_reward_model}, "true: the same as rl: reward"},
      RunKey{"model_type", KeyReader{read_model_type},
             "AutoModelForSequenceClassification: train a head over sequences on rows of text and label (and with rl: "
             "reward, which means it anyway); all else is told from the files"},
      RunKey{"num_labels", &R::num_labels, "of such a head; default: the base's, or as many as the data have", 0,
             1 << 20},
      RunKey{"problem_type", &R::problem_type,
             "of such a head, as in config.json; default: the base's, or what the labels look like (a list: several "
             "labels, a number with a point: regression, else one class)",
             0, std::numeric_limits<double>::max(),
             "regression|single_label_classification|multi_label_classification"},
      RunKey{"id2label", KeyReader{read_id2label},
             "names of labels, as in config.json: {0: negative, 1: positive}; default: the data's, sorted"},
  };
  return keys;
}

ClassificationDatasetOptions classification_dataset_options(const TrainingRun& run,
                                                            const std::optional<SequenceHead>& head) {
  ClassificationDatasetOptions options{
      .max_length = run.sequence_len,
      .truncation_mode = run.truncation_mode == "keep_end" ? TruncationMode::keep_end : TruncationMode::keep_start,
      .chat_template = chat_template_source(run.chat_template, run.chat_template_jinja),
      .labels = run.id2label,
      .num_labels = run.num_labels,
      .problem_type = problem_type_of(run.problem_type),
      .val_set_size = run.val_set_size,
      .seed = run.seed};
  if (!head) return options;
  const bool other = run.num_labels != 0 && run.num_labels != head->num_labels();
  if (other || (!run.id2label.empty() && run.id2label != head->labels)) {
    throw Error(ErrorKind::usage, "the base has a head of other labels",
                {.file = run.base_model,
                 .field = other ? "num_labels" : "id2label",
                 .expected = std::to_string(head->num_labels()) + " labels, " + head->labels.front() + " first"});
  }
  options.labels = head->labels;
  options.num_labels = head->num_labels();
  if (options.problem_type == ProblemType::automatic) options.problem_type = head->problem_type;
  return options;
}

}  // namespace powerhouse
