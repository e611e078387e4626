// Corpus: all rows of all sources, numbered through, with what the first pass over them found out. Datasets are lists
// of its rows.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "powerhouse/dataset.h"
#include "training/data/row_facts.h"
#include "training/data/row_sources.h"
#include "training/data/shape.h"

namespace powerhouse::training {

class Corpus {
 public:
  using Facts = RowFacts;

  /// Opens and indexes the files; scan() then reads all rows.
  Corpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources, const DatasetOptions& options);
  void scan();

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const DatasetOptions& options() const { return options_; }
  std::int64_t rows() const { return rows_; }
  const Facts& facts(std::int64_t row) const { return facts_[static_cast<std::size_t>(row)]; }
  Facts& facts(std::int64_t row) { return facts_[static_cast<std::size_t>(row)]; }
  bool validation(std::int64_t row) const { return !validation_.empty() && validation_[static_cast<std::size_t>(row)]; }
  /// Tokens that a usable row has in training, all its pieces together.
  std::int64_t length(std::int64_t row) const;
  std::uint64_t bytes(std::int64_t row) const;
  RowPlace place(std::int64_t row) const;
  /// The row, truncated where the options say so. From memory, or tokenized again.
  TrainingExample example(std::int64_t row) const;
  std::string content(std::int64_t row) const;
  std::string digest() const;

 private:
  struct Source {
    std::unique_ptr<RecordFile> file;
    std::unique_ptr<Shape> shape;
    std::int64_t first = 0;  // its first row among all
  };
  struct Scanned {
    ShapedRow row;
    std::uint64_t content = 0;  // hash
    std::uint64_t group = 0;
    bool ends = true;  // the document, where it comes in pieces
  };

  const Source& source_of(std::int64_t row) const;
  Scanned scan_row(std::int64_t row) const;
  void judge(std::int64_t row, const ShapedRow& shaped, bool record_ends);
  void keep(std::int64_t row, const TrainingExample& example);
  void keep_longest();

  Tokenizer tokenizer_;
  DatasetOptions options_;
  std::set<std::int64_t> ends_;  // of texts and turns
  std::vector<Source> sources_;
  std::int64_t rows_ = 0;
  std::vector<Facts> facts_;
  std::vector<bool> validation_;
  std::vector<std::int32_t> tokens_;         // of the first rows: an id, or ~id where it is no target
  std::vector<std::uint64_t> token_begins_;  // a row each, and the end
  bool keeping_ = true;
  NumberDigest digest_{};  // of all ids and labels
};

/// Marks validation rows that share 13 words in a row with a training row.
void mark_contamination(Corpus& corpus);

}  // namespace powerhouse::training
