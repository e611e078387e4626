// JsonSpelling: how JSON is written, as parts of a grammar.
#pragma once

#include <optional>
#include <string_view>

#include "constraints/grammar.h"
#include "constraints/text_machine.h"
#include "powerhouse/constraint.h"
#include "support/json.h"

namespace powerhouse::constraints {

class JsonSpelling {
 public:
  JsonSpelling(Grammar& grammar, JsonWhitespace whitespace);

  ExprId space() const { return space_; }
  /// Any string of `low` to `high` characters.
  ExprId string(std::uint64_t low, std::uint64_t high);
  /// Strings whose value a machine takes.
  ExprId string(const TextMachine& value);
  ExprId integer();
  ExprId number();
  /// Any value, object and array.
  ExprId value() { return grammar_.call(value_); }
  ExprId object();
  ExprId array();
  /// A value as it stands.
  ExprId literal(const Json& value) { return grammar_.literal(value.dump()); }
  /// `"key":` and the space behind it.
  ExprId key(ExprId string);

 private:
  ExprId character(const CodePoints& set);
  ExprId list(std::string_view open, ExprId part, std::string_view close);

  Grammar& grammar_;
  ExprId space_ = 0, character_ = 0;
  RuleId value_ = 0;
  std::optional<ExprId> integer_, number_, object_, array_;
};

}  // namespace powerhouse::constraints
