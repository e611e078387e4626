#include "constraints/tool_grammar.h"

#include <algorithm>

#include "constraints/engine.h"
#include "constraints/json_schema.h"
#include "constraints/raw_texts.h"
#include "powerhouse/error.h"
#include "text/tool_call_format.h"

namespace powerhouse {
namespace constraints {
namespace {

struct Tool {
  std::string name;
  Json parameters{};
};

std::vector<Tool> tools_of(std::string_view text, const std::string& wanted) {
  const Json all = Json::parse(text, "tools");
  std::vector<Tool> tools;
  for (const Json& entry : all.as_array("tools")) {
    const Json& function = function_of(entry);
    Tool tool{.name = function.at("name").as_string("name")};
    if (const Json* parameters = function.get("parameters")) tool.parameters = *parameters;
    if (!tool.parameters.is_object()) {
      JsonObject anything;
      anything["type"] = "object";
      tool.parameters = std::move(anything);
    }
    if (wanted.empty() || tool.name == wanted) tools.push_back(std::move(tool));
  }
  if (tools.empty()) {
    throw Error(ErrorKind::usage, wanted.empty() ? "there are no tools" : "no tool has this name",
                {.field = wanted.empty() ? "tools" : "name", .found = wanted});
  }
  return tools;
}

/// By what calls are known: the marks in front of the first one's name, without blanks around them.
std::string trigger_of(const ToolCallFormat::Impl& format) {
  std::string trigger = format.section_open + format.call_open;
  trigger = trigger.substr(0, trigger.find_first_of(std::string{kIdHole, kCounterHole, kNameHole}));
  const std::size_t begin = trigger.find_first_not_of(" \n");
  if (begin == std::string::npos) return {};
  return trigger.substr(begin, trigger.find_last_not_of(" \n") + 1 - begin);
}

class Builder {
 public:
  Builder(const Tokenizer& tokenizer, const ToolCallFormat& format) : tokenizer_(tokenizer), format_(format.impl()) {}

  Grammar run(const std::vector<Tool>& tools, const ToolChoice& choice) {
    grammar_.root = grammar_.add_rule("message");
    std::vector<ExprId> each;
    for (const Tool& tool : tools) each.push_back(call(tool));
    const ExprId call = grammar_.shared("call", grammar_.choice(std::move(each)));
    std::vector<ExprId> parts = {call};
    if (choice.parallel && format_.several) {
      const ExprId more = grammar_.sequence({mark(format_.separator, {}), call});
      parts.push_back(grammar_.repeat(more, 0, Grammar::kUnbounded));
    }
    // What begins a section is one mark with what begins its first call: a token may hold parts of both.
    const ExprId section = grammar_.sequence(
        {mark(format_.section_open, {}), grammar_.sequence(std::move(parts)), mark(format_.section_close, {})});
    if (choice.required) {
      grammar_.define(grammar_.root, section);
      return std::move(grammar_);
    }
    const std::string trigger = trigger_of(format_);
    if (!trigger.empty()) {
      const ExprId text = to_expr(grammar_, texts_without(trigger));
      grammar_.define(grammar_.root, grammar_.sequence({text, grammar_.optional(section)}));
    } else if (format_.kind == CallKind::object) {  // a message is a call where it begins as one
      grammar_.define(grammar_.root, grammar_.choice({to_expr(grammar_, texts_not_beginning('{')), section}));
    } else {
      throw Error(ErrorKind::unsupported, "calls have no mark that tells them from text; they can be required",
                  {.field = "required"});
    }
    return std::move(grammar_);
  }

 private:
  /// The tool, and the argument where one is meant.
  struct Place {
    std::string name{}, key{};
  };
  [[noreturn]] static void refuse(const char* what, const Place& place, const char* expected = "") {
    throw Error(ErrorKind::unsupported, what,
                {.field = place.key.empty() ? place.name : place.name + "." + place.key, .expected = expected});
  }
  static void check_word(const std::string& text, const Place& place) {
    if (!text.empty() && std::all_of(text.begin(), text.end(), is_word)) return;
    refuse("the format has no end of such a name", place, "letters, digits, '_', '-' and '.'");
  }

  static std::string filled(const std::string& text, const Place& place) {
    std::string out;
    for (const char c : text) {
      switch (c) {
        case kNameHole: out += place.name; break;
        case kKeyHole: out += place.key; break;
        default: out += c;
      }
    }
    return out;
  }

