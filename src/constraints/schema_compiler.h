// SchemaCompiler: the grammar of a JSON schema. Each set of schemas that must hold together is a rule, so that
// recursion in the schema is recursion in the grammar.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "constraints/schema_logic.h"
#include "constraints/value_spelling.h"

namespace powerhouse::constraints {

class SchemaCompiler {
 public:
  SchemaCompiler(const SchemaDocument& document, SpellingOptions options);

  /// Of values that meet all of `schemas`.
  Grammar run(const Conjunction& schemas);

 private:
  /// A call of the rule for values that meet all of `schemas`; its body is made later.
  ExprId rule(const Conjunction& schemas);
  ExprId body(const Conjunction& schemas);
  ExprId way(const FlatSchema& flat);
  ExprId number(const FlatSchema& flat);
  ExprId string(const FlatSchema& flat);
  ExprId array(const FlatSchema& flat);
  ExprId object(const FlatSchema& flat);
  /// An array of values that differ. Error{unsupported} where there are more than a few.
  ExprId distinct(const FlatSchema& flat);
  std::vector<Json> values_of(const Conjunction& schemas, const std::string& path);

  struct Member {
    ExprId what = 0;  // key and value
    bool required = false;
  };
  std::vector<std::string> declared_names(const FlatSchema& flat) const;
  std::vector<Member> declared(const FlatSchema& flat, const std::vector<std::string>& names);
  /// Members that the schema does not name, each in one of several forms.
  std::vector<ExprId> others(const FlatSchema& flat, const std::vector<std::string>& names);
  std::optional<TextMachine> member_names(const FlatSchema& flat);
  ExprId members_machine(const FlatSchema& flat, const std::vector<Member>& named, std::optional<ExprId> other);

  Grammar grammar_;
  SchemaReader reader_;
  SchemaLogic logic_;
  ValueSpelling spelling_;
  std::map<std::vector<const Json*>, RuleId> rules_;
  std::vector<std::pair<RuleId, Conjunction>> todo_;
};

}  // namespace powerhouse::constraints
