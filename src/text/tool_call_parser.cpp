// Reads calls: marks are found whatever blanks stand in and around them, JSON is read as JSON.
#include <algorithm>
#include <cctype>
#include <optional>

#include "powerhouse/error.h"
#include "text/tool_call_format.h"

namespace powerhouse {

namespace {

constexpr std::size_t kNone = std::string_view::npos;

class Parser {
 public:
  Parser(const ToolCallFormat::Impl& format, std::string_view text, std::string_view tools)
      : format_(format), text_(text), tools_(tools.empty() ? Json() : Json::parse(tools, "tools")) {}

  ParsedMessage run() {
    ParsedMessage message;
    const std::string first = format_.section_open + format_.call_open;
    std::size_t at = begin_of(first);
    if (at == kNone) {
      message.content = content(text_);
      return message;
    }
    message.content = content(text_.substr(0, at));
    at = after(first, at);
    while (true) {
      message.calls.push_back(call(at));
      const std::string again = format_.separator + format_.call_open;
      const bool marked = format_.several || !trimmed(again).empty();
      std::size_t next = marked ? after(again, at_) : kNone;
      if (next == kNone || !opens_call(next)) {  // some templates end section and turn more than once
        for (const std::string& mark : {format_.section_close, format_.turn_end}) {
          if (const std::size_t closed = after(mark, at_); closed != kNone) at_ = closed;
        }
        next = trimmed(again).empty() ? kNone : after(format_.call_open, at_);
        if (next == kNone || !opens_call(next)) next = trimmed(first).empty() ? kNone : after(first, at_);
      }
      if (next == kNone || !opens_call(next)) break;
      at = next;
    }
    const std::string rest = content(text_.substr(at_));
    if (!rest.empty() && !message.content.empty()) message.content += "\n";
    message.content += rest;
    return message;
  }

 private:
  [[noreturn]] void fail(const std::string& what, std::size_t at) const {
    throw Error(
        ErrorKind::format, what,
        {.field = "byte " + std::to_string(at), .found = std::string(text_.substr(std::min(at, text_.size()), 40))});
  }

  std::string content(std::string_view part) const {
    part = trimmed(part);
    const std::string_view end = trimmed(format_.turn_end);
    if (!end.empty() && part.ends_with(end)) part = trimmed(part.substr(0, part.size() - end.size()));
    return std::string(part);
  }

  /// The end of a mark that begins at `at`, blanks aside; kNone where there is none. Holes take what they are read as.
  std::size_t after(std::string_view mark, std::size_t at) {
    for (std::size_t i = 0; i < mark.size(); ++i) {
      if (is_blank(mark[i])) continue;
      while (at < text_.size() && is_blank(text_[at])) ++at;
      if (mark[i] == kIdHole || mark[i] == kCounterHole || mark[i] == kNameHole) {
        const std::size_t begin = at;
        while (at < text_.size() && is_word(text_[at])) ++at;
        if (at == begin) return kNone;
        if (mark[i] == kIdHole) id_ = text_.substr(begin, at - begin);
      } else {
        if (at >= text_.size() || text_[at] != mark[i]) return kNone;
        ++at;
      }
    }
    return at;
  }

  std::size_t skip_blanks(std::size_t at) const {
    while (at < text_.size() && is_blank(text_[at])) ++at;
    return at;
  }

  /// Whether what stands at `at` looks like a call: without marks, text may begin as one.
  bool opens_call(std::size_t at) {
    at = skip_blanks(at);
    if (format_.kind == CallKind::object) return at < text_.size() && text_[at] == '{';
    std::size_t end = at;
    while (end < text_.size() && is_word(text_[end])) ++end;
    return end > at && after(format_.after_name, end) != kNone;
  }

  bool holds_call(std::size_t at) {
    at = skip_blanks(at);
    const std::size_t end = at < text_.size() && text_[at] == '{' ? json_end(text_, at) : kNone;
    if (end == kNone) return false;
    try {
      const Json call = Json::parse(text_.substr(at, end - at), "call");
      return std::all_of(format_.members.begin(), format_.members.end(), [&](const CallMember& member) {
        const bool needed = member.what == CallMember::What::name || member.what == CallMember::What::arguments;
        return !needed || call.get(member.key) != nullptr;
      });
    } catch (const Error&) {
      return false;
    }
  }

  std::size_t begin_of(std::string_view mark) {
    const std::string_view solid = trimmed(mark);
    if (solid.empty()) {  // a message that begins with one
      const std::size_t at = skip_blanks(0);
      const bool is = format_.kind == CallKind::object ? holds_call(at) : opens_call(at);
      return is ? at : kNone;
    }
    for (std::size_t at = 0; at < text_.size(); ++at) {
      const bool hole = solid.front() == kIdHole || solid.front() == kNameHole || solid.front() == kCounterHole;
      if (!hole && text_[at] != solid.front()) continue;
      if (const std::size_t end = after(solid, at); end != kNone && (solid.size() > 2 || opens_call(end))) return at;
    }
    return kNone;
  }

