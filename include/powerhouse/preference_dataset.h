// Preference data: prompts with a better and a worse completion, or with one that is good or not. What TRL 1.16 makes
// of the same rows: the same ids, cut at the same places.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "powerhouse/dataset.h"
#include "powerhouse/dataset_report.h"
#include "powerhouse/export.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// Which end of prompt and completion together stays within max_length, by TRL's names; or drop: a row with a longer
/// sequence is left out, as TRL does for reward models, which judge whole texts.
enum class TruncationMode { keep_start, keep_end, drop };

struct PreferenceDatasetOptions {
  /// Tokens of prompt and completion; 0: no limit. A row whose prompt alone has as many is left out by keep_start.
  std::int64_t max_length = 1024;
  TruncationMode truncation_mode = TruncationMode::keep_start;
  /// Rows are single completions with a label, as KTO needs: a pair becomes two, in TRL's order (a thousand chosen
  /// ones, then their rejected ones). Otherwise rows are pairs, and a file of labels is Error{format}.
  bool unpaired = false;
  std::string chat_template{};  ///< as DatasetOptions::chat_template
  /// BOS in front of each prompt and EOS behind each completion that lack them, whatever tokenizer and template do: the
  /// ids of TRL's ORPO and CPO trainers. Without it all methods see the same ids, those that the model is used with.
  bool bos_and_eos = false;

  double val_set_size = 0;  ///< held back, as DatasetOptions::val_set_size, but rows of equal prompts are on one side
  std::string group_field{};
  std::uint64_t seed = 42;
  std::int64_t token_memory = 1 << 30;  ///< bytes of ids kept; beyond, rows are tokenized again when read
};

/// A prompt and a completion, ready for a model.
struct PreferenceSequence {
  std::vector<std::int64_t> input_ids{};
  std::int64_t prompt_tokens = 0;  ///< of them; the rest is the completion

  std::int64_t completion_tokens() const { return static_cast<std::int64_t>(input_ids.size()) - prompt_tokens; }
};

struct PreferencePair {
  PreferenceSequence chosen{}, rejected{};
  std::optional<double> margin{};  ///< how much better; the column `margin`, for reward models
};

/// Rows of files in these shapes, of .jsonl, .json and .csv:
/// - prompt, chosen, rejected: strings, or lists of messages; or chosen and rejected that begin alike, whose common
///   beginning is the prompt. Strings get EOS behind; messages go through the chat template.
/// - prompt, completion, label (true: desirable).
/// - Axolotl's types, by DatasetSource::type: "chat_template.default" and "chat_template.argilla_chat" (field_messages,
///   field_chosen, field_rejected, roles), and
///   {chatml,llama3}.{default,argilla,argilla_chat,icr,intel,prompt_pairs,ultra}.
///
/// The completion begins where the tokens of the prompt alone and of both together part, as in TRL. Where TRL takes
/// away the last character of all of `chosen` for a blank before the first difference of texts that have no beginning
/// in common, nothing is taken away here. Opening reads and tokenizes every row once, so that bad data is an
/// Error{format} with file and line before the first step. A row with a completion of which no token can be predicted
/// is left out. Copies share everything.
///
///     auto data = PreferenceDataset::open(tokenizer, {{.path = "pairs.jsonl"}}, {.val_set_size = 0.1});
class POWERHOUSE_API PreferenceDataset {
 public:
  /// Error{usage, not_found, io, format, unsupported}; a file without rows is Error{format}.
  static PreferenceDataset open(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                                const PreferenceDatasetOptions& options = {});

  PreferenceDataset(const PreferenceDataset&);
  PreferenceDataset(PreferenceDataset&&) noexcept;
  PreferenceDataset& operator=(const PreferenceDataset&);
  PreferenceDataset& operator=(PreferenceDataset&&) noexcept;
  ~PreferenceDataset();

  /// The rows to train on, and those held back; each is a dataset of its own. open() gives both together.
  PreferenceDataset train() const;
  PreferenceDataset validation() const;

  std::int64_t size() const;  ///< usable rows
  bool unpaired() const;
  PreferencePair pair(std::int64_t row) const;            ///< Error{usage} where rows are single completions
  PreferenceSequence completion(std::int64_t row) const;  ///< Error{usage} where rows are pairs; so is desirable
  bool desirable(std::int64_t row) const;
  /// The prompt of one row with the completion of another, for KTO's estimate of the divergence.
  PreferenceSequence mismatched(std::int64_t prompt_row, std::int64_t completion_row) const;

  RowPlace place(std::int64_t row) const;
  /// A row's length is that of its longer sequence.
  const DatasetReport& report() const;
  /// Changes where files, options or tokenizer would change a batch.
  const std::string& fingerprint() const;

 private:
  struct Impl;
  explicit PreferenceDataset(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace powerhouse
