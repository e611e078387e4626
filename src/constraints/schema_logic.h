// SchemaLogic: what can be said of a schema without making a grammar: whether a value meets it, whether nothing does,
// what of it speaks of a member or an element.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "constraints/regex_parser.h"
#include "constraints/schema_reader.h"
#include "constraints/text_machine.h"

namespace powerhouse::constraints {

class SchemaLogic {
 public:
  explicit SchemaLogic(SchemaReader& reader) : reader_(reader) {}

  /// Strings by length and patterns; Error with the place of a pattern.
  TextMachine strings(const FlatSchema& flat);
  const TextMachine& pattern(const std::string& text, const std::string& path, RegexDialect dialect, bool whole);

  /// What must hold for the member `name`, for the element at `index`.
  Conjunction member(const FlatSchema& flat, const std::string& name);
  static Conjunction element(const FlatSchema& flat, std::size_t index);

  bool meets(const Json& value, const FlatSchema& flat);
  /// Of the values that enum and const name, those that meet all else.
  std::vector<const Json*> values(const FlatSchema& flat);
  bool meets(const Json& value, const Conjunction& schemas);
  /// Whether nothing meets it, as far as can be told without great effort; false is no proof.
  bool impossible(const FlatSchema& flat);

  /// Error{unsupported} where two branches of a oneOf that was read may be met at once.
  void check_exclusive();

 private:
  /// How to read a pattern that a text must match, and one that it may match: what is written must be right in every
  /// dialect, what is proven impossible must be so in every one.
  RegexDialect surely() const { return reader_.proving_ ? RegexDialect::beyond : RegexDialect::within; }
  RegexDialect perhaps() const { return reader_.proving_ ? RegexDialect::within : RegexDialect::beyond; }
  bool numbers_meet(const Json& value, const FlatSchema& flat) const;
  bool array_meets(const Json& value, const FlatSchema& flat);
  bool object_meets(const Json& value, const FlatSchema& flat);
  bool never(const FlatSchema& flat, int depth);
  bool never(const Conjunction& schemas, int depth);

  SchemaReader& reader_;
  int effort_ = 0;  // schemas that impossible() may still look at
  std::map<std::pair<std::string, int>, TextMachine> patterns_;
};

/// The type of a value.
unsigned type_bit(const Json& value);
/// Throws where a keyword that is not built bears on values of these types.
void refuse_unsupported(const FlatSchema& flat, unsigned types);

}  // namespace powerhouse::constraints
