#include "constraints/json_schema.h"

#include "constraints/schema_compiler.h"
#include "constraints/schema_logic.h"

namespace powerhouse::constraints {

Grammar json_schema_grammar(std::string_view schema, const JsonSchemaOptions& options) {
  const SchemaDocument document(schema);
  return SchemaCompiler(document, {.whitespace = options.whitespace}).run({document.root()});
}

Grammar json_schema_grammar(const SchemaDocument& document, const Conjunction& schemas, SpellingOptions options) {
  return SchemaCompiler(document, std::move(options)).run(schemas);
}

unsigned json_schema_types(const SchemaDocument& document, const Conjunction& schemas) {
  SchemaReader reader(document);
  SchemaLogic logic(reader);
  unsigned out = 0;
  for (const FlatSchema& way : reader.read(schemas)) {
    if (!way.values) out |= way.types;
    for (const Json* value : logic.values(way)) out |= type_bit(*value);
  }
  return out;
}

std::vector<TextMachine> json_schema_strings(const SchemaDocument& document, const Conjunction& schemas) {
  SchemaReader reader(document);
  SchemaLogic logic(reader);
  std::vector<TextMachine> out;
  for (const FlatSchema& way : reader.read(schemas)) {
    if ((way.types & kString) == 0) continue;
    refuse_unsupported(way, kString);
    if (way.values) {
      std::vector<std::string> texts;
      for (const Json* value : logic.values(way)) {
        if (value->is_string()) texts.push_back(value->as_string());
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
