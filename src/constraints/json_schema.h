// A JSON schema as a grammar.
#pragma once

#include <string_view>

#include "constraints/grammar.h"
#include "powerhouse/constraint.h"

namespace powerhouse::constraints {

/// Errors name the JSON pointer of the place.
Grammar json_schema_grammar(std::string_view schema, const JsonSchemaOptions& options);

}  // namespace powerhouse::constraints
