// A JSON schema as a grammar.
#pragma once

#include <string_view>
#include <vector>

#include "constraints/grammar.h"
#include "constraints/text_machine.h"
#include "powerhouse/constraint.h"

namespace powerhouse::constraints {

/// Errors name the JSON pointer of the place.
Grammar json_schema_grammar(std::string_view schema, const JsonSchemaOptions& options);
/// The strings that a schema takes, without quotes and escapes: a machine for each way to meet it.
std::vector<TextMachine> json_schema_strings(std::string_view schema);

}  // namespace powerhouse::constraints
