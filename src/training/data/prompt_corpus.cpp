#include "training/data/prompt_corpus.h"

#include <algorithm>
#include <limits>

#include "powerhouse/error.h"
#include "support/sha256.h"
#include "training/data/columns.h"
#include "training/data/scan_rows.h"
#include "training/data/split.h"

namespace powerhouse::training {
namespace {

std::string as_text(const Json& value) { return value.is_string() ? value.as_string() : value.dump(); }

}  // namespace

PromptCorpus::PromptCorpus(const Tokenizer& tokenizer, const std::vector<DatasetSource>& sources,
                           const PromptDatasetOptions& options)
    : tokenizer_(tokenizer), options_(options) {
  if (sources.empty()) throw Error(ErrorKind::usage, "no data", {.field = "datasets"});
  if (!(options.val_set_size >= 0)) {
    throw Error(ErrorKind::usage, "a negative number of rows",
                {.field = "val_set_size", .found = std::to_string(options.val_set_size)});
  }
  if (options.max_prompt_length < 0) {
    throw Error(ErrorKind::usage, "a negative length",
                {.field = "max_prompt_length", .found = std::to_string(options.max_prompt_length)});
  }
  for (const DatasetSource& declared : sources) {
    Source source{.file = RecordFile::open(declared), .declared = declared, .messages = nullptr, .first = rows_};
    source.declared.field_messages = "prompt";
    source.declared.field_system.clear();
    source.messages = std::make_unique<ChatMessages>(source.declared);
    rows_ += source.file->rows();
    sources_.push_back(std::move(source));
  }
  if (rows_ > std::numeric_limits<std::uint32_t>::max()) {
    throw Error(ErrorKind::unsupported, "more rows than 32 bits count", {.found = std::to_string(rows_)});
  }
  scan();
}

const PromptCorpus::Source& PromptCorpus::source_of(std::int64_t row) const {
  const auto after = std::upper_bound(sources_.begin(), sources_.end(), row,
                                      [](std::int64_t value, const Source& source) { return value < source.first; });
  return *(after - 1);
}

RowPlace PromptCorpus::place(std::int64_t row) const {
  const Source& source = source_of(row);
  return source.file->place(row - source.first);
}

const ChatTemplate& PromptCorpus::chat_template(const DatasetSource& source) const {
  std::call_once(made_, [&] {
    template_ = chat_template_of(tokenizer_, source, DatasetOptions{.chat_template = options_.chat_template});
  });
  return *template_;
}

std::vector<std::int64_t> PromptCorpus::encode(const Source& source, const Json& columns) const {
  const Json& prompt = column(columns, "prompt");
  std::vector<std::int64_t> ids;
  if (prompt.is_array()) {
    Conversation conversation = source.messages->read(columns);
    const RenderOptions options{.add_generation_prompt = true, .tools = conversation.tools, .omit_null = true};
    const std::string messages = Json(std::move(conversation.messages)).dump();
    ids = chat_template(source.declared).encode(tokenizer_, messages, options).ids;
  } else {
    ids = tokenizer_.encode(text_column(columns, "prompt"));
  }
  if (ids.empty()) throw Error(ErrorKind::format, "a prompt without tokens", {.field = "prompt"});
  return ids;
}

PromptCorpus::Scanned PromptCorpus::scan_row(std::int64_t row) const {
  const Source& source = source_of(row);
  const std::int64_t within = row - source.first;
  const Record record = source.file->read(within);
  try {
    Scanned out{.ids = encode(source, record.columns)};
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
  const auto mix = [&](std::uint64_t value) {
    digest_ = (digest_ ^ value) * 0x100000001B3u;
    digest_ ^= digest_ >> 29;
  };
  const auto take = [&](std::int64_t, const Scanned& scanned) {
    RowFacts& facts = facts_.emplace_back();
    facts.length = static_cast<std::uint32_t>(scanned.ids.size());
    const auto limit = static_cast<std::size_t>(options_.max_prompt_length);
    if (limit > 0 && scanned.ids.size() > limit) facts.problems.add(RowProblem::too_long);
    const auto bos = tokenizer_.bos_token_id();
    if (bos && scanned.ids.size() > 1 && scanned.ids[0] == *bos && scanned.ids[1] == *bos) {
      facts.problems.add(RowProblem::doubled_bos);
    }
    mix(scanned.content);
    for (const std::int64_t id : scanned.ids) mix(static_cast<std::uint64_t>(id));
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
  return sha256(std::to_string(digest_) + ' ' + std::to_string(rows_) + ' ' +
                std::to_string(options_.max_prompt_length));
}

}  // namespace powerhouse::training
