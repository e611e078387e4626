// TaggedArguments: arguments that stand one behind the other, each between marks.
#pragma once

#include <string>
#include <vector>

#include "constraints/call_marks.h"
#include "constraints/text_machine.h"

namespace powerhouse::constraints {

class TaggedArguments {
 public:
  TaggedArguments(Grammar& grammar, CallMarks& marks, const ToolCallFormat::Impl& format)
      : grammar_(grammar), marks_(marks), format_(format) {}

  /// Those that a tool's parameters ask for, in their order. Error{unsupported} for what marks can't hold.
  ExprId all(const std::string& tool, const SchemaDocument& parameters);

 private:
  ExprId one(const CallPlace& place, const SchemaDocument& parameters);
  ExprId raw_string(std::vector<TextMachine> all, ValueTypes types, const std::string& close);
  std::vector<TextMachine> texts_of_others(ValueTypes types) const;

  Grammar& grammar_;
  CallMarks& marks_;
  const ToolCallFormat::Impl& format_;
};

}  // namespace powerhouse::constraints
