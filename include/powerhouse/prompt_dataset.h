// Prompts for training on what a model answers itself: rows in TRL's shape. What judges the answers, and the methods:
// online.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "powerhouse/dataset.h"
#include "powerhouse/dataset_report.h"
#include "powerhouse/export.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct PromptDatasetOptions {
  std::int64_t max_prompt_length = 0;  ///< tokens; longer rows are left out. 0: no limit
  std::string chat_template{};         ///< as DatasetOptions::chat_template

  double val_set_size = 0;  ///< held back, as DatasetOptions::val_set_size, but equal prompts are on one side
  std::string group_field{};
  std::uint64_t seed = 42;
};

/// A row, ready to be answered.
struct Prompt {
  std::vector<std::int64_t> ids{};
  std::string text{};           ///< the column `prompt`: text, or JSON of its messages
  bool conversational = false;  ///< it is JSON of messages
  /// The other columns: texts as they are, all else as JSON.
  std::map<std::string, std::string> columns{};
};

/// Rows of .jsonl, .json and .csv with a column `prompt`: a string, which gets the tokenizer's special tokens, or a
/// list of messages, which go through the chat template with the opening of the assistant's turn behind. All other
/// columns are for reward functions. Opening reads and tokenizes every row once, so that bad data is an Error{format}
/// with file and line; ids stay in memory, columns are read again. Copies share everything.
///
///     auto data = PromptDataset::open(tokenizer, {{.path = "questions.jsonl"}}, {.val_set_size = 32});
class POWERHOUSE_API PromptDataset {
 public:
  /// Error{usage, not_found, io, format, unsupported}; a file without rows and a prompt without tokens are
  /// Error{format}.
  static PromptDataset open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                            const PromptDatasetOptions& options = {});

  PromptDataset(const PromptDataset&);
  PromptDataset(PromptDataset&&) noexcept;
  PromptDataset& operator=(const PromptDataset&);
  PromptDataset& operator=(PromptDataset&&) noexcept;
  ~PromptDataset();

  /// The rows to train on, and those held back; each is a dataset of its own. open() gives both together.
  PromptDataset train() const;
  PromptDataset validation() const;

  std::int64_t size() const;  ///< usable rows
  Prompt prompt(std::int64_t row) const;
  RowPlace place(std::int64_t row) const;
  const DatasetReport& report() const;
  /// Changes where files, options or tokenizer would change a prompt.
  const std::string& fingerprint() const;
  const Tokenizer& tokenizer() const;

 private:
  struct Impl;
  explicit PromptDataset(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace powerhouse
