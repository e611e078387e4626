#include "constraints/tagged_arguments.h"

#include "constraints/flat_schema.h"
#include "constraints/json_schema.h"
#include "constraints/raw_texts.h"
#include "constraints/regex_parser.h"

namespace powerhouse::constraints {
namespace {

/// What makes of a schema that of one of its types.
const Json& of_type(ValueType type) {
  static const std::vector<Json> all = [] {
    std::vector<Json> out;
    for (std::size_t i = 0; i < kValueTypes; ++i) {
      JsonObject schema;
      schema["type"] = type_name(static_cast<ValueType>(i));
      out.emplace_back(std::move(schema));
    }
    return out;
  }();
  return all[static_cast<std::size_t>(type)];
}

/// Numbers that need not be whole have marks of their own.
ValueTypes types_of(unsigned bits) {
  ValueTypes out;
  const auto add = [&](unsigned bit, ValueType type) { out[static_cast<std::size_t>(type)] = (bits & bit) != 0; };
  add(kString, ValueType::string);
  add(kFraction, ValueType::number);
  if ((bits & kFraction) == 0) add(kInteger, ValueType::integer);
  add(kBoolean, ValueType::boolean);
  add(kArray, ValueType::array);
  add(kObject, ValueType::object);
  add(kNull, ValueType::null);
  return out;
}

}  // namespace

ExprId TaggedArguments::all(const std::string& tool, const SchemaDocument& parameters) {
  const Json& root = *parameters.root().node;
  // What speaks of all arguments at once is not seen by those who write one after the other.
  for (const char* const keyword :
       {"allOf", "anyOf", "oneOf", "not", "if", "$ref", "enum", "const", "minProperties", "maxProperties",
        "propertyNames", "patternProperties", "dependencies", "dependentRequired", "dependentSchemas"}) {
    if (root.get(keyword) != nullptr) {
      CallMarks::refuse("a keyword is not built for arguments between marks", {tool, keyword});
    }
  }
  const Json* const properties = root.get("properties");
  const Json* const needed = root.get("required");
  if (needed != nullptr) {
    for (const Json& name : needed->as_array("required")) {
      const bool known = properties != nullptr && properties->get(name.as_string("required")) != nullptr;
      if (!known) CallMarks::refuse("a required argument is not among the properties", {tool, name.as_string()});
    }
  }
  if (properties == nullptr) return grammar_.empty();
  struct Pair {
    ExprId what = 0;
    bool required = false;
  };
  std::vector<Pair> all;
  for (const auto& member : properties->as_object("properties")) {
    const std::string& key = member.first;
    bool required = false;
    for (std::size_t i = 0; needed != nullptr && i < needed->as_array().size(); ++i) {
      required = required || needed->as_array()[i].as_string() == key;
    }
    all.push_back({one({tool, key}, parameters), required});
  }
  // States: none written yet, and some.
  const ExprId separator = marks_.mark(format_.pair_separator, {.tool = tool});
  Machine machine;
  std::uint32_t none = machine.add_state(), some = machine.add_state();
  machine.start = none;
  for (const Pair& pair : all) {
    const std::uint32_t next_none = machine.add_state(), next_some = machine.add_state();
    machine.steps.push_back({none, next_some, pair.what});
    machine.steps.push_back({some, next_some, grammar_.sequence({separator, pair.what})});
    if (!pair.required) {
      machine.steps.push_back({none, next_none, grammar_.empty()});
      machine.steps.push_back({some, next_some, grammar_.empty()});
    }
    none = next_none;
    some = next_some;
  }
  machine.accepting[none] = machine.accepting[some] = true;
  return grammar_.machine(std::move(machine));
}

ExprId TaggedArguments::one(const CallPlace& place, const SchemaDocument& parameters) {
  CallMarks::check_word(place.key, place);
  const SchemaRef property = SchemaDocument::child(parameters.root(), "properties", place.key);
  const ValueTypes types = types_of(json_schema_types(parameters, {property}));
  std::vector<ExprId> ways;
  for (std::size_t i = 0; i < kValueTypes; ++i) {
    const auto type = static_cast<ValueType>(i);
    const ValueMarks& marks = format_.marks(type);
    if (!types.test(i) || !marks.known) continue;
    const ExprId open = marks_.mark(format_.key_open + place.key + marks.key_close, place);
    const Conjunction schemas{property, {&of_type(type), property.path}};
    if (type == ValueType::string) {
      const std::string close = CallMarks::filled(marks.value_close, place);
      ways.push_back(grammar_.sequence({open, raw_string(json_schema_strings(parameters, schemas), types, close)}));
    } else {
      ways.push_back(grammar_.sequence(
          {open, marks_.schema(parameters, schemas, marks.notation), marks_.mark(marks.value_close, place)}));
    }
  }
  if (ways.empty() && types.any()) {
    CallMarks::refuse("the template writes values of this type in a way that is not understood", place);
  }
  return grammar_.choice(std::move(ways));
}

/// A text, and the mark behind it. The mark without the blanks around it is nowhere in the text, since that is where
/// a reader takes it to end; nor is the text what a reader takes for a value of another type that there may be.
ExprId TaggedArguments::raw_string(std::vector<TextMachine> all, ValueTypes types, const std::string& close) {
  const std::string_view solid = trimmed(close);
  const std::size_t blanks = solid.empty() ? 0 : close.find_first_not_of(kBlanks);
  std::vector<std::string_view> ends = {solid};
  if (solid.empty()) ends = {trimmed(format_.pair_separator), trimmed(format_.call_close)};
  const std::vector<TextMachine> others = texts_of_others(types);
  bool anything = false;  // then the blanks may be part of the text, as where a model leaves them out
  std::vector<ExprId> ways;
  for (TextMachine& texts : all) {
    anything = anything || texts.states.size() == 1;
    for (const std::string_view end : ends) {
      if (!end.empty()) texts = both(texts, texts_without(end));
    }
    for (const TextMachine& other : others) texts = both(texts, other);
    ways.push_back(to_expr(grammar_, texts));
  }
  const ExprId before = grammar_.literal(close.substr(0, blanks));
  return grammar_.sequence({grammar_.choice(std::move(ways)), anything ? grammar_.optional(before) : before,
                            marks_.mark(close.substr(blanks))});
}

/// For each other type whose marks are those of strings, the texts that are not read as such values.
std::vector<TextMachine> TaggedArguments::texts_of_others(ValueTypes types) const {
  std::vector<TextMachine> out;
  const std::string blanks = "[ \\n\\r\\t]*";
  const auto without = [&](const std::string& pattern) {
    out.push_back(complement(regex_machine(blanks + pattern, RegexDialect::python, true)));
  };
  for (std::size_t i = 0; i < kValueTypes; ++i) {
    const auto type = static_cast<ValueType>(i);
    const ValueMarks& marks = format_.marks(type);
    if (type == ValueType::string || !types.test(i) || !marks.same_marks(format_.marks(ValueType::string))) continue;
    switch (type) {
      case ValueType::integer:
      case ValueType::number: without("-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?" + blanks); break;
      case ValueType::boolean: without("(?:[Tt]rue|[Ff]alse)" + blanks); break;
      case ValueType::null: without("(?:null|None)" + blanks); break;
      case ValueType::array: without("\\[(?:.|\\n)*"); break;
      case ValueType::object: without("\\{(?:.|\\n)*"); break;
      case ValueType::string: break;
    }
  }
  return out;
}

}  // namespace powerhouse::constraints