  /// Special tokens are never text: they are named.
  ExprId mark(const std::string& text, const Place& place) {
    std::vector<ExprId> parts;
    std::string run;
    const auto flush = [&] {
      if (run.empty()) return;
      literal(parts, run);
      run.clear();
    };
    for (const char c : filled(text, place)) {
      switch (c) {
        case kIdHole: flush(), parts.push_back(words(9, 9)); break;
        case kCounterHole: flush(), parts.push_back(number()); break;
        default: run += c;
      }
    }
    flush();
    return parts.empty() ? grammar_.empty() : grammar_.sequence(std::move(parts));
  }

  void literal(std::vector<ExprId>& parts, const std::string& text) {
    std::size_t done = 0;
    const auto plain = [&](std::size_t end) {
      if (end > done) parts.push_back(grammar_.literal(std::string_view(text).substr(done, end - done)));
    };
    for (const std::int64_t id : tokenizer_.encode(text, {.add_special_tokens = false})) {
      const std::string written = tokenizer_.decode({&id, 1}, {.skip_special_tokens = false});
      if (written.empty() || !tokenizer_.decode({&id, 1}).empty()) continue;  // not a special token
      const std::size_t at = text.find(written, done);
      if (at == std::string::npos) continue;
      plain(at);
      parts.push_back(grammar_.token(id, false));
      done = at + written.size();
    }
    plain(text.size());
  }

  ExprId words(std::uint64_t low, std::uint64_t high) {
    return grammar_.repeat(grammar_.characters(CodePoints({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}})), low, high);
  }
  ExprId number() { return grammar_.repeat(grammar_.characters(CodePoints({{'0', '9'}})), 1, 3); }

  ExprId schema(const Json& json) { return grammar_.adopt(json_schema_grammar(json.dump(), {})); }

  ExprId call(const Tool& tool) {
    const Place place{.name = tool.name};
    const ExprId open = mark(format_.call_open, place), close = mark(format_.call_close, place);
    if (format_.kind == CallKind::object) return grammar_.sequence({open, schema(object_schema(tool)), close});
    check_word(tool.name, place);
    return grammar_.sequence({open, grammar_.literal(tool.name), mark(format_.after_name, place),
                              format_.kind == CallKind::named ? schema(tool.parameters) : pairs(tool), close});
  }

  Json object_schema(const Tool& tool) const {
    JsonObject properties;
    Json::Array required;
    const auto add = [&](const std::string& key, Json value) {
      properties[key] = std::move(value);
      required.emplace_back(key);
    };
    const auto constant = [](const Json& value) {
      JsonObject schema;
      schema["const"] = value;
      return Json(std::move(schema));
    };
    const auto pattern = [](const char* text) {
      JsonObject schema;
      schema["type"] = "string";
      schema["pattern"] = text;
      return Json(std::move(schema));
    };
    const auto small_number = [] {
      JsonObject schema;
      schema["type"] = "integer";
      schema["minimum"] = 0;
      schema["maximum"] = 999;
      return Json(std::move(schema));
    };
    if (format_.name_is_key) add(tool.name, tool.parameters);
    for (const CallMember& member : format_.members) {
      switch (member.what) {
        case CallMember::What::name: add(member.key, constant(tool.name)); break;
        case CallMember::What::arguments: add(member.key, tool.parameters); break;
        case CallMember::What::id: add(member.key, pattern("^[A-Za-z0-9]{9}$")); break;
        case CallMember::What::counter:
          add(member.key, member.constant.is_string() ? pattern("^[0-9]{1,3}$") : small_number());
          break;
        case CallMember::What::constant: add(member.key, constant(member.constant)); break;
      }
    }
    // Definitions that the parameters refer to keep their place at the root.
    JsonObject out;
    out["type"] = "object";
    out["properties"] = std::move(properties);
    out["required"] = std::move(required);
    out["additionalProperties"] = false;
    for (const char* const key : {"$defs", "definitions"}) {
      if (const Json* definitions = tool.parameters.get(key)) out[key] = *definitions;
    }
    return out;
  }

  // ---- arguments between marks ----

