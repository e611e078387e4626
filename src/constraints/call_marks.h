// CallMarks: the marks around calls and arguments, as parts of a grammar.
#pragma once

#include <string>
#include <vector>

#include "constraints/grammar.h"
#include "constraints/schema_document.h"
#include "powerhouse/tokenizer.h"
#include "text/tool_call_format.h"

namespace powerhouse::constraints {

/// The tool that is called, and the argument where one is meant.
struct CallPlace {
  std::string tool{}, key{};
};

class CallMarks {
 public:
  CallMarks(Grammar& grammar, const Tokenizer& tokenizer) : grammar_(grammar), tokenizer_(tokenizer) {}

  /// With its holes filled. Special tokens are never text: they are named.
  ExprId mark(const std::string& text, const CallPlace& place = {});
  static std::string filled(const std::string& text, const CallPlace& place);
  ExprId words(std::uint64_t low, std::uint64_t high);
  /// Of up to three digits.
  ExprId number();

  /// Values that meet all of `schemas`.
  ExprId schema(const SchemaDocument& document, const Conjunction& schemas, const ValueNotation& notation = {});

  [[noreturn]] static void refuse(const char* what, const CallPlace& place, const char* expected = "");
  /// Error{unsupported} where nothing would end it.
  static void check_word(const std::string& text, const CallPlace& place);

 private:
  void literal(Grammar& grammar, std::vector<ExprId>& parts, const std::string& text) const;

  Grammar& grammar_;
  const Tokenizer& tokenizer_;
};

}  // namespace powerhouse::constraints
