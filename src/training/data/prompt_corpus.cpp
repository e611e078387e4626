#include "training/data/prompt_corpus.h"

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/columns.h"
#include "training/data/scan_rows.h"
#include "training/data/split.h"

namespace powerhouse::training {

PromptCorpus::PromptCorpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                           const PromptDatasetOptions& options)
    : tokenizer_(tokenizer), options_(options) {
  check_sources(sources, options.val_set_size);
  if (options.max_prompt_length < 0) {
    throw Error(ErrorKind::usage, "a negative length",
                {.field = "max_prompt_length", .found = std::to_string(options.max_prompt_length)});
  }
  for (const DatasetSource& declared : sources) {
    Source source{.file = RecordFile::open(declared),
                  .prompt = std::make_unique<TextOrMessages>(tokenizer, declared, "prompt", options.chat_template,
                                                             /*generation_prompt=*/true),
                  .first = rows_};
    rows_ += source.file->rows();
    sources_.push_back(std::move(source));
  }
  check_row_count(rows_);
  scan();
}

const PromptCorpus::Source& PromptCorpus::source_of(std::int64_t row) const { return source_of_row(sources_, row); }

RowPlace PromptCorpus::place(std::int64_t row) const {
  const Source& source = source_of(row);
  return source.file->place(row - source.first);
}

PromptCorpus::Scanned PromptCorpus::scan_row(std::int64_t row) const {
  const Source& source = source_of(row);
  const std::int64_t within = row - source.first;
  const Record record = source.file->read(within);
  try {
    Scanned out{.ids = source.prompt->encode(record.columns)};
    const std::string prompt = as_text(column(record.columns, "prompt"));
    out.content = hash_of(record.columns.dump());
    out.group = hash_of(options_.group_field.empty() ? prompt : as_text(column(record.columns, options_.group_field)));
    return out;
  } catch (const Error& error) {
    throw at_row(error, source.file->path(), source.file->line(within));
  }
}

void PromptCorpus::scan() {
  std::vector<std::uint64_t> contents, groups;
  const auto bos = tokenizer_.bos_token_id();
  const auto take = [&](std::int64_t, const Scanned& scanned) {
    RowFacts& facts = facts_.emplace_back();
    facts.length = static_cast<std::uint32_t>(scanned.ids.size());
    const auto limit = static_cast<std::size_t>(options_.max_prompt_length);
    if (limit > 0 && scanned.ids.size() > limit) facts.problems.add(RowProblem::too_long);
    if (has_doubled_bos(scanned.ids, bos)) facts.problems.add(RowProblem::doubled_bos);
    digest_.mix(scanned.content);
    for (const std::int64_t id : scanned.ids) digest_.mix(static_cast<std::uint64_t>(id));
    tokens_.insert(tokens_.end(), scanned.ids.begin(), scanned.ids.end());
    token_begins_.push_back(tokens_.size());
    contents.push_back(scanned.content);
    groups.push_back(scanned.group);
  };
  const auto bytes = [&](std::int64_t row) {
    const Source& source = source_of(row);
    return source.file->bytes(row - source.first);
  };
  scan_rows(
      rows_, bytes, [&](std::int64_t row) { return scan_row(row); }, take, [](std::int64_t, std::int64_t) {});
  for (const Source& source : sources_) source.file->release(0, source.file->rows());
  for (const std::size_t row : repeated_rows(contents)) facts_[row].problems.add(RowProblem::duplicate);
  if (options_.val_set_size <= 0) return;
  validation_ = held_back(groups, options_.val_set_size, options_.seed,
                          [&](std::size_t row) { return !facts_[row].problems.leaves_out(); });
}

Prompt PromptCorpus::prompt(std::int64_t row) const {
  const Source& source = source_of(row);
  const Record record = source.file->read(row - source.first);
  const auto at = static_cast<std::size_t>(row);
  Prompt out;
  out.ids.assign(tokens_.begin() + static_cast<std::ptrdiff_t>(token_begins_[at]),
                 tokens_.begin() + static_cast<std::ptrdiff_t>(token_begins_[at + 1]));
  const Json& prompt = column(record.columns, "prompt");
  out.text = as_text(prompt);
  out.conversational = prompt.is_array();
  for (const auto& [name, value] : record.columns.as_object()) {
    if (name != "prompt") out.columns.emplace(name, as_text(value));
  }
  return out;
}

std::string PromptCorpus::digest() const {
  return sha256(std::to_string(digest_.value()) + ' ' + std::to_string(rows_) + ' ' +
                std::to_string(options_.max_prompt_length));
}

}  // namespace powerhouse::training
