#include "powerhouse/constraint.h"

#include "constraints/engine.h"
#include "constraints/gbnf.h"
#include "constraints/json_schema.h"
#include "constraints/simple_grammars.h"

namespace powerhouse {

Constraint Constraint::from_json_schema(const Tokenizer& tokenizer, std::string_view schema,
                                        const JsonSchemaOptions& options) {
  return Impl::make(tokenizer, constraints::json_schema_grammar(schema, options));
}

Constraint Constraint::from_regex(const Tokenizer& tokenizer, std::string_view pattern) {
  return Impl::make(tokenizer, constraints::regex_grammar(pattern));
}

Constraint Constraint::from_choices(const Tokenizer& tokenizer, std::span<const std::string> choices) {
  return Impl::make(tokenizer, constraints::choices_grammar(choices));
}

Constraint Constraint::from_gbnf(const Tokenizer& tokenizer, std::string_view grammar) {
  return Impl::make(tokenizer, constraints::parse_gbnf(grammar, &tokenizer));
}

const Tokenizer& Constraint::tokenizer() const { return impl_->tokenizer; }

}  // namespace powerhouse
