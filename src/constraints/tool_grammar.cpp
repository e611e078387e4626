#include "constraints/tool_grammar.h"

#include "constraints/engine.h"
#include "constraints/json_schema.h"
#include "constraints/text_machine.h"
#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/tool_call_format.h"

namespace powerhouse {
namespace constraints {
namespace {

std::vector<char32_t> characters_of(std::string_view text) {
  std::vector<char32_t> out;
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    out.push_back(step.code_point);
    text.remove_prefix(step.length);
  }
  return out;
}

// Texts in which `mark` does not occur: the steps of Knuth, Morris and Pratt, without the last.
TextMachine texts_without(std::string_view mark) {
  const std::vector<char32_t> wanted = characters_of(mark);
  const std::size_t size = wanted.size();
  std::vector<std::size_t> back(size + 1, 0);  // the longest proper beginning that is an end, of each beginning
  for (std::size_t i = 1, k = 0; i < size; ++i) {
    while (k > 0 && wanted[i] != wanted[k]) k = back[k];
    if (wanted[i] == wanted[k]) ++k;
    back[i + 1] = k;
  }
  TextMachine machine;
  for (std::size_t i = 0; i < std::max<std::size_t>(size, 1); ++i) machine.add_state(true);
  for (std::size_t state = 0; state < size; ++state) {
    std::vector<CodePoints::Range> named;
    for (std::size_t k = state;; k = back[k]) {
      const char32_t character = wanted[k];
      bool known = false;
      for (const CodePoints::Range& range : named) known = known || range.low == character;
      if (!known) {
        named.push_back({character, character});
        if (k + 1 < size)
          machine.states[state].steps.push_back({CodePoints::of(character), static_cast<std::uint32_t>(k + 1)});
      }
      if (k == 0) break;
    }
    machine.states[state].steps.push_back({CodePoints(std::move(named)).complement(), 0});
  }
  if (size == 0) machine.states[0].steps.push_back({CodePoints::all(), 0});
  return machine;
}

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

TextMachine texts_not_beginning(char32_t character) {
  TextMachine machine;
  machine.add_state(true);
  machine.add_state(true);
  machine.states[0].steps.push_back({CodePoints::of(character).complement(), 1});
  machine.states[1].steps.push_back({CodePoints::all(), 1});
  return machine;
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
  /// Special tokens are never text: they are named.
  ExprId mark(const std::string& text, const std::string& name, const std::string& key = {}) {
    std::vector<ExprId> parts;
    std::string run;
    const auto flush = [&] {
      if (run.empty()) return;
      literal(parts, run);
      run.clear();
    };
    for (const char c : text) {
      switch (c) {
        case kIdHole: flush(), parts.push_back(words(9, 9)); break;
        case kCounterHole: flush(), parts.push_back(number()); break;
        case kNameHole: run += name; break;
        case kKeyHole: run += key; break;
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
    const ExprId open = mark(format_.call_open, tool.name), close = mark(format_.call_close, tool.name);
    switch (format_.kind) {
      case CallKind::object: return grammar_.sequence({open, schema(object_schema(tool)), close});
      case CallKind::named:
        return grammar_.sequence(
            {open, grammar_.literal(tool.name), mark(format_.after_name, tool.name), schema(tool.parameters), close});
      case CallKind::tagged:
        return grammar_.sequence(
            {open, grammar_.literal(tool.name), mark(format_.after_name, tool.name), pairs(tool), close});
    }
    return grammar_.nothing();
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
    if (format_.name_is_key) add(tool.name, tool.parameters);
    for (const CallMember& member : format_.members) {
      switch (member.what) {
        case CallMember::What::name: add(member.key, constant(tool.name)); break;
        case CallMember::What::arguments: add(member.key, tool.parameters); break;
        case CallMember::What::id: add(member.key, pattern("^[A-Za-z0-9]{9}$")); break;
        case CallMember::What::counter: add(member.key, pattern("^[0-9]{1,3}$")); break;
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
    const Json* const properties = tool.parameters.get("properties");
    if (properties == nullptr) return grammar_.empty();
    struct Pair {
      ExprId what = 0;
      bool required = false;
    };
    std::vector<Pair> all;
    for (const auto& [key, value] : properties->as_object("properties")) {
      bool required = false;
      if (const Json* list = tool.parameters.get("required")) {
        for (const Json& name : list->as_array("required")) required = required || name.as_string() == key;
      }
      all.push_back({pair(tool, key, value), required});
    }
    // States: none written yet, and some.
    const ExprId separator = mark(format_.pair_separator, tool.name);
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
    const Json* choices = property.get("enum");
    std::optional<ValueType> type = value_type(property);
    if (!type && choices != nullptr && !choices->as_array().empty()) type = type_of(choices->as_array().front());
    if (!type) {
      throw Error(ErrorKind::unsupported, "an argument between marks needs one type",
                  {.field = tool.name + "." + key, .expected = "\"type\" as a string"});
    }
    const ValueMarks& marks = format_.marks(*type);
    if (!marks.known) {
      throw Error(ErrorKind::unsupported, "the template writes values of this type in a way that is not understood",
                  {.field = tool.name + "." + key});
    }
    return grammar_.sequence({mark(format_.key_open + key + marks.key_close, tool.name, key),
                              value(tool, *type, property, marks, key), mark(marks.value_close, tool.name, key)});
  }

  ExprId value(const Tool& tool, ValueType type, const Json& property, const ValueMarks& marks,
               const std::string& key) {
    if (type == ValueType::boolean && format_.python) {
      return grammar_.choice({grammar_.literal("True"), grammar_.literal("False")});
    }
    if (type != ValueType::string) {
      Json whole = property;
      for (const char* const definitions : {"$defs", "definitions"}) {
        if (const Json* found = tool.parameters.get(definitions)) whole.as_object()[definitions] = *found;
      }
      return schema(whole);
    }
    if (const Json* choices = property.get("enum")) {
      std::vector<ExprId> texts;
      for (const Json& one : choices->as_array("enum")) texts.push_back(grammar_.literal(one.as_string("enum")));
      return grammar_.choice(std::move(texts));
    }
    std::string close = marks.value_close.empty() ? format_.pair_separator + format_.call_close : marks.value_close;
    if (const std::size_t hole = close.find(kKeyHole); hole != std::string::npos) close.replace(hole, 1, key);
    return to_expr(grammar_, texts_without(close));
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
