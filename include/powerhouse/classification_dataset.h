// Labelled texts for heads over sequences (sequence_classifier.h): classes, several labels, or numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "powerhouse/dataset.h"
#include "powerhouse/dataset_report.h"
#include "powerhouse/export.h"
#include "powerhouse/preference_dataset.h"
#include "powerhouse/sequence_head.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct ClassificationDatasetOptions {
  std::int64_t max_length = 512;  ///< tokens, special ones included; 0: no limit
  /// Of longer texts. keep_start is what transformers' tokenizers do with truncation.
  TruncationMode truncation_mode = TruncationMode::keep_start;
  std::string chat_template{};  ///< as DatasetOptions::chat_template

  /// Names by class (SequenceHead::labels). Empty: names in the files, sorted; else LABEL_0, LABEL_1 ...
  std::vector<std::string> labels{};
  std::int64_t num_labels = 0;  ///< 0: as many as there are names, or as the files ask for
  /// Automatic: several labels where rows have lists; regression where a label is no whole number, or num_labels is 1;
  /// else one class.
  ProblemType problem_type = ProblemType::automatic;

  double val_set_size = 0;  ///< held back, as DatasetOptions::val_set_size, but equal texts are on one side
  std::string group_field{};
  std::uint64_t seed = 42;
};

/// A row, ready for a model.
struct ClassificationExample {
  std::vector<std::int64_t> input_ids{};
  /// One class: its number. Several labels: 0 to 1 for each. Regression: the values.
  std::vector<float> label{};
};

/// Rows of .jsonl, .json and .csv: a text (DatasetSource::field, "text") with the tokenizer's special tokens, or a list
/// of messages, which go through the chat template; and a label (DatasetSource::field_label, else "label", else
/// "labels"):
/// - one class: its number, its name, or true (1) and false (0);
/// - several: a list of numbers or names of those that hold; or one of booleans or of numbers with a point, 0.0 to 1.0,
///   one for each label;
/// - regression: a number, or a list of them.
/// A text that reads as a number is one where it is no name; in CSV a list is JSON text. Opening reads and tokenizes
/// every row once, so that bad data is an Error{format} with file and line; ids stay in memory. Copies share
/// everything.
///
///     auto data = ClassificationDataset::open(tokenizer, {{.path = "reviews.jsonl"}}, {.val_set_size = 0.1});
///     auto model = SequenceClassifier::from_causal_lm(path, {.labels = data.labels(), .problem_type =
///     data.problem_type()});
class POWERHOUSE_API ClassificationDataset {
 public:
  /// Error{usage, not_found, io, format, unsupported}; a file without rows, a label that is none and a text without
  /// tokens are Error{format}.
  static ClassificationDataset open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                                    const ClassificationDatasetOptions& options = {});

  ClassificationDataset(const ClassificationDataset&);
  ClassificationDataset(ClassificationDataset&&) noexcept;
  ClassificationDataset& operator=(const ClassificationDataset&);
  ClassificationDataset& operator=(ClassificationDataset&&) noexcept;
  ~ClassificationDataset();

  /// The rows to train on, and those held back; each is a dataset of its own. open() gives both together.
  ClassificationDataset train() const;
  ClassificationDataset validation() const;

  const std::vector<std::string>& labels() const;  ///< names; never empty
  std::int64_t num_labels() const { return static_cast<std::int64_t>(labels().size()); }
  ProblemType problem_type() const;  ///< never automatic

  std::int64_t size() const;  ///< usable rows
  ClassificationExample example(std::int64_t row) const;
  RowPlace place(std::int64_t row) const;
  const DatasetReport& report() const;
  /// Changes where files, options or tokenizer would change a batch.
  const std::string& fingerprint() const;

 private:
  struct Impl;
  explicit ClassificationDataset(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace powerhouse
