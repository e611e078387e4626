// CSV by RFC 4180: fields between commas, quoted where they hold commas, quotes (doubled) or line ends. Lines end with
// LF, CR LF or CR; blank lines are no records.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "training/data/record_file.h"

namespace powerhouse::training {

/// Reads the record at `at` into `fields` (if not nullptr) and returns where the next one begins, behind blank lines.
/// Error{format} for a quote where none may stand and for one that never ends; `line` is the record's.
std::size_t read_csv_record(std::string_view text, std::size_t at, std::vector<std::string>* fields,
                            const std::string& path, std::int64_t line);

/// The first record gives the columns' names. Error{format} without one, or with a name twice.
RecordIndex index_csv(std::string_view text, std::size_t at, const std::string& path, std::vector<std::string>& header);

}  // namespace powerhouse::training
