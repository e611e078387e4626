// Columns and their errors.
#include "training/data/columns.h"

#include "powerhouse/error.h"

namespace powerhouse::training {

std::string column_names(const Json& columns) {
  std::string names;
  for (const auto& [name, value] : columns.as_object()) names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "none" : names;
}

const Json& column(const Json& columns, std::string_view name) {
  const Json* const value = columns.get(name);
  if (value != nullptr) return *value;
  throw Error(ErrorKind::format, "missing column",
              {.field = std::string(name), .expected = {}, .found = "columns " + column_names(columns)});
}

const std::string& text_column(const Json& columns, std::string_view name) {
  const Json& value = column(columns, name);
  if (value.is_string()) return value.as_string();
  throw Error(ErrorKind::format, "wrong type",
              {.field = std::string(name), .expected = "text", .found = std::string(value.type_name())});
}

std::string optional_text(const Json& columns, std::string_view name) {
  return columns.get(name) == nullptr ? std::string() : text_column(columns, name);
}

Json::Array array_column(const Json& columns, std::string_view name) {
  const Json& value = column(columns, name);
  const Json parsed = value.is_string() ? Json::parse(value.as_string(), name) : value;
  if (parsed.is_array()) return parsed.as_array();
  throw Error(ErrorKind::format, "wrong type",
              {.field = std::string(name), .expected = "an array", .found = std::string(parsed.type_name())});
}

void append_part(std::string& content, std::string_view part) {
  content += part;
  content += kPartEnd;
}

std::vector<std::int64_t> encode_part(const Tokenizer& tokenizer, std::string_view text, bool starts, bool ends) {
  if (text.empty()) return {};
  std::vector<std::int64_t> ids = tokenizer.encode(text);
  const auto eos = tokenizer.eos_token_id(), bos = tokenizer.bos_token_id();
  if (ends && eos && (ids.empty() || ids.back() != *eos)) ids.push_back(*eos);
  if (!starts && bos && !ids.empty() && ids.front() == *bos) ids.erase(ids.begin());
  return ids;
}

void append_ids(TrainingExample& example, const std::vector<std::int64_t>& ids, bool targets) {
  example.input_ids.insert(example.input_ids.end(), ids.begin(), ids.end());
  if (targets) {
    example.labels.insert(example.labels.end(), ids.begin(), ids.end());
  } else {
    example.labels.insert(example.labels.end(), ids.size(), kIgnoredTarget);
  }
}

}  // namespace powerhouse::training
