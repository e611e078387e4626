// What a dataset holds and what is wrong with it, row by row.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

/// Where a row begins. `line` counts from 1.
struct RowPlace {
  std::string file;
  std::int64_t line = 0;
  bool operator==(const RowPlace&) const = default;
};

enum class RowProblem {
  too_long,      ///< left out: more than sequence_len tokens
  truncated,     ///< cut to sequence_len
  cut_up,        ///< in several pieces of sequence_len
  too_short,     ///< left out: fewer than min_tokens
  filtered,      ///< left out: more than max_tokens, or not among longest_rows
  empty_target,  ///< left out: the answer is empty
  no_targets,    ///< left out: every label is masked
  lost_turn,     ///< a turn to be trained that the chat template does not show
  doubled_bos,   ///< two BOS at the beginning: the template and the tokenizer both add one
  missing_eos,   ///< no end of text among the targets: the model will not learn to stop
  duplicate,     ///< the same content as an earlier row
  contaminated,  ///< a validation row that shares 13 words in a row with a training row
  // Of preferences alone:
  identical_pair,    ///< chosen and rejected are the same: nothing to prefer
  prompt_too_long,   ///< left out: with max_length tokens of the beginning, nothing of a completion is left
  prompt_truncated,  ///< cut at its beginning to max_length
  prompt_merged,     ///< its last tokens are others in front of a completion, and count as part of that
};

/// The name of a problem as the report prints it, e.g. "too long".
POWERHOUSE_API std::string_view to_string(RowProblem problem) noexcept;

struct ProblemRows {
  RowProblem problem{};
  std::int64_t rows = 0;
  std::vector<RowPlace> examples;  ///< the first five
};

struct DatasetReport {
  std::int64_t rows = 0;           ///< in the files
  std::int64_t usable_rows = 0;    ///< that batches are made of
  std::int64_t tokens = 0;         ///< of usable rows, as trained
  std::int64_t target_tokens = 0;  ///< of them, those that count in the loss
  /// Tokens a row before anything is cut or left out, over all rows: nearest-rank percentiles.
  struct Lengths {
    std::int64_t min = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
    double mean = 0;
  } lengths;
  std::vector<ProblemRows> problems;  ///< those that occur

  /// nullptr where it does not occur.
  POWERHOUSE_API const ProblemRows* find(RowProblem problem) const;
  /// A few lines for a terminal.
  POWERHOUSE_API std::string text() const;
};

}  // namespace powerhouse
