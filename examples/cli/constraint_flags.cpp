#include "constraint_flags.h"

#include <vector>

#include "common.h"

namespace cli {
namespace {

// A schema is JSON; what does not begin as such is a file's name.
bool is_json(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos &&
         (text[first] == '{' || text.substr(first) == "true" || text.substr(first) == "false");
}

// Separated by commas; "\," is one.
std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out(1);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i] == '\\' && i + 1 < list.size() && (list[i + 1] == ',' || list[i + 1] == '\\')) {
      out.back() += list[++i];
    } else if (list[i] == ',') {
      out.emplace_back();
    } else {
      out.back() += list[i];
    }
  }
  return out;
}

}  // namespace

void ConstraintFlags::add(CLI::App& command) {
  CLI::Option* const options[] = {
      command.add_option("--json-schema", json_schema, "answer in JSON by this schema: its text, or a file"),
      command.add_option("--grammar", grammar, "answer by this grammar: a file in llama.cpp's GBNF"),
      command.add_option("--regex", regex, "answer what this pattern matches as a whole"),
      command.add_option("--choices", choices, "answer one of these, separated by commas"),
  };
  for (CLI::Option* const option : options) {
    option->check(not_empty());
    for (CLI::Option* const other : options) {
      if (other != option) option->excludes(other);
    }
  }
  command.add_flag("--compact-json", compact_json, "no blanks between the signs of JSON")->needs(options[0]);
}

std::optional<powerhouse::Constraint> ConstraintFlags::constraint(const powerhouse::Tokenizer& tokenizer) const {
  using powerhouse::Constraint;
  if (!json_schema.empty()) {
    const bool text = is_json(json_schema);
    const std::string schema = text ? json_schema : read_file(json_schema);
    const auto whitespace = compact_json ? powerhouse::JsonWhitespace::compact : powerhouse::JsonWhitespace::flexible;
    return from_source(text ? "--json-schema" : json_schema,
                       [&] { return Constraint::from_json_schema(tokenizer, schema, {.whitespace = whitespace}); });
  }
  if (!grammar.empty()) {
    return from_source(grammar, [&] { return Constraint::from_gbnf(tokenizer, read_file(grammar)); });
  }
  if (!regex.empty()) return from_source("--regex", [&] { return Constraint::from_regex(tokenizer, regex); });
  if (!choices.empty()) {
    return from_source("--choices", [&] { return Constraint::from_choices(tokenizer, split(choices)); });
  }
  return {};
}

}  // namespace cli