  ExprId pairs(const Tool& tool) {
    // What speaks of all arguments at once is not seen by those who write one after the other.
    for (const char* const keyword :
         {"allOf", "anyOf", "oneOf", "not", "if", "$ref", "enum", "const", "minProperties", "maxProperties",
          "propertyNames", "patternProperties", "dependencies", "dependentRequired", "dependentSchemas"}) {
      if (tool.parameters.get(keyword) != nullptr) {
        refuse("a keyword is not built for arguments between marks", {tool.name, keyword});
      }
    }
    const Json* const properties = tool.parameters.get("properties");
    const Json* const needed = tool.parameters.get("required");
    if (needed != nullptr) {
      for (const Json& name : needed->as_array("required")) {
        const bool known = properties != nullptr && properties->get(name.as_string("required")) != nullptr;
        if (!known) refuse("a required argument is not among the properties", {tool.name, name.as_string()});
      }
    }
    if (properties == nullptr) return grammar_.empty();
    struct Pair {
      ExprId what = 0;
      bool required = false;
    };
    std::vector<Pair> all;
    for (const auto& [key, value] : properties->as_object("properties")) {
      bool required = false;
      for (std::size_t i = 0; needed != nullptr && i < needed->as_array().size(); ++i) {
        required = required || needed->as_array()[i].as_string() == key;
      }
      all.push_back({pair(tool, key, value), required});
    }
    // States: none written yet, and some.
    const ExprId separator = mark(format_.pair_separator, {.name = tool.name});
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

  ExprId pair(const Tool& tool, const std::string& key, const Json& property) {
    const Place place{tool.name, key};
    check_word(key, place);
    const std::optional<ValueType> type = value_type(property);
    if (!type) refuse("an argument between marks needs one type", place, "\"type\" as a string");
    const ValueMarks& marks = format_.marks(*type);
    if (!marks.known) refuse("the template writes values of this type in a way that is not understood", place);
    Json schema_of_value = property;  // definitions that it refers to keep their place at the root
    for (const char* const definitions : {"$defs", "definitions"}) {
      const Json* const found = tool.parameters.get(definitions);
      if (found != nullptr) schema_of_value.as_object()[definitions] = *found;
    }
    const ExprId open = mark(format_.key_open + key + marks.key_close, place);
    if (*type == ValueType::string) {
      return grammar_.sequence({open, raw_string(schema_of_value, filled(marks.value_close, place))});
    }
    const bool python = *type == ValueType::boolean && format_.python;
    if (python && (property.get("enum") != nullptr || property.get("const") != nullptr)) {
      refuse("a choice among Python's booleans is not built", place);
    }
    const ExprId value =
        python ? grammar_.choice({grammar_.literal("True"), grammar_.literal("False")}) : schema(schema_of_value);
    return grammar_.sequence({open, value, mark(marks.value_close, place)});
  }

  /// A text that the schema takes, and the mark behind it. The mark without the blanks around it is nowhere in the
  /// text, since that is where a reader takes it to end.
  ExprId raw_string(const Json& schema, const std::string& close) {
    const std::string_view solid = trimmed(close);
    const std::size_t blanks = solid.empty() ? 0 : close.find_first_not_of(kBlanks);
    std::vector<std::string_view> ends = {solid};
    if (solid.empty()) ends = {trimmed(format_.pair_separator), trimmed(format_.call_close)};
    bool anything = false;  // then the blanks may be part of the text, as where a model leaves them out
    std::vector<ExprId> ways;
    for (TextMachine& texts : json_schema_strings(schema.dump())) {
      anything = anything || texts.states.size() == 1;
      for (const std::string_view end : ends) {
        if (!end.empty()) texts = both(texts, texts_without(end));
      }
      ways.push_back(to_expr(grammar_, texts));
    }
    const ExprId before = grammar_.literal(close.substr(0, blanks));
    return grammar_.sequence({grammar_.choice(std::move(ways)), anything ? grammar_.optional(before) : before,
                              mark(close.substr(blanks), {})});
  }

  const Tokenizer& tokenizer_;
  const ToolCallFormat::Impl& format_;
  Grammar grammar_;
};

}  // namespace

Grammar tool_grammar(const Tokenizer& tokenizer, const ToolCallFormat& format, std::string_view tools,
                     const ToolChoice& choice) {
  return Builder(tokenizer, format).run(tools_of(tools, choice.name), choice);
}

}  // namespace constraints

Constraint tool_constraint(const Tokenizer& tokenizer, const ToolCallFormat& format, std::string_view tools,
                           const ToolChoice& choice) {
  return Constraint::Impl::make(tokenizer, constraints::tool_grammar(tokenizer, format, tools, choice));
}

}  // namespace powerhouse
