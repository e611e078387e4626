// A JSON schema as a grammar.
#pragma once

#include <string_view>
#include <vector>

#include "constraints/schema_document.h"
#include "constraints/text_machine.h"
#include "constraints/value_spelling.h"

namespace powerhouse::constraints {

/// Errors name the JSON pointer of the place.
Grammar json_schema_grammar(std::string_view schema, const JsonSchemaOptions& options);

// Of values that meet all of some schemas of a document.
Grammar json_schema_grammar(const SchemaDocument& document, const Conjunction& schemas, SpellingOptions options);
/// Strings without quotes and escapes: a machine for each way to meet the schemas.
std::vector<TextMachine> json_schema_strings(const SchemaDocument& document, const Conjunction& schemas);
/// The types that they may have, as bits (flat_schema.h).
unsigned json_schema_types(const SchemaDocument& document, const Conjunction& schemas);

}  // namespace powerhouse::constraints
