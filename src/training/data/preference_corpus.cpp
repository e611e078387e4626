#include "training/data/preference_corpus.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/columns.h"
#include "training/data/scan_rows.h"
#include "training/data/split.h"

namespace powerhouse::training {
namespace {

// TRL takes pairs apart a thousand at a time: their chosen completions, then their rejected ones.
constexpr std::int64_t kHalvesTogether = 1000;

struct Half {
  std::int64_t record = 0;
  std::size_t completion = 0;
};

Half half_of(std::int64_t row, std::int64_t records) {
  const std::int64_t first = row / (2 * kHalvesTogether) * kHalvesTogether;
  const std::int64_t count = std::min(kHalvesTogether, records - first), at = row - 2 * first;
  return {first + at % count, at < count ? 0u : 1u};
}

}  // namespace

PreferenceCorpus::PreferenceCorpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                                   const PreferenceDatasetOptions& options)
    : options_(options), bos_(tokenizer.bos_token_id()) {
  check_sources(sources, options.val_set_size);
  if (options.max_length < 0 || options.max_length == 1) {
    throw Error(ErrorKind::usage, "no room for a token and its target",
                {.field = "max_length", .expected = "2 or more, or 0", .found = std::to_string(options.max_length)});
  }
  ends_ = end_tokens(tokenizer);
  for (const DatasetSource& source : sources) open(tokenizer, source);
  check_row_count(rows_);
  scan();
}

void PreferenceCorpus::open(const Tokenizer& tokenizer, const DatasetSource& declared) {
  Source source;
  source.file = RecordFile::open(declared);
  const bool pairs = are_pairs(source.file->read(0).columns, declared);
  if (!pairs && !options_.unpaired) {
    throw Error(ErrorKind::format, "no rejected completions: these are no pairs",
                {.file = declared.path,
                 .field = declared.field_rejected,
                 .expected = "a pair in each row",
                 .found = "columns " + column_names(source.file->read(0).columns)});
  }
  source.halves = pairs && options_.unpaired;
  source.shape = make_preference_shape(declared);
  source.tokens = std::make_unique<PreferenceTokenizer>(tokenizer, declared, options_);
  source.first = rows_;
  rows_ += source.file->rows() * (source.halves ? 2 : 1);
  sources_.push_back(std::move(source));
}

const PreferenceCorpus::Source& PreferenceCorpus::source_of(std::int64_t row) const {
  return source_of_row(sources_, row);
}

RowPlace PreferenceCorpus::place(std::int64_t row) const {
  const Source& source = source_of(row);
  const std::int64_t within = row - source.first;
  return source.file->place(source.halves ? half_of(within, source.file->rows()).record : within);
}

std::uint64_t PreferenceCorpus::group_of(const Json& columns, const PreferenceRow& row) const {
  if (options_.group_field.empty()) {
    return hash_of(row.texts ? row.texts->prompt : Json(row.messages->prompt).dump());
  }
  const Json& group = column(columns, options_.group_field);
  return hash_of(group.is_string() ? group.as_string() : group.dump());
}

PreferenceCorpus::Scanned PreferenceCorpus::scan_row(std::int64_t row) const {
  const Source& source = source_of(row);
  const std::int64_t within = row - source.first;
  const Half half = source.halves ? half_of(within, source.file->rows()) : Half{within, 0};
  const Record record = source.file->read(half.record);
  try {
    PreferenceRow read = source.shape->read(record.columns);
    if (read.label.has_value() != (options_.unpaired && !source.halves)) {
      throw Error(ErrorKind::format, "a row of another shape than the first", {.found = column_names(record.columns)});
    }
    if (source.halves) {
      read.label = half.completion == 0;
      if (read.texts) read.texts->completions = {std::move(read.texts->completions[half.completion])};
      if (read.messages) read.messages->completions = {std::move(read.messages->completions[half.completion])};
    }
    Scanned out;
    out.group = group_of(record.columns, read);
    std::string content = read.texts ? read.texts->prompt : Json(read.messages->prompt).dump();
    for (std::size_t i = 0; i < (read.texts ? read.texts->completions.size() : read.messages->completions.size());
         ++i) {
      append_part(content, read.texts ? read.texts->completions[i] : Json(read.messages->completions[i]).dump());
    }
    out.content = hash_of(content);
    out.label = read.label;
    out.margin = read.margin;
    out.ids = source.tokens->encode(read);
    return out;
  } catch (const Error& error) {
    throw at_row(error, source.file->path(), source.file->line(half.record));
  }
}

void PreferenceCorpus::scan() {
  const auto count = static_cast<std::size_t>(rows_);
  facts_.resize(count);
  trained_.resize(count);
  labels_.resize(count);
  std::vector<std::uint64_t> contents(count), groups(count);
  token_begins_.push_back(0);
  const auto bytes = [&](std::int64_t row) {
    const Source& source = source_of(row);
    const std::int64_t within = row - source.first;
    return source.file->bytes(source.halves ? half_of(within, source.file->rows()).record : within);
  };
  const auto take = [&](std::int64_t row, const Scanned& scanned) {
    judge(row, scanned);
    keep(row, scanned);
    contents[static_cast<std::size_t>(row)] = scanned.content;
    groups[static_cast<std::size_t>(row)] = scanned.group;
  };
  scan_rows(
      rows_, bytes, [&](std::int64_t row) { return scan_row(row); }, take, [](std::int64_t, std::int64_t) {});
  for (const Source& source : sources_) source.file->release(0, source.file->rows());
  for (const std::size_t row : repeated_rows(contents)) facts_[row].problems.add(RowProblem::duplicate);
  if (options_.val_set_size <= 0) return;
  validation_ = held_back(groups, options_.val_set_size, options_.seed,
                          [&](std::size_t row) { return !facts_[row].problems.leaves_out(); });
}

