// Opens a file by its format, and reads single rows of it with errors that name the line.
#include "training/data/record_file.h"

#include <algorithm>
#include <charconv>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "training/data/csv.h"

namespace powerhouse::training {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

RecordFormat format_of(const DatasetSource& source, std::string_view text, std::size_t at) {
  std::string format = source.format;
  if (format.empty()) {
    const std::size_t dot = source.path.find_last_of("./");
    const std::string_view suffix =
        dot == std::string::npos ? std::string_view() : std::string_view(source.path).substr(dot);
    format = suffix == ".jsonl" || suffix == ".ndjson" ? "jsonl"
             : suffix == ".json"                       ? "json"
             : suffix == ".csv"                        ? "csv"
             : suffix == ".txt" || suffix == ".text"   ? "text"
                                                       : "";
  }
  if (format == "jsonl") return RecordFormat::jsonl;
  if (format == "csv") return RecordFormat::csv;
  if (format == "text") return RecordFormat::text;
  if (format == "json") {
    // What `datasets` takes too: lines of objects under the name of JSON.
    const std::size_t first = text.find_first_not_of(" \t\r\n", at);
    return first != std::string_view::npos && text[first] == '[' ? RecordFormat::json_array : RecordFormat::jsonl;
  }
  throw Error(ErrorKind::usage, "no format that data can be read from",
              {.file = source.path,
               .field = "format",
               .expected = "jsonl, json, csv or text, or a file named so",
               .found = source.format});
}

// nlohmann counts lines and columns within the row: the line is moved to the file's, the sentence keeps the column.
Error in_file_lines(const Error& error, const std::string& path, std::int64_t line) {
  std::string message = error.message();
  constexpr std::string_view kAtLine = " at line ";
  if (const auto found = message.find(kAtLine); found != std::string::npos) {
    const char* const first = message.data() + found + kAtLine.size();
    std::int64_t within = 1;
    const auto [last, problem] = std::from_chars(first, message.data() + message.size(), within);
    if (problem == std::errc() && std::string_view(last, 2) == ", ") {
      message.replace(found + 4, static_cast<std::size_t>(last + 2 - message.data()) - found - 4, "");
      line += within - 1;
    }
  }
  return Error(error.kind(), message, {.file = path, .field = "line " + std::to_string(line)});
}

}  // namespace

Error at_row(const Error& error, const std::string& path, std::int64_t line) {
  std::string field = "line " + std::to_string(line);
  // A part of the row that was parsed on its own goes by a name in the place of a file.
  if (!error.file().empty()) field += ": " + error.file();
  if (!error.field().empty()) field += ": " + error.field();
  return Error(error.kind(), error.message(),
               {.file = path, .field = field, .expected = error.expected(), .found = error.found()});
}

std::unique_ptr<RecordFile> RecordFile::open(const DatasetSource& source) {
  auto out = std::make_unique<RecordFile>();
  out->file_ = MappedFile::open(source.path);
  const std::string_view text = out->file_->text();
  const std::size_t at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  out->format_ = format_of(source, text, at);
  out->documents_ = source.text_documents;
  out->text_column_ = source.field;
  switch (out->format_) {
    case RecordFormat::jsonl: out->index_ = index_json_lines(text, at); break;
    case RecordFormat::json_array: out->index_ = index_json_array(text, at, source.path); break;
    case RecordFormat::csv: out->index_ = index_csv(text, at, source.path, out->header_); break;
    case RecordFormat::text: out->index_ = index_text(text, at, source.text_documents); break;
  }
  if (out->rows() == 0) {
    throw Error(ErrorKind::format, "no rows", {.file = source.path, .found = std::to_string(text.size()) + " bytes"});
  }
  out->release(0, out->rows());
  return out;
}

Record RecordFile::read(std::int64_t row) const {
  const std::string_view text = file_->text();
  std::string_view bytes = text.substr(index_.begin(row), this->bytes(row));
  const auto trim = [&](std::string_view what) {
    const std::size_t last = bytes.find_last_not_of(what);
    bytes = bytes.substr(0, last == std::string_view::npos ? 0 : last + 1);
  };
  Record out;
  if (format_ == RecordFormat::jsonl || format_ == RecordFormat::json_array) {
    if (format_ == RecordFormat::jsonl) bytes = bytes.substr(0, bytes.find('\n'));
    trim(format_ == RecordFormat::jsonl ? " \t\r\n" : " \t\r\n,");
    try {
      out.columns = Json::parse(bytes, path());
    } catch (const Error& error) {
      throw in_file_lines(error, path(), line(row));
    }
    if (!out.columns.is_object()) {
      throw Error(ErrorKind::format, "a row must be an object",
                  {.file = path(),
                   .field = "line " + std::to_string(line(row)),
                   .expected = "{\"column\": value, ...}",
                   .found = std::string(out.columns.type_name())});
    }
    return out;
  }
  if (const auto bad = find_invalid_utf8(bytes)) {
    const std::int64_t below = std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(*bad), '\n');
    throw Error(ErrorKind::format, "invalid UTF-8",
                {.file = path(),
                 .field = "line " + std::to_string(line(row) + below),
                 .found = "byte " + std::to_string(index_.begin(row) + *bad) + " of the file"});
  }
  JsonObject columns;
  if (format_ == RecordFormat::csv) {
    std::vector<std::string> fields;
    read_csv_record(text, index_.begin(row), &fields, path(), line(row));
    if (fields.size() != header_.size()) {
      throw Error(ErrorKind::format, "a row of another number of fields than the header",
                  {.file = path(),
                   .field = "line " + std::to_string(line(row)),
                   .expected = std::to_string(header_.size()),
                   .found = std::to_string(fields.size())});
    }
    for (std::size_t i = 0; i < fields.size(); ++i) columns[header_[i]] = Json(std::move(fields[i]));
  } else {
    out.starts = !index_.continues(row);
    out.ends = !index_.continues(row + 1);
    if (documents_ == TextDocuments::lines) bytes = bytes.substr(0, bytes.find_first_of("\r\n"));
    if (documents_ == TextDocuments::blank_lines && out.ends) trim(" \t\r\n");
    columns[text_column_] = Json(bytes);
  }
  out.columns = Json(std::move(columns));
  return out;
}

void RecordFile::release(std::int64_t first, std::int64_t end) const {
  const std::uint64_t begin = index_.begin(first);
  file_->release(file_->bytes().data() + begin, index_.begin(end) - begin);
}

}  // namespace powerhouse::training
