// CSV: one pass over the bytes, for the index and for a record alike.
#include "training/data/csv.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse::training {
namespace {

[[noreturn]] void refuse(std::string_view what, const std::string& path, std::int64_t line, std::string_view found) {
  throw Error(ErrorKind::format, what,
              {.file = path, .field = "line " + std::to_string(line), .found = std::string(found)});
}

bool ends_line(char c) { return c == '\n' || c == '\r'; }

// A quoted field, from behind its first quote; returns where it ends, behind the last.
std::size_t read_quoted(std::string_view text, std::size_t at, std::string* field, const std::string& path,
                        std::int64_t line) {
  while (true) {
    const std::size_t quote = text.find('"', at);
    if (quote == std::string_view::npos) refuse("a quoted field that never ends", path, line, "the end of the file");
    if (field != nullptr) field->append(text, at, quote - at);
    at = quote + 1;
    if (at == text.size() || text[at] != '"') return at;
    if (field != nullptr) field->push_back('"');
    ++at;
  }
}

}  // namespace

std::size_t read_csv_record(std::string_view text, std::size_t at, std::vector<std::string>* fields,
                            const std::string& path, std::int64_t line) {
  const std::size_t begin = at;
  const auto line_here = [&] { return line + std::count(text.begin() + begin, text.begin() + at, '\n'); };
  while (true) {
    std::string field;
    std::string* out = fields != nullptr ? &field : nullptr;
    if (at < text.size() && text[at] == '"') {
      at = read_quoted(text, at + 1, out, path, line_here());
      if (at < text.size() && text[at] != ',' && !ends_line(text[at])) {
        refuse("text behind the closing quote of a field", path, line_here(), text.substr(at, 20));
      }
    } else {
      const std::size_t end = std::min(text.find_first_of(",\r\n\"", at), text.size());
      if (out != nullptr) out->assign(text, at, end - at);
      at = end;
      if (at < text.size() && text[at] == '"') {
        refuse("a quote inside a field that is not quoted", path, line_here(), text.substr(begin, at + 1 - begin));
      }
    }
    if (fields != nullptr) fields->push_back(std::move(field));
    if (at == text.size() || text[at] != ',') break;
    ++at;
  }
  while (at < text.size() && ends_line(text[at])) ++at;
  return at;
}

RecordIndex index_csv(std::string_view text, std::size_t at, const std::string& path,
                      std::vector<std::string>& header) {
  RecordIndex index;
  std::int64_t line = 1;
  std::size_t counted = 0;
  const auto move_to = [&](std::size_t next) {
    line += std::count(text.begin() + counted, text.begin() + next, '\n');
    counted = next;
  };
  while (at < text.size() && ends_line(text[at])) ++at;
  move_to(at);
  if (at == text.size()) refuse("no header", path, line, "an empty file");
  at = read_csv_record(text, at, &header, path, line);
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (std::find(header.begin(), header.begin() + i, header[i]) != header.begin() + i) {
      refuse("a column's name stands twice in the header", path, line, header[i]);
    }
  }
  while (at < text.size()) {
    move_to(at);
    index.add(at, line);
    at = read_csv_record(text, at, nullptr, path, line);
  }
  index.finish(text.size());
  return index;
}

}  // namespace powerhouse::training