void PreferenceCorpus::judge(std::int64_t row, const Scanned& scanned) {
  RowFacts& facts = facts_[static_cast<std::size_t>(row)];
  ProblemSet& problems = facts.problems;
  const PreferenceIds& ids = scanned.ids;
  const bool keeps_start = options_.truncation_mode == TruncationMode::keep_start;
  const auto prompt = static_cast<std::int64_t>(ids.prompt.size());
  if (options_.max_length > 0 && keeps_start && prompt >= options_.max_length)
    problems.add(RowProblem::prompt_too_long);
  if (ids.prompt_merged) problems.add(RowProblem::prompt_merged);
  for (const auto& completion : ids.completions) {
    const PreferenceSequence sequence = cut_sequence(ids.prompt, completion, options_);
    const std::size_t whole = ids.prompt.size() + completion.size();
    const bool fits = options_.max_length <= 0 || static_cast<std::int64_t>(whole) <= options_.max_length;
    if (!fits && options_.truncation_mode == TruncationMode::drop) problems.add(RowProblem::too_long);
    facts.length = std::max(facts.length, static_cast<std::uint32_t>(whole));
    trained_[static_cast<std::size_t>(row)] += static_cast<std::uint32_t>(sequence.input_ids.size());
    if (whole > sequence.input_ids.size()) problems.add(RowProblem::truncated);
    if (sequence.prompt_tokens < prompt && !keeps_start) problems.add(RowProblem::prompt_truncated);
    // The first token of a sequence is never predicted.
    const std::int64_t predicted = sequence.completion_tokens() - (sequence.prompt_tokens == 0 ? 1 : 0);
    facts.targets += static_cast<std::uint32_t>(std::max<std::int64_t>(0, predicted));
    if (completion.empty()) {
      problems.add(RowProblem::empty_target);
    } else if (predicted <= 0 && !problems.has(RowProblem::prompt_too_long)) {
      problems.add(RowProblem::no_targets);
    }
    const bool ends = std::any_of(completion.begin(), completion.end(), [&](auto id) { return ends_.contains(id); });
    if (!ends && !ends_.empty()) problems.add(RowProblem::missing_eos);
    if (has_doubled_bos(sequence.input_ids, bos_)) problems.add(RowProblem::doubled_bos);
  }
  if (ids.completions.size() == 2 && ids.completions[0] == ids.completions[1]) problems.add(RowProblem::identical_pair);
  labels_[static_cast<std::size_t>(row)] = scanned.label.value_or(true);
  if (scanned.margin) {
    margins_.resize(static_cast<std::size_t>(rows_), std::numeric_limits<double>::quiet_NaN());
    margins_[static_cast<std::size_t>(row)] = *scanned.margin;
  }
}

void PreferenceCorpus::keep(std::int64_t row, const Scanned& scanned) {
  const bool left_out = facts(row).problems.leaves_out();
  digest_.mix(label(row) ? 1 : 0);
  const auto part = [&](const std::vector<std::int64_t>& ids) {
    digest_.mix(ids.size());
    for (const std::int64_t id : ids) digest_.mix(static_cast<std::uint64_t>(id));
    if (!keeping_) return;
    if (!left_out) tokens_.insert(tokens_.end(), ids.begin(), ids.end());
    token_begins_.push_back(tokens_.size());
  };
  std::size_t more = scanned.ids.prompt.size();
  for (const auto& completion : scanned.ids.completions) more += completion.size();
  const std::uint64_t bytes = (tokens_.size() + more) * sizeof(std::int32_t) + token_begins_.size() * 8;
  if (bytes > static_cast<std::uint64_t>(std::max<std::int64_t>(options_.token_memory, 0))) keeping_ = false;
  part(scanned.ids.prompt);
  for (const auto& completion : scanned.ids.completions) part(completion);
}

std::optional<double> PreferenceCorpus::margin(std::int64_t row) const {
  if (margins_.empty() || std::isnan(margins_[static_cast<std::size_t>(row)])) return std::nullopt;
  return margins_[static_cast<std::size_t>(row)];
}

std::int64_t PreferenceCorpus::length(std::int64_t row) const { return trained_[static_cast<std::size_t>(row)]; }

PreferenceCorpus::Row PreferenceCorpus::row(std::int64_t row) const {
  const std::size_t parts = options_.unpaired ? 2 : 3, first = static_cast<std::size_t>(row) * parts;
  if (first + parts >= token_begins_.size()) {
    PreferenceIds ids = scan_row(row).ids;
    return {std::move(ids.prompt), std::move(ids.completions)};
  }
  const auto part = [&](std::size_t index) {
    return std::vector<std::int64_t>(tokens_.begin() + static_cast<std::ptrdiff_t>(token_begins_[index]),
                                     tokens_.begin() + static_cast<std::ptrdiff_t>(token_begins_[index + 1]));
  };
  Row out{part(first), {}};
  for (std::size_t i = 1; i < parts; ++i) out.completions.push_back(part(first + i));
  return out;
}

std::string PreferenceCorpus::digest() const {
  std::string text =
      std::to_string(digest_.value()) + ' ' + std::to_string(rows_) + ' ' + std::to_string(options_.max_length);
  constexpr std::string_view kModes[] = {" start", " end", " drop"};
  text += kModes[static_cast<std::size_t>(options_.truncation_mode)];
  for (const double margin : margins_) text += ' ' + std::to_string(margin);
  return sha256(text + (options_.unpaired ? " unpaired" : " pairs"));
}

}  // namespace powerhouse::training
