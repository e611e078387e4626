// A YAML text as a tree of values that know where they stand, so that every complaint names file and line.
//
// yaml-cpp parses (hidden in yaml.cpp). Merge keys (<<) are resolved, a key that stands twice is an Error, and aliases
// cannot blow a short text up. Scalars stay text: what type a value must have is the reader's affair, and the readers
// below take what PyYAML takes, and numbers such as 2e-4 that PyYAML leaves as text.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "powerhouse/error.h"

namespace powerhouse {

struct YamlValue {
  enum class Kind { null, scalar, sequence, mapping };
  Kind kind = Kind::null;
  std::string text{};                   // of a scalar
  bool quoted = false;                  // a scalar that is text whatever it looks like
  std::string place{};                  // "run.yaml:12"
  ErrorKind fault = ErrorKind::format;  // what a wrong value is: of a file, or usage on the command line
  std::vector<YamlValue> items{};
  std::vector<std::pair<std::string, YamlValue>> members{};

  bool is_null() const { return kind == Kind::null; }
  const YamlValue* find(std::string_view key) const;
  YamlValue* find(std::string_view key);
};

/// One document, at most a MiB and 100,000 values. `origin` names it in errors; `fault` is the kind of those about its
/// values. Throws Error{format} with the line, Error{range}.
YamlValue parse_yaml(std::string_view text, const std::string& origin, ErrorKind fault = ErrorKind::format);

/// The error of a value that is not as it must be.
Error wrong_value(const YamlValue& value, const std::string& field, const std::string& expected);

// Typed reading. `field` is the key's name for errors.
bool yaml_bool(const YamlValue& value, const std::string& field);
std::int64_t yaml_integer(const YamlValue& value, const std::string& field, std::int64_t low,
                          std::int64_t high = std::numeric_limits<std::int64_t>::max());
/// Finite, from `low` to `high`.
double yaml_number(const YamlValue& value, const std::string& field, double low,
                   double high = std::numeric_limits<double>::max());
const std::string& yaml_string(const YamlValue& value, const std::string& field);
/// A sequence of strings; a single scalar is a list of one.
std::vector<std::string> yaml_strings(const YamlValue& value, const std::string& field);
/// A sequence of finite numbers.
std::vector<double> yaml_numbers(const YamlValue& value, const std::string& field);

/// Whether a value switches something on: not null, false, 0, "" or empty.
bool yaml_truthy(const YamlValue& value);
/// The value as JSON, for messages.
std::string yaml_shown(const YamlValue& value);

/// `text` as a scalar that reads back as the same string.
std::string yaml_quoted(std::string_view text);

}  // namespace powerhouse
