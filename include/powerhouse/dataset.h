// Training data: files of rows, turned into token ids and labels, and split. Batches: data_loader.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/dataset_report.h"
#include "powerhouse/export.h"
#include "powerhouse/token_batch.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// Which end-of-text tokens behind a turn are targets: those of the turns that are trained, all, the last, or none.
enum class TrainOnEos { turn, all, last, none };

/// What finds the targets of a chat: the template's {% generation %} blocks, a comparison of renderings turn by turn,
/// or the first where the template has such blocks and only the assistant is trained.
enum class TurnMask { automatic, generation, turns };

/// How a text file becomes documents.
enum class TextDocuments { file, blank_lines, lines };

/// One entry of `datasets`; names and meanings are those of Axolotl.
struct DatasetSource {
  std::string path;      ///< a file: .jsonl, .json (an array of objects, or lines of them), .csv, .txt
  std::string format{};  ///< "jsonl", "json", "csv", "text"; empty: by the file's name
  /// "alpaca", "sharegpt", "chat_template", "input_output", "completion", "prompt_completion" (TRL's columns; strings
  /// or messages). Empty: told from the first row's columns.
  std::string type{};
  std::string field = "text";               ///< of completion, and of labelled texts
  std::string field_messages{};             ///< empty: "messages", or "conversations" for sharegpt
  std::string field_chosen = "chosen";      ///< of preferences (preference_dataset.h)
  std::string field_rejected = "rejected";  ///< the same
  std::string field_label{};                ///< of labelled texts (classification_dataset.h)
  std::string field_tools = "tools";        ///< of chat_template: an array of schemas, or JSON text of one
  std::string field_system = "system";
  /// The template's key, the row's key: {{"role", "from"}, {"content", "value"}}. Empty: role and content themselves.
  std::vector<std::pair<std::string, std::string>> message_property_mappings{};
  /// A role of the template and its names in the rows. Empty: human is user, gpt is assistant.
  std::vector<std::pair<std::string, std::vector<std::string>>> roles{};
  std::vector<std::string> roles_to_train = {"assistant"};
  TrainOnEos train_on_eos = TrainOnEos::turn;
  TurnMask turn_mask = TurnMask::automatic;
  std::string message_field_training{};  ///< a key of messages: true or false, stronger than roles_to_train
  std::string chat_template{};           ///< stronger than DatasetOptions::chat_template
  TextDocuments text_documents = TextDocuments::file;
};

/// What becomes of a row of more than sequence_len tokens: left out, cut off, cut into several, or an Error{range}.
/// Completion rows are cut into several where the others are left out, as in Axolotl.
enum class ExcessLength { drop, truncate, split, raise };

struct DatasetOptions {
  std::int64_t sequence_len = 2048;  ///< tokens; at least 2
  ExcessLength excess_length_strategy = ExcessLength::drop;
  bool train_on_inputs = false;  ///< prompts are targets too
  /// Jinja source, the name of a format (chat_format_names), or empty: the tokenizer's own ("tokenizer_default").
  std::string chat_template{};
  std::vector<std::string> eot_tokens{};  ///< ends of turns beside EOS, for train_on_eos

  /// Held back: below 1 a share of the rows, from 1 on a number. By a hash of content and seed: rows keep their side as
  /// the files grow (a share: all rows; a number: none moves to validation), and equal rows are on one side.
  double val_set_size = 0;
  std::string group_field{};  ///< rows with the same value of this column are on one side
  std::uint64_t seed = 42;

  std::int64_t min_tokens = 2;          ///< shorter rows are left out
  std::int64_t max_tokens = 0;          ///< longer rows are left out; 0: no limit
  std::int64_t longest_rows = 0;        ///< keep only so many of the longest, 0: all
  std::int64_t token_memory = 1 << 30;  ///< bytes of ids kept; beyond, rows are tokenized again when read
  bool check_contamination = false;     ///< look for validation rows that share 13 words in a row with training
};

/// A row ready for training. labels[i] is input_ids[i] where that token is a target, else kIgnoredTarget; not shifted.
struct TrainingExample {
  std::vector<std::int64_t> input_ids;
  std::vector<std::int64_t> labels;
};

/// Rows of files. Opening reads and tokenizes every row once, so that bad data is an Error{format} with file and line
/// before the first step; memory holds about 25 bytes a row, and ids up to `token_memory`. Copies share everything.
///
///     auto data = powerhouse::Dataset::open(tokenizer, {{.path = "train.jsonl"}}, {.val_set_size = 0.05});
///     std::cerr << data.train().report().text();
class POWERHOUSE_API Dataset {
 public:
  /// Error{usage, not_found, io, format, unsupported}; a file without rows is Error{format}.
  static Dataset open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                      const DatasetOptions& options = {});

  Dataset(const Dataset&);
  Dataset(Dataset&&) noexcept;
  Dataset& operator=(const Dataset&);
  Dataset& operator=(Dataset&&) noexcept;
  ~Dataset();

  /// The rows to train on, and those held back; each is a Dataset of its own. open() gives both together.
  Dataset train() const;
  Dataset validation() const;

  std::int64_t size() const;                        ///< usable rows
  TrainingExample example(std::int64_t row) const;  ///< cut to sequence_len where it is truncated, else whole
  RowPlace place(std::int64_t row) const;
  const DatasetReport& report() const;
  /// Changes where files, options or tokenizer would change a batch; for checkpoints.
  const std::string& fingerprint() const;

  struct Impl;
  /// For the library's own rooms.
  const Impl& impl() const { return *impl_; }

 private:
  friend class DataLoader;
  explicit Dataset(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace powerhouse
