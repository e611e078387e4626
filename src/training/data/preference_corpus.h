// PreferenceCorpus: all rows of preference data, numbered through, with what the first pass over them found out. Where
// single completions are wanted of pairs, a row here is half a pair.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "powerhouse/preference_dataset.h"
#include "training/data/preference_shape.h"
#include "training/data/preference_tokens.h"
#include "training/data/record_file.h"
#include "training/data/row_facts.h"
#include "training/data/row_sources.h"

namespace powerhouse::training {

class PreferenceCorpus {
 public:
  struct Row {
    std::vector<std::int64_t> prompt;
    std::vector<std::vector<std::int64_t>> completions;  // one, or chosen and rejected
  };

  /// Opens, indexes and scans.
  PreferenceCorpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                   const PreferenceDatasetOptions& options);

  const PreferenceDatasetOptions& options() const { return options_; }
  std::int64_t rows() const { return rows_; }
  const RowFacts& facts(std::int64_t row) const { return facts_[static_cast<std::size_t>(row)]; }
  bool validation(std::int64_t row) const { return !validation_.empty() && validation_[static_cast<std::size_t>(row)]; }
  bool label(std::int64_t row) const { return labels_[static_cast<std::size_t>(row)]; }
  std::optional<double> margin(std::int64_t row) const;
  RowPlace place(std::int64_t row) const;
  /// Whole, before anything is cut. From memory, or tokenized again.
  Row row(std::int64_t row) const;
  /// Tokens of all its sequences in training.
  std::int64_t length(std::int64_t row) const;
  std::string digest() const;

 private:
  struct Source {
    std::unique_ptr<RecordFile> file;
    std::unique_ptr<PreferenceShape> shape;
    std::unique_ptr<PreferenceTokenizer> tokens;
    std::int64_t first = 0;  // its first row among all
    bool halves = false;     // a record is two rows
  };
  struct Scanned {
    PreferenceIds ids;
    std::optional<bool> label;
    std::optional<double> margin;
    std::uint64_t content = 0, group = 0;  // hashes
  };

  void open(const Tokenizer& tokenizer, const DatasetSource& declared);
  void scan();
  const Source& source_of(std::int64_t row) const;
  Scanned scan_row(std::int64_t row) const;
  void judge(std::int64_t row, const Scanned& scanned);
  void keep(std::int64_t row, const Scanned& scanned);
  std::uint64_t group_of(const Json& columns, const PreferenceRow& row) const;

  PreferenceDatasetOptions options_;
  std::optional<std::int64_t> bos_;
  std::set<std::int64_t> ends_;
  std::vector<Source> sources_;
  std::int64_t rows_ = 0;
  std::vector<RowFacts> facts_;
  std::vector<std::uint32_t> trained_;  // tokens, of all sequences of a row
  std::vector<bool> validation_, labels_;
  std::vector<double> margins_;              // NaN: none; empty: no row has one
  std::vector<std::int32_t> tokens_;         // of the first rows, part behind part
  std::vector<std::uint64_t> token_begins_;  // of each part, and the end
  bool keeping_ = true;
  NumberDigest digest_{};
};

}  // namespace powerhouse::training
