// The rows of a corpus one by one: read, shaped, kept in memory while there is room.
#include "training/data/corpus.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/columns.h"

namespace powerhouse::training {

Corpus::Corpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources, const DatasetOptions& options)
    : tokenizer_(tokenizer), options_(options) {
  check_sources(sources, options.val_set_size);
  if (options.sequence_len < 2) {
    throw Error(ErrorKind::usage, "no room for a token and its target",
                {.field = "sequence_len", .expected = "2 or more", .found = std::to_string(options.sequence_len)});
  }
  ends_ = end_tokens(tokenizer);
  for (const std::string& token : options.eot_tokens) {
    if (const auto id = tokenizer.token_to_id(token)) ends_.insert(*id);
  }
  for (const DatasetSource& declared : sources) {
    DatasetSource source = declared;
    Source opened;
    opened.file = RecordFile::open(source);
    if (source.type.empty()) {
      const Json columns = opened.file->read(0).columns;
      source.type = detect_shape(columns, source.path);
      if (source.type == "chat_template" && source.field_messages.empty() && columns.get("messages") == nullptr) {
        source.field_messages = "conversations";
      }
    }
    opened.shape = make_shape(tokenizer_, source, options_);
    opened.first = rows_;
    rows_ += opened.file->rows();
    sources_.push_back(std::move(opened));
  }
  check_row_count(rows_);
}

const Corpus::Source& Corpus::source_of(std::int64_t row) const { return source_of_row(sources_, row); }

std::uint64_t Corpus::bytes(std::int64_t row) const {
  const Source& source = source_of(row);
  return source.file->bytes(row - source.first);
}

RowPlace Corpus::place(std::int64_t row) const {
  const Source& source = source_of(row);
  return source.file->place(row - source.first);
}

std::string Corpus::content(std::int64_t row) const {
  const Source& source = source_of(row);
  return source.shape->content(source.file->read(row - source.first));
}

std::int64_t Corpus::length(std::int64_t row) const {
  const Facts& facts = this->facts(row);
  const std::int64_t length = facts.length;
  return facts.problems.has(RowProblem::truncated) ? std::min(length, options_.sequence_len) : length;
}

TrainingExample Corpus::example(std::int64_t row) const {
  TrainingExample out;
  const auto at = static_cast<std::size_t>(row);
  if (at + 1 < token_begins_.size()) {
    for (std::uint64_t i = token_begins_[at]; i < token_begins_[at + 1]; ++i) {
      const std::int32_t token = tokens_[i];
      out.input_ids.push_back(token < 0 ? ~token : token);
      out.labels.push_back(token < 0 ? kIgnoredTarget : token);
    }
  } else {
    const Source& source = source_of(row);
    out = source.shape->apply(source.file->read(row - source.first)).example;
  }
  const auto length = static_cast<std::size_t>(this->length(row));
  if (out.input_ids.size() > length) {
    out.input_ids.resize(length);
    out.labels.resize(length);
  }
  return out;
}

std::string Corpus::digest() const {
  return sha256(std::to_string(digest_.value()) + ' ' + std::to_string(rows_) + ' ' +
                std::to_string(options_.sequence_len));
}

}  // namespace powerhouse::training
