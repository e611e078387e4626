#include "constraints/json_schema.h"

#include "constraints/schema_compiler.h"

namespace powerhouse::constraints {

Grammar json_schema_grammar(std::string_view schema, const JsonSchemaOptions& options) {
  const SchemaDocument document(schema);
  return SchemaCompiler(document, options).run(document);
}

}  // namespace powerhouse::constraints
