// The first pass: every row is read, shaped and judged, in parallel but with results and errors in the files' order.
#include <algorithm>

#include "powerhouse/error.h"
#include "training/data/columns.h"
#include "training/data/corpus.h"
#include "training/data/scan_rows.h"
#include "training/data/split.h"

namespace powerhouse::training {
Corpus::Scanned Corpus::scan_row(std::int64_t row) const {
  const Source& source = source_of(row);
  const std::int64_t within = row - source.first;
  const Record record = source.file->read(within);
  try {
    Scanned out;
    out.row = source.shape->apply(record);
    out.ends = record.ends;
    out.content = hash_of(source.shape->content(record));
    out.group = out.content;
    if (!options_.group_field.empty()) {
      const Json& group = column(record.columns, options_.group_field);
      out.group = hash_of(group.is_string() ? group.as_string() : group.dump());
    }
    return out;
  } catch (const Error& error) {
    throw at_row(error, source.file->path(), source.file->line(within));
  }
}

void Corpus::scan() {
  facts_.resize(static_cast<std::size_t>(rows_));
  std::vector<std::uint64_t> contents, groups;
  token_begins_.push_back(0);
  const auto take = [&](std::int64_t row, const Scanned& scanned) {
    judge(row, scanned.row, scanned.ends);
    keep(row, scanned.row.example);
    contents.push_back(scanned.content);
    if (options_.val_set_size > 0) groups.push_back(scanned.group);
  };
  const auto release = [&](std::int64_t first, std::int64_t end) {
    for (const Source& source : sources_) {
      const std::int64_t begin = std::max(first, source.first) - source.first;
      const std::int64_t stop = std::min(end - source.first, source.file->rows());
      if (begin < stop) source.file->release(begin, stop);
    }
  };
  scan_rows(
      rows_, [&](std::int64_t row) { return bytes(row); }, [&](std::int64_t row) { return scan_row(row); }, take,
      release);
  for (const std::size_t row : repeated_rows(contents)) facts_[row].problems.add(RowProblem::duplicate);
  keep_longest();
  if (options_.val_set_size <= 0) return;
  validation_ = held_back(groups, options_.val_set_size, options_.seed,
                          [&](std::size_t row) { return !facts_[row].problems.leaves_out(); });
}

void Corpus::judge(std::int64_t row, const ShapedRow& shaped, bool record_ends) {
  const auto& ids = shaped.example.input_ids;
  const auto& labels = shaped.example.labels;
  const auto length = static_cast<std::int64_t>(ids.size());
  Facts& facts = this->facts(row);
  facts.length = static_cast<std::uint32_t>(ids.size());
  std::int64_t counted = length;
  const Source& source = source_of(row);
  if (length > options_.sequence_len) {
    const ExcessLength strategy = options_.excess_length_strategy;
    if (strategy == ExcessLength::raise) {
      throw Error(ErrorKind::range, "a row longer than the sequence",
                  {.file = source.file->path(),
                   .field = "line " + std::to_string(source.file->line(row - source.first)),
                   .expected = "at most " + std::to_string(options_.sequence_len) + " tokens",
                   .found = std::to_string(length)});
    }
    if (strategy == ExcessLength::truncate) {
      facts.problems.add(RowProblem::truncated);
      counted = options_.sequence_len;
    } else if (strategy == ExcessLength::split || source.shape->cuts_long_rows()) {
      facts.problems.add(RowProblem::cut_up);
    } else {
      facts.problems.add(RowProblem::too_long);
    }
  }
  bool ends = false, any = false;
  for (std::int64_t i = 0; i < length; ++i) {
    const std::int64_t label = labels[static_cast<std::size_t>(i)];
    if (label == kIgnoredTarget) continue;
    any = any || i > 0;
    // The first token of a sequence is never predicted.
    if (i < counted && i % options_.sequence_len != 0) ++facts.targets;
    ends = ends || ends_.contains(label);
  }
  if (shaped.empty_target) facts.problems.add(RowProblem::empty_target);
  if (shaped.lost_turn) facts.problems.add(RowProblem::lost_turn);
  if (length < options_.min_tokens) {
    facts.problems.add(RowProblem::too_short);
  } else if (facts.targets == 0 && !shaped.empty_target) {
    facts.problems.add(RowProblem::no_targets);
  }
  if (options_.max_tokens > 0 && length > options_.max_tokens) facts.problems.add(RowProblem::filtered);
  if (has_doubled_bos(ids, tokenizer_.bos_token_id())) facts.problems.add(RowProblem::doubled_bos);
  if (any && !ends && record_ends && tokenizer_.eos_token_id()) facts.problems.add(RowProblem::missing_eos);
}

void Corpus::keep(std::int64_t row, const TrainingExample& example) {
  digest_.mix(example.input_ids.size());
  for (std::size_t i = 0; i < example.input_ids.size(); ++i) {
    digest_.mix(static_cast<std::uint64_t>(example.input_ids[i]) << 1 | (example.labels[i] != kIgnoredTarget ? 1 : 0));
  }
  if (!keeping_) return;
  const std::size_t count = facts(row).problems.leaves_out() ? 0 : example.input_ids.size();
  const std::uint64_t bytes = (tokens_.size() + count) * sizeof(std::int32_t) + token_begins_.size() * 8;
  if (bytes > static_cast<std::uint64_t>(std::max<std::int64_t>(options_.token_memory, 0))) {
    keeping_ = false;
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto id = static_cast<std::int32_t>(example.input_ids[i]);
    tokens_.push_back(example.labels[i] == kIgnoredTarget ? ~id : id);
  }
  token_begins_.push_back(tokens_.size());
}

void Corpus::keep_longest() {
  if (options_.longest_rows <= 0) return;
  std::vector<std::uint32_t> usable;
  for (std::size_t row = 0; row < facts_.size(); ++row) {
    if (!facts_[row].problems.leaves_out()) usable.push_back(static_cast<std::uint32_t>(row));
  }
  std::stable_sort(usable.begin(), usable.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return facts_[a].length > facts_[b].length; });
  for (auto i = static_cast<std::size_t>(options_.longest_rows); i < usable.size(); ++i) {
    facts_[usable[i]].problems.add(RowProblem::filtered);
  }
}

}  // namespace powerhouse::training
