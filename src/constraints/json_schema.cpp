#include "constraints/json_schema.h"

#include "constraints/schema_compiler.h"
#include "constraints/schema_logic.h"

namespace powerhouse::constraints {

Grammar json_schema_grammar(std::string_view schema, const JsonSchemaOptions& options) {
  const SchemaDocument document(schema);
  return SchemaCompiler(document, options).run(document);
}

std::vector<TextMachine> json_schema_strings(std::string_view schema) {
  const SchemaDocument document(schema);
  SchemaReader reader(document);
  SchemaLogic logic(reader);
  std::vector<TextMachine> out;
  for (const FlatSchema& way : reader.read({document.root()})) {
    if ((way.types & kString) == 0) continue;
    refuse_unsupported(way, kString);
    if (way.values) {
      std::vector<std::string> texts;
      for (const Json* value : *way.values) {
        if (value->is_string() && logic.meets(*value, way)) texts.push_back(value->as_string());
      }
      if (!texts.empty()) out.push_back(texts_machine(texts));
    } else if (way.min_length <= way.max_length) {
      out.push_back(logic.strings(way));
    }
  }
  logic.check_exclusive();
  return out;
}

}  // namespace powerhouse::constraints