  ToolCall call(std::size_t at) {
    id_.clear();
    ToolCall found;
    if (format_.kind == CallKind::object) {
      found = of_object(skip_blanks(at));
    } else {
      found = of_name(skip_blanks(at));
    }
    if (found.id.empty()) found.id = id_;
    const std::size_t closed = after(format_.call_close, at_);
    if (closed != kNone) {
      at_ = closed;
    } else if (skip_blanks(at_) < text_.size() && !trimmed(format_.call_close).empty()) {
      // The end of a message may be cut off with the token that ends it.
      const std::string whole = format_.call_close + format_.section_close;
      if (!std::string_view(whole).starts_with(trimmed(text_.substr(at_)))) fail("a call is not closed", at_);
    }
    return found;
  }

  Json json_at(std::size_t at) {
    const std::size_t end = at < text_.size() && text_[at] == '{' ? json_end(text_, at) : kNone;
    if (end == kNone) fail(at < text_.size() && text_[at] == '{' ? "JSON that does not end" : "JSON was expected", at);
    at_ = end;
    try {
      return Json::parse(text_.substr(at, end - at), "call");
    } catch (const Error& error) {
      fail(error.message(), at);
    }
  }

  // Some models write the object as a string, as OpenAI's API has it.
  std::string arguments_text(const Json& value, std::size_t at) const {
    if (value.is_object()) return value.dump();
    try {
      if (value.is_string() && Json::parse(value.as_string(), "arguments").is_object()) return value.as_string();
    } catch (const Error&) {
    }
    fail("arguments that are no object", at);
  }

  ToolCall of_object(std::size_t at) {
    const Json call = json_at(at);
    if (format_.name_is_key) {
      if (call.as_object().size() != 1) fail("a call of more than one name", at);
      const auto& [name, arguments] = *call.as_object().begin();
      return {.name = name, .arguments = arguments_text(arguments, at)};
    }
    ToolCall found;
    bool named = false, given = false;
    for (const CallMember& member : format_.members) {
      const Json* const value = call.get(member.key);
      if (value == nullptr) continue;
      switch (member.what) {
        case CallMember::What::name:
          if (!value->is_string()) fail("a name that is no string", at);
          found.name = value->as_string();
          named = true;
          break;
        case CallMember::What::arguments:
          found.arguments = arguments_text(*value, at);
          given = true;
          break;
        case CallMember::What::id:
        case CallMember::What::counter: found.id = value->is_string() ? value->as_string() : value->dump(); break;
        case CallMember::What::constant: break;
      }
    }
    if (!named || !given) fail("a call without a name or without arguments", at);
    return found;
  }

  ToolCall of_name(std::size_t at) {
    std::size_t end = at;
    while (end < text_.size() && is_word(text_[end])) ++end;
    if (end == at) fail("a call without a name", at);
    ToolCall found{.name = std::string(text_.substr(at, end - at))};
    const std::size_t next = after(format_.after_name, end);
    if (next == kNone) fail("a name that is not followed by arguments", end);
    if (format_.kind == CallKind::named) {
      found.arguments = json_at(skip_blanks(next)).dump();
    } else {
      found.arguments = pairs(next, schema_of(found.name)).dump();
    }
    return found;
  }

  // ---- arguments between marks ----

  Json schema_of(std::string_view name) const {
    if (!tools_.is_array()) return {};
    for (const Json& tool : tools_.as_array()) {
      const Json& function = function_of(tool);
      if (function.string_or("name", "") != name) continue;
      const Json* const parameters = function.get("parameters");
      const Json* const properties = parameters == nullptr ? nullptr : parameters->get("properties");
      return properties == nullptr ? Json() : *properties;
    }
    return {};
  }

  Json pairs(std::size_t at, const Json& schemas) {
    JsonObject out;
    at_ = at;
    while (true) {
      const std::size_t closed = after(format_.call_close, at_);
      if (closed != kNone && !trimmed(format_.call_close).empty() && format_.key_open.empty()) break;
      const std::string separator = out.size() == 0 ? std::string() : format_.pair_separator;
      const std::size_t key = after(separator + format_.key_open, at_);
      if (key == kNone) break;
      const std::size_t begin = skip_blanks(key);
      std::size_t end = begin;
      while (end < text_.size() && is_word(text_[end])) ++end;
      if (end == begin) break;
      const std::string name(text_.substr(begin, end - begin));
      out[name] = value_at(end, name, schemas.is_object() ? schemas.get(name) : nullptr);
    }
    return out;
  }

