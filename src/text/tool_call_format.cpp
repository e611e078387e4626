#include "text/tool_call_format.h"

#include <algorithm>
#include <cctype>

namespace powerhouse {

std::string_view type_name(ValueType type) {
  constexpr std::string_view kNames[kValueTypes] = {"string", "integer", "number", "boolean",
                                                    "array",  "object",  "null"};
  return kNames[static_cast<std::size_t>(type)];
}

std::string ToolCallFormat::Impl::trigger() const {
  const std::string mark = section_open + call_open;
  const std::size_t hole = mark.find_first_of(std::string{kIdHole, kCounterHole, kNameHole});
  return std::string(trimmed(std::string_view(mark).substr(0, hole)));
}

ValueType type_of(const Json& value) {
  if (value.is_null()) return ValueType::null;
  if (value.is_string()) return ValueType::string;
  if (value.is_integer()) return ValueType::integer;
  if (value.is_number()) return ValueType::number;
  if (value.is_array()) return ValueType::array;
  return value.is_object() ? ValueType::object : ValueType::boolean;
}

std::size_t json_end(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  bool quoted = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

const Json& function_of(const Json& tool) {
  const Json* function = tool.get("function");
  return function != nullptr && function->is_object() ? *function : tool;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

namespace {

std::string shown_mark(std::string_view mark) {
  std::string out;
  for (const char c : trimmed(mark)) {
    switch (c) {
      case kIdHole: out += "ID"; break;
      case kCounterHole: out += "N"; break;
      case kNameHole: out += "NAME"; break;
      case '\n': out += "\\n"; break;
      default: out += c;
    }
  }
  return out.empty() ? out : out + " ";
}

}  // namespace

std::string ToolCallFormat::describe() const {
  const Impl& format = *impl_;
  std::string out = shown_mark(format.section_open + format.call_open);
  if (format.kind == CallKind::object) {
    out += "{";
    if (format.name_is_key) out += "NAME: ARGUMENTS";
    for (const CallMember& member : format.members) {
      if (out.back() != '{') out += ", ";
      out += "\"" + member.key + "\": ";
      switch (member.what) {
        case CallMember::What::name: out += "NAME"; break;
        case CallMember::What::arguments: out += "ARGUMENTS"; break;
        case CallMember::What::id: out += "ID"; break;
        case CallMember::What::counter: out += "N"; break;
        case CallMember::What::constant: out += member.constant.dump(); break;
      }
    }
    out += "} ";
  } else {
    out += "NAME " + shown_mark(format.after_name);
    if (format.kind == CallKind::named) {
      out += "ARGUMENTS ";
    } else {
      const ValueMarks& strings = format.marks(ValueType::string);
      out += shown_mark(format.key_open) + "KEY " + shown_mark(strings.key_close) + "VALUE " +
             shown_mark(strings.value_close);
    }
  }
  out += shown_mark(format.call_close + format.section_close);
  return std::string(trimmed(out));
}

}  // namespace powerhouse
