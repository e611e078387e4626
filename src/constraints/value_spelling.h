// ValueSpelling: how values are written, as parts of a grammar: as JSON, or in a notation of a chat template's own.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "constraints/grammar.h"
#include "constraints/text_machine.h"
#include "powerhouse/constraint.h"
#include "support/json.h"
#include "text/value_notation.h"

namespace powerhouse::constraints {

struct SpellingOptions {
  JsonWhitespace whitespace = JsonWhitespace::flexible;
  ValueNotation notation{};
  /// Of marks around strings, which may be special tokens; else they are texts.
  std::function<ExprId(Grammar&, const std::string&)> mark{};
};

class ValueSpelling {
 public:
  ValueSpelling(Grammar& grammar, SpellingOptions options);

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
  /// A value as it stands. Error{unsupported} for a string that its marks can't hold.
  ExprId literal(const Json& value);
  /// Keys, with ':' and the space behind them: one of its own (Error{unsupported} where the notation can't hold it),
  /// those that a machine takes, and all.
  ExprId key(const std::string& name);
  ExprId keys(const TextMachine& names);
  ExprId keys();

 private:
  ExprId quoted(ExprId body) { return grammar_.sequence({open_, body, close_}); }
  ExprId behind_key(ExprId key) { return grammar_.sequence({key, grammar_.literal(":"), space_}); }
  ExprId any_escape();
  ExprId character(const CodePoints& set);
  ExprId list(std::string_view open, ExprId part, std::string_view close);

  Grammar& grammar_;
  ValueNotation notation_;
  CodePoints plain_;  // what a string holds as it is
  ExprId space_ = 0, open_ = 0, close_ = 0, character_ = 0;
  RuleId value_ = 0;
  std::optional<ExprId> integer_, number_, object_, array_;
};

}  // namespace powerhouse::constraints
