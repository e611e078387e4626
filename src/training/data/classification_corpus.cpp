#include "training/data/classification_corpus.h"

#include <bit>

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/columns.h"
#include "training/data/scan_rows.h"
#include "training/data/split.h"

namespace powerhouse::training {

ClassificationCorpus::ClassificationCorpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                                           const ClassificationDatasetOptions& options)
    : options_(options), bos_(tokenizer.bos_token_id()) {
  check_sources(sources, options.val_set_size);
  if (options.max_length < 0) {
    throw Error(ErrorKind::usage, "a negative length",
                {.field = "max_length", .found = std::to_string(options.max_length)});
  }
  for (const DatasetSource& declared : sources) {
    Source source{.file = RecordFile::open(declared),
                  .text = std::make_unique<TextOrMessages>(tokenizer, declared, declared.field, options.chat_template,
                                                           /*generation_prompt=*/false),
                  .field = declared.field,
                  .field_label = declared.field_label,
                  .first = rows_};
    rows_ += source.file->rows();
    sources_.push_back(std::move(source));
  }
  check_row_count(rows_);
  scan();
}

RowPlace ClassificationCorpus::place(std::int64_t row) const {
  const Source& source = source_of(row);
  return source.file->place(row - source.first);
}

Error ClassificationCorpus::at(std::int64_t row, const Error& error) const {
  const Source& source = source_of(row);
  return at_row(error, source.file->path(), source.file->line(row - source.first));
}

ClassificationCorpus::Scanned ClassificationCorpus::scan_row(std::int64_t row) const {
  const Source& source = source_of(row);
  const Record record = source.file->read(row - source.first);
  try {
    Scanned out{.ids = source.text->encode(record.columns), .label = read_label(record.columns, source.field_label)};
    const std::string text = as_text(column(record.columns, source.field));
    std::string content;
    append_part(content, text);
    append_part(content, out.label.dump());
    out.content = hash_of(content);
    out.group = hash_of(options_.group_field.empty() ? text : as_text(column(record.columns, options_.group_field)));
    return out;
  } catch (const Error& error) {
    throw at(row, error);
  }
}

void ClassificationCorpus::keep(const Scanned& scanned) {
  RowFacts& facts = facts_.emplace_back();
  facts.length = static_cast<std::uint32_t>(scanned.ids.size());
  facts.targets = 1;
  std::span<const std::int64_t> ids = scanned.ids;
  const auto limit = static_cast<std::size_t>(options_.max_length);
  if (limit > 0 && ids.size() > limit) {
    const bool drop = options_.truncation_mode == TruncationMode::drop;
    facts.problems.add(drop ? RowProblem::too_long : RowProblem::truncated);
    ids = options_.truncation_mode == TruncationMode::keep_end ? ids.last(limit) : ids.first(limit);
  }
  if (has_doubled_bos(ids, bos_)) facts.problems.add(RowProblem::doubled_bos);
  digest_.mix(scanned.content);
  digest_.mix(ids.size());
  for (const std::int64_t id : ids) digest_.mix(static_cast<std::uint64_t>(id));
  tokens_.insert(tokens_.end(), ids.begin(), ids.end());
  token_begins_.push_back(tokens_.size());
}

void ClassificationCorpus::scan() {
  std::vector<std::uint64_t> contents, groups;
  std::vector<Json> found;
  const auto bytes = [&](std::int64_t row) {
    const Source& source = source_of(row);
    return source.file->bytes(row - source.first);
  };
  const auto take = [&](std::int64_t, Scanned& scanned) {
    keep(scanned);
    found.push_back(std::move(scanned.label));
    contents.push_back(scanned.content);
    groups.push_back(scanned.group);
  };
  scan_rows(
      rows_, bytes, [&](std::int64_t row) { return scan_row(row); }, take, [](std::int64_t, std::int64_t) {});
  for (const Source& source : sources_) source.file->release(0, source.file->rows());
  labels_ =
      class_labels(found, {options_.labels, options_.num_labels, options_.problem_type},
                   [&](std::size_t row, const Error& error) { return at(static_cast<std::int64_t>(row), error); });
  for (const float value : labels_.values) digest_.mix(std::bit_cast<std::uint32_t>(value));
  for (const std::size_t row : repeated_rows(contents)) facts_[row].problems.add(RowProblem::duplicate);
  if (options_.val_set_size <= 0) return;
  validation_ = held_back(groups, options_.val_set_size, options_.seed,
                          [&](std::size_t row) { return !facts_[row].problems.leaves_out(); });
}

std::int64_t ClassificationCorpus::length(std::int64_t row) const {
  const auto at = static_cast<std::size_t>(row);
  return static_cast<std::int64_t>(token_begins_[at + 1] - token_begins_[at]);
}

ClassificationExample ClassificationCorpus::example(std::int64_t row) const {
  const auto at = static_cast<std::size_t>(row);
  ClassificationExample out;
  out.input_ids.assign(tokens_.begin() + static_cast<std::ptrdiff_t>(token_begins_[at]),
                       tokens_.begin() + static_cast<std::ptrdiff_t>(token_begins_[at + 1]));
  const auto first = labels_.values.begin() + static_cast<std::ptrdiff_t>(at * labels_.width);
  out.label.assign(first, first + static_cast<std::ptrdiff_t>(labels_.width));
  return out;
}

std::string ClassificationCorpus::digest() const {
  std::string text = std::to_string(digest_.value()) + ' ' + std::to_string(rows_) + ' ' +
                     std::to_string(static_cast<int>(labels_.problem_type));
  for (const std::string& name : labels_.names) append_part(text, name);
  return sha256(text);
}

}  // namespace powerhouse::training
