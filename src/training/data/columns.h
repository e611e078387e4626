// Columns of a row, with errors that say which are there; and text as tokens with and without the ends of a document.
#pragma once

#include <string>
#include <string_view>

#include "powerhouse/dataset.h"
#include "support/json.h"

namespace powerhouse::training {

/// Error{format} where the column is absent or null: names it and those that are there.
const Json& column(const Json& columns, std::string_view name);
/// Error{format} where it is no text.
const std::string& text_column(const Json& columns, std::string_view name);
/// Empty where the column is absent or null.
std::string optional_text(const Json& columns, std::string_view name);
/// An array, or JSON text of one (as CSV has it).
Json::Array array_column(const Json& columns, std::string_view name);

std::string column_names(const Json& columns);
/// Between the parts of a row's content.
inline constexpr char kPartEnd = '\x1f';
void append_part(std::string& content, std::string_view part);

/// The ids of `text` with what the tokenizer adds in front; EOS behind, if `ends`, unless it is there. BOS is taken
/// away if not `starts`. No ids for an empty text.
std::vector<std::int64_t> encode_part(const Tokenizer& tokenizer, std::string_view text, bool starts, bool ends);
/// Appends ids, with labels if they are targets.
void append_ids(TrainingExample& example, const std::vector<std::int64_t>& ids, bool targets);

}  // namespace powerhouse::training
