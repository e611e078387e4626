// ClassificationCorpus: all rows of labelled texts, numbered through, in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "powerhouse/classification_dataset.h"
#include "training/data/class_labels.h"
#include "training/data/record_file.h"
#include "training/data/row_facts.h"
#include "training/data/row_sources.h"
#include "training/data/text_or_messages.h"

namespace powerhouse::training {

class ClassificationCorpus {
 public:
  /// Opens, indexes and scans.
  ClassificationCorpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                       const ClassificationDatasetOptions& options);

  std::int64_t rows() const { return rows_; }
  const RowFacts& facts(std::int64_t row) const { return facts_[static_cast<std::size_t>(row)]; }
  std::int64_t length(std::int64_t row) const;  // in training
  bool validation(std::int64_t row) const { return !validation_.empty() && validation_[static_cast<std::size_t>(row)]; }
  RowPlace place(std::int64_t row) const;
  ClassificationExample example(std::int64_t row) const;
  const ClassLabels& labels() const { return labels_; }
  std::string digest() const;

 private:
  struct Source {
    std::unique_ptr<RecordFile> file;
    std::unique_ptr<TextOrMessages> text;
    std::string field, field_label;
    std::int64_t first = 0;  // its first row among all
  };
  struct Scanned {
    std::vector<std::int64_t> ids;
    Json label;
    std::uint64_t content = 0, group = 0;  // hashes
  };

  void scan();
  const Source& source_of(std::int64_t row) const { return source_of_row(sources_, row); }
  Scanned scan_row(std::int64_t row) const;
  void keep(const Scanned& scanned);
  Error at(std::int64_t row, const Error& error) const;

  ClassificationDatasetOptions options_;
  std::optional<std::int64_t> bos_;
  std::vector<Source> sources_;
  std::int64_t rows_ = 0;
  std::vector<RowFacts> facts_;
  std::vector<bool> validation_;
  ClassLabels labels_;
  std::vector<std::int32_t> tokens_;            // as they are cut
  std::vector<std::uint64_t> token_begins_{0};  // of each row, and the end
  NumberDigest digest_{};
};

}  // namespace powerhouse::training
