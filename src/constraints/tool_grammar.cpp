#include "constraints/tool_grammar.h"

#include <algorithm>

#include "constraints/engine.h"
#include "constraints/raw_texts.h"
#include "constraints/tagged_arguments.h"
#include "constraints/value_spelling.h"
#include "powerhouse/error.h"
#include "text/python_unicode.h"
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

/// With the properties of all objects in the order of their names, as jinja's dictsort has it.
Json with_sorted_properties(const Json& schema) {
  if (schema.is_array()) {
    Json::Array out;
    for (const Json& one : schema.as_array()) out.push_back(with_sorted_properties(one));
    return out;
  }
  if (!schema.is_object()) return schema;
  JsonObject out;
  for (const auto& [key, value] : schema.as_object()) {
    Json deeper = with_sorted_properties(value);
    if (key != "properties" || !deeper.is_object()) {
      out[key] = std::move(deeper);
      continue;
    }
    std::vector<std::pair<std::string, const JsonObject::Member*>> order;
    for (const auto& member : deeper.as_object()) order.emplace_back(python_unicode::to_lower(member.first), &member);
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    JsonObject sorted;
    for (const auto& [name, member] : order) sorted[member->first] = member->second;
    out[key] = std::move(sorted);
  }
  return out;
}

class Builder {
 public:
  Builder(const Tokenizer& tokenizer, const ToolCallFormat& format)
      : format_(format.impl()), marks_(grammar_, tokenizer) {}

  Grammar run(const std::vector<Tool>& tools, const ToolChoice& choice) {
    grammar_.root = grammar_.add_rule("message");
    std::vector<ExprId> each;
    for (const Tool& tool : tools) each.push_back(call(tool));
    const ExprId call = grammar_.shared("call", grammar_.choice(std::move(each)));
    std::vector<ExprId> parts = {call};
    if (choice.parallel && format_.several) {
      const ExprId more = grammar_.sequence({marks_.mark(format_.separator), call});
      parts.push_back(grammar_.repeat(more, 0, Grammar::kUnbounded));
    }
    // What begins a section is one mark with what begins its first call: a token may hold parts of both.
    const ExprId section = grammar_.sequence(
        {marks_.mark(format_.section_open), grammar_.sequence(std::move(parts)), marks_.mark(format_.section_close)});
    if (choice.required) {
      grammar_.define(grammar_.root, section);
      return std::move(grammar_);
    }
    const std::string trigger = format_.trigger();
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
  ExprId json_number() {  // without zeros in front
    const ExprId more = grammar_.repeat(grammar_.characters(CodePoints({{'0', '9'}})), 0, 2);
    return grammar_.choice(
        {grammar_.literal("0"), grammar_.sequence({grammar_.characters(CodePoints({{'1', '9'}})), more})});
  }

  ExprId call(const Tool& tool) {
    const CallPlace place{.tool = tool.name};
    const SchemaDocument document(
        (format_.sorted_keys ? with_sorted_properties(tool.parameters) : tool.parameters).dump());
    const ExprId open = marks_.mark(format_.call_open, place), close = marks_.mark(format_.call_close, place);
    if (format_.kind == CallKind::object) return grammar_.sequence({open, object(tool, document), close});
    CallMarks::check_word(tool.name, place);
    return grammar_.sequence({open, grammar_.literal(tool.name), marks_.mark(format_.after_name, place),
                              format_.kind == CallKind::named
                                  ? marks_.schema(document, {document.root()})
                                  : TaggedArguments(grammar_, marks_, format_).all(tool.name, document),
                              close});
  }

  /// The members of a call, as the template has them one behind the other.
  ExprId object(const Tool& tool, const SchemaDocument& document) {
    if (!spelling_) spelling_.emplace(grammar_, SpellingOptions{});
    std::vector<ExprId> parts{grammar_.literal("{")};
    const auto add = [&](const std::string& key, ExprId value) {
      if (parts.size() > 1) parts.push_back(grammar_.literal(","));
      parts.insert(parts.end(), {spelling_->space(), spelling_->key(key), value});
    };
    const auto quoted = [&](ExprId text) {
      return grammar_.sequence({grammar_.literal("\""), text, grammar_.literal("\"")});
    };
    const auto arguments = [&] { return marks_.schema(document, {document.root()}); };
    if (format_.name_is_key) add(tool.name, arguments());
    for (const CallMember& member : format_.members) {
      switch (member.what) {
        case CallMember::What::name: add(member.key, spelling_->literal(Json(tool.name))); break;
        case CallMember::What::arguments: add(member.key, arguments()); break;
        case CallMember::What::id: add(member.key, quoted(marks_.words(9, 9))); break;
        case CallMember::What::counter:
          add(member.key, member.constant.is_string() ? quoted(marks_.number()) : json_number());
          break;
        case CallMember::What::constant: add(member.key, spelling_->literal(member.constant)); break;
      }
    }
    parts.insert(parts.end(), {spelling_->space(), grammar_.literal("}")});
    return grammar_.sequence(std::move(parts));
  }

  const ToolCallFormat::Impl& format_;
  Grammar grammar_;
  CallMarks marks_;
  std::optional<ValueSpelling> spelling_{};  // of calls that are objects
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
