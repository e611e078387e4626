// Finds where the rows of JSON and text files begin, in one pass that parses nothing.
#include <algorithm>
#include <cstring>

#include "powerhouse/error.h"
#include "training/data/record_file.h"

namespace powerhouse::training {
namespace {

// A document of a text file is read in pieces of about this size, so that a long one is never in memory as a whole.
constexpr std::size_t kPieceBytes = 64 << 10;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::size_t line_end(std::string_view text, std::size_t at) { return std::min(text.find('\n', at), text.size()); }

// Walks over a text and knows the line.
struct Cursor {
  std::string_view text;
  std::size_t at;
  std::int64_t line = 1;

  void skip_blanks() {
    for (; at < text.size() && is_blank(text[at]); ++at) line += text[at] == '\n';
  }
  // Behind the object or array that begins here; false where the text ends before it.
  bool skip_value() {
    std::int64_t depth = 0;
    bool quoted = false;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      line += c == '\n';
      if (quoted) {
        if (c == '\\') ++at;
        if (c == '"') quoted = false;
        continue;
      }
      if (c == '"') quoted = true;
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth == 0) {
        ++at;
        return true;
      }
    }
    return false;
  }
};

}  // namespace

void RecordIndex::add(std::uint64_t offset, std::int64_t line, bool continues) {
  const auto row = static_cast<std::int64_t>(offsets_.size());
  if (row == 0) first_line_ = line;
  if (lines_.empty() && line != first_line_ + row) {
    for (std::int64_t before = 0; before < row; ++before) lines_.push_back(first_line_ + before);
  }
  if (!lines_.empty()) lines_.push_back(line);
  offsets_.push_back(offset | (continues ? kContinues : 0));
}

RecordIndex index_json_lines(std::string_view text, std::size_t at) {
  RecordIndex index;
  std::int64_t line = 1;
  for (; at < text.size(); ++line) {
    const std::size_t end = line_end(text, at);
    std::size_t first = at;
    while (first < end && is_blank(text[first])) ++first;
    if (first < end) index.add(first, line);
    at = end + 1;
  }
  index.finish(text.size());
  return index;
}

RecordIndex index_json_array(std::string_view text, std::size_t at, const std::string& path) {
  const auto refuse = [&](std::string_view what, std::int64_t line, std::string_view found) {
    throw Error(ErrorKind::format, what,
                {.file = path, .field = "line " + std::to_string(line), .found = std::string(found)});
  };
  RecordIndex index;
  Cursor cursor{text, at};
  cursor.skip_blanks();
  ++cursor.at;  // '[', or this would be a file of lines
  cursor.skip_blanks();
  bool open = cursor.at == text.size() || text[cursor.at] != ']';
  while (open) {
    const std::int64_t line = cursor.line;
    if (cursor.at == text.size()) refuse("the array never ends", line, "the end of the file");
    if (text[cursor.at] != '{') refuse("expected a row, an object", line, text.substr(cursor.at, 20));
    index.add(cursor.at, line);
    if (!cursor.skip_value()) refuse("a row that never ends", line, "the end of the file");
    cursor.skip_blanks();
    if (cursor.at == text.size()) refuse("the array never ends", cursor.line, "the end of the file");
    if (text[cursor.at] != ',' && text[cursor.at] != ']') {
      refuse("expected a comma or the array's end", cursor.line, text.substr(cursor.at, 20));
    }
    open = text[cursor.at] == ',';
    if (!open) break;
    ++cursor.at;
    cursor.skip_blanks();
  }
  index.finish(cursor.at);
  ++cursor.at;
  cursor.skip_blanks();
  if (cursor.at < text.size()) refuse("text behind the array", cursor.line, text.substr(cursor.at, 20));
  return index;
}

namespace {

// Cuts [begin, end) into pieces, at the last line end, else the last blank, else between characters.
void add_pieces(RecordIndex& index, std::string_view text, std::size_t begin, std::size_t end, std::int64_t line) {
  bool continues = false;
  while (true) {
    index.add(begin, line, continues);
    if (end - begin <= kPieceBytes + kPieceBytes / 2) return;
    const std::string_view piece = text.substr(begin, kPieceBytes);
    std::size_t cut = piece.rfind('\n');
    if (cut == std::string_view::npos) cut = piece.rfind(' ');
    std::size_t next = begin + (cut == std::string_view::npos ? kPieceBytes : cut + 1);
    while (cut == std::string_view::npos && next > begin + 1 &&
           (static_cast<unsigned char>(text[next]) & 0xC0) == 0x80) {
      --next;
    }
    line += std::count(text.begin() + begin, text.begin() + next, '\n');
    begin = next;
    continues = true;
  }
}

}  // namespace

RecordIndex index_text(std::string_view text, std::size_t at, TextDocuments documents) {
  RecordIndex index;
  if (documents == TextDocuments::file) {
    if (at < text.size()) add_pieces(index, text, at, text.size(), 1);
    index.finish(text.size());
    return index;
  }
  std::int64_t line = 1, document_line = 1;
  std::size_t document = std::string_view::npos;  // where the open one begins
  for (; at < text.size(); ++line) {
    const std::size_t end = line_end(text, at);
    const bool blank = std::all_of(text.begin() + at, text.begin() + end, is_blank);
    if (document != std::string_view::npos && blank) {
      add_pieces(index, text, document, at, document_line);
      document = std::string_view::npos;
    }
    if (!blank && documents == TextDocuments::lines) add_pieces(index, text, at, end, line);
    if (!blank && documents == TextDocuments::blank_lines && document == std::string_view::npos) {
      document = at;
      document_line = line;
    }
    at = end + 1;
  }
  if (document != std::string_view::npos) add_pieces(index, text, document, text.size(), document_line);
  index.finish(text.size());
  return index;
}

}  // namespace powerhouse::training