  Json value_at(std::size_t key_end, std::string_view key, const Json* schema) {
    const auto wanted = schema == nullptr ? std::optional<ValueType>() : value_type(*schema);
    std::size_t best = kNone;
    const ValueMarks* marks = nullptr;
    const auto consider = [&](ValueType type) {
      const ValueMarks& one = format_.marks(type);
      const std::size_t begin = one.known ? after(one.key_close, key_end) : kNone;
      if (begin == kNone || (marks != nullptr && one.key_close.size() <= marks->key_close.size())) return;
      best = begin;
      marks = &one;
    };
    if (wanted && !format_.marks(*wanted).known) {
      throw Error(ErrorKind::unsupported, "the template writes values of this type in a way that is not understood",
                  {.field = std::string(key)});
    }
    if (wanted) consider(*wanted);
    for (std::size_t i = 0; marks == nullptr && i < kValueTypes; ++i) consider(static_cast<ValueType>(i));
    if (!wanted) {
      for (std::size_t i = 0; i < kValueTypes; ++i) consider(static_cast<ValueType>(i));
    }
    if (marks == nullptr) fail("a key that is not followed by a value", key_end);
    return value_between(best, *marks, wanted, key);
  }

  // Strings keep their blanks, but for those that the template writes around them.
  Json value_between(std::size_t begin, const ValueMarks& marks, std::optional<ValueType> wanted,
                     std::string_view key) {
    const std::string_view opening = marks.key_close;
    const std::string_view behind = opening.substr(opening.find_last_not_of(kBlanks) + 1);
    if (text_.substr(begin, behind.size()) == behind) begin += behind.size();
    const bool own = !marks.value_close.empty();
    if (!own && !wanted_string(wanted)) {
      at_ = scalar_end(begin);
      if (at_ == kNone) fail("a value that does not end", begin);
      return typed(text_.substr(begin, at_ - begin), marks, wanted);
    }
    std::string close = own ? marks.value_close : following_mark();
    for (std::size_t i = close.find(kKeyHole); i != kNone; i = close.find(kKeyHole)) close.replace(i, 1, key);
    const std::string_view solid = trimmed(close);
    const std::string_view before = std::string_view(close).substr(0, close.find_first_not_of(kBlanks));
    std::size_t end = solid.empty() ? kNone : text_.find(solid, begin);
    if (end == kNone) fail("a value that does not end", begin);
    const auto next = [&](std::size_t at) { return own ? at + solid.size() : at; };
    for (std::size_t at = end; at != kNone; at = text_.find(solid, at + 1)) {
      if (!goes_on(next(at))) continue;
      end = at;
      break;
    }
    at_ = next(end);
    std::string_view value = text_.substr(begin, end - begin);
    if (value.ends_with(before)) value.remove_suffix(before.size());
    return typed(value, marks, wanted);
  }

  /// Whether what stands behind a value is another argument, or the end of the call: what closes a value may stand in
  /// it too.
  bool goes_on(std::size_t at) {
    if (after(format_.call_close, at) != kNone && !trimmed(format_.call_close).empty()) return true;
    const std::size_t key = after(format_.pair_separator + format_.key_open, at);
    if (key == kNone) return false;
    std::size_t end = skip_blanks(key);
    const std::size_t begin = end;
    while (end < text_.size() && is_word(text_[end])) ++end;
    if (end == begin) return false;
    return std::any_of(format_.values.begin(), format_.values.end(),
                       [&](const ValueMarks& one) { return one.known && after(one.key_close, end) != kNone; });
  }

  static bool wanted_string(const std::optional<ValueType>& wanted) { return wanted && *wanted == ValueType::string; }

  /// What stands behind a value that has no mark of its own.
  std::string following_mark() const {
    return format_.pair_separator.empty() ? format_.call_close : format_.pair_separator;
  }

  std::size_t scalar_end(std::size_t at) const {
    if (at < text_.size() && (text_[at] == '{' || text_[at] == '[')) return json_end(text_, at);
    const std::size_t end = text_.find_first_of(",)}]<\n", at);
    return end == kNone ? text_.size() : end;
  }

  Json typed(std::string_view value, const ValueMarks& marks, std::optional<ValueType> wanted) const {
    const ValueMarks& strings = format_.marks(ValueType::string);
    const bool only_strings = &marks == &strings && !wanted && differs(strings);
    if (wanted_string(wanted) || only_strings) return std::string(value);
    const std::string_view solid = trimmed(value);
    if (format_.python && (solid == "True" || solid == "False")) return solid == "True";
    if (format_.python && solid == "None") return {};
    try {
      const Json parsed = Json::parse(solid, "value");
      if (wanted && type_of(parsed) == ValueType::string && *wanted != ValueType::string) return std::string(value);
      return parsed;
    } catch (const Error&) {
      return std::string(value);
    }
  }

  // Whether strings are told from the rest by their marks.
  bool differs(const ValueMarks& strings) const {
    const ValueMarks& numbers = format_.marks(ValueType::integer);
    return numbers.known && (numbers.key_close != strings.key_close || numbers.value_close != strings.value_close);
  }

  const ToolCallFormat::Impl& format_;
  std::string_view text_;
  Json tools_;
  std::size_t at_ = 0;  // behind what was read last
  std::string id_{};
};

}  // namespace

ParsedMessage ToolCallFormat::parse(std::string_view text, std::string_view tools) const {
  return Parser(*impl_, text, tools).run();
}

}  // namespace powerhouse
