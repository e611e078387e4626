// PromptCorpus: all rows of prompt data, numbered through: ids in memory, columns in the files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "powerhouse/prompt_dataset.h"
#include "training/data/record_file.h"
#include "training/data/row_facts.h"
#include "training/data/row_sources.h"
#include "training/data/text_or_messages.h"

namespace powerhouse::training {

class PromptCorpus {
 public:
  /// Opens, indexes and scans.
  PromptCorpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
               const PromptDatasetOptions& options);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  std::int64_t rows() const { return rows_; }
  const RowFacts& facts(std::int64_t row) const { return facts_[static_cast<std::size_t>(row)]; }
  std::int64_t length(std::int64_t row) const { return facts(row).length; }
  bool validation(std::int64_t row) const { return !validation_.empty() && validation_[static_cast<std::size_t>(row)]; }
  RowPlace place(std::int64_t row) const;
  Prompt prompt(std::int64_t row) const;
  std::string digest() const;

 private:
  struct Source {
    std::unique_ptr<RecordFile> file;
    std::unique_ptr<TextOrMessages> prompt;
    std::int64_t first = 0;  // its first row among all
  };
  struct Scanned {
    std::vector<std::int64_t> ids;
    std::uint64_t content = 0, group = 0;  // hashes
  };

  void scan();
  const Source& source_of(std::int64_t row) const;
  Scanned scan_row(std::int64_t row) const;

  Tokenizer tokenizer_;
  PromptDatasetOptions options_;
  std::vector<Source> sources_;
  std::int64_t rows_ = 0;
  std::vector<RowFacts> facts_;
  std::vector<bool> validation_;
  std::vector<std::int32_t> tokens_;
  std::vector<std::uint64_t> token_begins_{0};  // of each row, and the end
  NumberDigest digest_{};
};

}  // namespace powerhouse::training
