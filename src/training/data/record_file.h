// RecordFile: a file as numbered rows, read where they lie. The index holds eight bytes a row, and as many for its line
// where rows do not follow line by line; the bytes stay in a mapping whose pages the system takes back, so a file may
// be larger than memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/dataset.h"
#include "powerhouse/error.h"
#include "support/json.h"
#include "support/mapped_file.h"

namespace powerhouse::training {

enum class RecordFormat { jsonl, json_array, csv, text };

/// One row. Long texts come in pieces: of those only the first starts a document and only the last ends it.
struct Record {
  Json columns;  // an object; of a text file {"text": ...}
  bool starts = true;
  bool ends = true;
};

/// Where rows begin, as an indexer finds them.
class RecordIndex {
 public:
  static constexpr std::uint64_t kContinues = std::uint64_t{1} << 63;

  /// `line` is that of `offset`, from 1. `continues`: a further piece of the document before.
  void add(std::uint64_t offset, std::int64_t line, bool continues = false);
  /// Where the last row ends.
  void finish(std::uint64_t end) { offsets_.push_back(end); }

  std::int64_t rows() const { return static_cast<std::int64_t>(offsets_.size()) - 1; }
  std::uint64_t begin(std::int64_t row) const { return offsets_[static_cast<std::size_t>(row)] & ~kContinues; }
  std::uint64_t end(std::int64_t row) const { return begin(row + 1); }
  bool continues(std::int64_t row) const {
    return row < rows() && (offsets_[static_cast<std::size_t>(row)] & kContinues) != 0;
  }
  /// The line that a row begins on.
  std::int64_t line(std::int64_t row) const {
    return lines_.empty() ? first_line_ + row : lines_[static_cast<std::size_t>(row)];
  }

 private:
  std::vector<std::uint64_t> offsets_;
  std::int64_t first_line_ = 1;
  std::vector<std::int64_t> lines_;  // of all rows; empty while each stands a line behind the one before
};

class RecordFile {
 public:
  /// Opens and indexes. Error{not_found, io, format, usage}; a file without rows is Error{format}.
  static std::unique_ptr<RecordFile> open(const DatasetSource& source);

  const std::string& path() const { return file_->path(); }
  std::int64_t rows() const { return index_.rows(); }
  /// Bytes of the file that a row takes.
  std::uint64_t bytes(std::int64_t row) const { return index_.end(row) - index_.begin(row); }
  std::int64_t line(std::int64_t row) const { return index_.line(row); }
  RowPlace place(std::int64_t row) const { return {path(), line(row)}; }
  /// Error{format} names file and line.
  Record read(std::int64_t row) const;
  /// Lets the system take back the pages of rows that were read.
  void release(std::int64_t first, std::int64_t end) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  RecordFormat format_{};
  TextDocuments documents_{};
  std::string text_column_;          // of text files
  std::vector<std::string> header_;  // of CSV
  RecordIndex index_;
};

// The indexers, one a format. `at` is where the text begins behind a byte order mark.
RecordIndex index_json_lines(std::string_view text, std::size_t at);
RecordIndex index_json_array(std::string_view text, std::size_t at, const std::string& path);
RecordIndex index_text(std::string_view text, std::size_t at, TextDocuments documents);

/// The same error with the place of the row in front: "line 17: <field>".
Error at_row(const Error& error, const std::string& path, std::int64_t line);

}  // namespace powerhouse::training
