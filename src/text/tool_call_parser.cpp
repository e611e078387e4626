// Reads calls: marks are found whatever blanks stand in and around them, JSON is read as JSON.
#include <algorithm>
#include <optional>

#include "powerhouse/error.h"
#include "text/marked_text.h"

namespace powerhouse {

namespace {

class Parser : MarkedText {
 public:
  Parser(const ToolCallFormat::Impl& format, std::string_view text, std::string_view tools, bool cut_off)
      : MarkedText(text),
        format_(format),
        tools_(tools.empty() ? Json() : Json::parse(tools, "tools")),
        cut_off_(cut_off) {}

  ParsedMessage run() {
    ParsedMessage message;
    const std::string first = format_.section_open + format_.call_open;
    std::size_t at = begin_of(first);
    if (at == kNone) {
      const std::size_t begun = cut_off_ ? begun_call() : text_.size();
      message.content = content(text_.substr(0, begun));
      message.unfinished = text_.substr(begun);
      return message;
    }
    message.content = content(text_.substr(0, at));
    at_ = at;
    at = after(first, at);
    while (true) {
      const std::size_t before = at_;
      try {
        message.calls.push_back(call(at));
      } catch (const Error& error) {
        if (!cut_off_ || error.kind() != ErrorKind::format) throw;
        message.unfinished = trimmed(text_.substr(before));
        return message;
      }
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
    if (cut_off_) {
      message.unfinished = rest;
      return message;
    }
    if (!rest.empty() && !message.content.empty()) message.content += "\n";
    message.content += rest;
    return message;
  }

 private:
  std::string content(std::string_view part) const {
    part = trimmed(part);
    const std::string_view end = trimmed(format_.turn_end);
    if (!end.empty() && part.ends_with(end)) part = trimmed(part.substr(0, part.size() - end.size()));
    return std::string(part);
  }

  /// Where the text's end begins as a call does; its size where it does not.
  std::size_t begun_call() const {
    const std::string solid = format_.trigger();
    if (const std::size_t at = skip_blanks(0); solid.empty() && at < text_.size() && text_[at] == '{') {
      return json_end(text_, at) == kNone ? at : text_.size();  // without marks, an object may be a call
    }
    for (std::size_t size = std::min(solid.size(), text_.size()); size > 0; --size) {
      if (text_.ends_with(std::string_view(solid).substr(0, size))) return text_.size() - size;
    }
    return text_.size();
  }

  /// Whether what stands at `at` looks like a call: without marks, text may begin as one.
  bool opens_call(std::size_t at) {
    at = skip_blanks(at);
    if (format_.kind == CallKind::object) return at < text_.size() && text_[at] == '{';
    const std::size_t end = skip_word(at);
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
    } else if (!trimmed(format_.call_close).empty() && !may_be_closed(trimmed(text_.substr(at_)))) {
      fail("a call is not closed", at_);
    }
    return found;
  }

  /// The end of a message may be cut off with the token that ends it: JSON is whole without; arguments between marks
  /// are where no other can follow.
  bool may_be_closed(std::string_view rest) const {
    const std::string close = format_.call_close + format_.section_close,
                      next = format_.pair_separator + format_.key_open;
    if (!trimmed(close).starts_with(rest)) return false;
    return format_.kind != CallKind::tagged || (!rest.empty() && !trimmed(next).starts_with(rest));
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
    const std::size_t end = skip_word(at);
    if (end == at) fail("a call without a name", at);
    ToolCall found{.name = std::string(text_.substr(at, end - at))};
    const std::size_t next = after(format_.after_name, end);
    if (next == kNone) fail("a name that is not followed by arguments", end);
    if (format_.kind == CallKind::named) {
      found.arguments = json_at(skip_blanks(next)).dump();
    } else {
      at_ = next;
      found.arguments = read_tagged_arguments(format_, text_, at_, parameters_of(found.name)).dump();
    }
    return found;
  }

  Json parameters_of(std::string_view name) const {
    if (!tools_.is_array()) return {};
    for (const Json& tool : tools_.as_array()) {
      const Json& function = function_of(tool);
      if (function.string_or("name", "") != name) continue;
      const Json* const parameters = function.get("parameters");
      return parameters == nullptr ? Json() : *parameters;
    }
    return {};
  }

  const ToolCallFormat::Impl& format_;
  Json tools_;
  bool cut_off_;
};

}  // namespace

ParsedMessage ToolCallFormat::parse(std::string_view text, std::string_view tools, bool cut_off) const {
  return Parser(*impl_, text, tools, cut_off).run();
}

}  // namespace powerhouse
