#include "text/chat_inputs.h"

#include <algorithm>
#include <vector>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/python_unicode.h"

namespace powerhouse {
namespace {

constexpr std::string_view kMark = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr std::string_view kMarkStripped = kMark.substr(0, kMark.size() - 1);
constexpr const char* kReasoning[] = {"reasoning_content", "thinking", "reasoning"};

bool is_reasoning(std::string_view key) {
  return std::find(std::begin(kReasoning), std::end(kReasoning), key) != std::end(kReasoning);
}

// The same thought under every name that templates know: transformers fills `reasoning_content` from older names,
// and `thinking` for gpt-oss.
JsonObject with_reasoning(JsonObject message) {
  const Json* reasoning = nullptr;
  for (const char* name : kReasoning) {
    const Json* found = message.find(name);
    if (reasoning == nullptr && found != nullptr && !found->is_null()) reasoning = found;
  }
  if (reasoning == nullptr) return message;
  JsonObject out;
  out["thinking"] = *reasoning;
  for (const auto& [key, value] : message) out[key] = value;
  out["reasoning_content"] = Json(*reasoning);
  return out;
}

JsonObject without_null(const JsonObject& message) {
  JsonObject out;
  for (const auto& [key, value] : message) {
    if (!value.is_null()) out[key] = value;
  }
  return out;
}

// str.rstrip(), and lstrip() before it where `both`.
std::string_view stripped(std::string_view text, bool both) {
  std::size_t kept = 0;  // the end of the last character that is no white space
  std::size_t begin = std::string_view::npos;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text.substr(at));
    if (!python_unicode::is_space(step.code_point)) {
      begin = std::min(begin, at);
      kept = at + step.length;
    }
    at += step.length;
  }
  if (!both) begin = 0;
  return kept == 0 ? std::string_view() : text.substr(begin, kept - begin);
}

[[noreturn]] void refuse_continuation(const std::string& message, ErrorKind kind = ErrorKind::usage) {
  throw Error(kind, message, {.field = "continue_final_message"});
}

}  // namespace

JsonObject parse_chat_object(std::string_view text, std::string_view what) {
  if (text.empty()) return {};
  Json json = Json::parse(text, what);
  if (!json.is_object()) {
    throw Error(ErrorKind::format, "not a JSON object",
                {.field = std::string(what), .found = std::string(json.type_name())});
  }
  return std::move(json.as_object());
}

Json parse_chat_objects(std::string_view text, std::string_view what) {
  if (text.empty()) return {};
  Json json = Json::parse(text, what);
  if (json.is_null()) return json;
  if (!json.is_array()) {
    throw Error(ErrorKind::format, "not a JSON array",
                {.field = std::string(what), .found = std::string(json.type_name())});
  }
  std::size_t index = 0;
  for (const Json& item : json.as_array()) {
    if (!item.is_object()) {
      throw Error(
          ErrorKind::format, "not a JSON object",
          {.field = std::string(what) + "[" + std::to_string(index) + "]", .found = std::string(item.type_name())});
    }
    ++index;
  }
  return json;
}

Json::Array messages_as_json(std::span<const Message> messages) {
  Json::Array array;
  array.reserve(messages.size());
  for (const Message& message : messages) {
    for (const std::string* text : {&message.role, &message.content}) {
      if (const auto bad = find_invalid_utf8(*text)) {
        throw Error(ErrorKind::format, "invalid UTF-8",
                    {.field = "messages[" + std::to_string(array.size()) + "], byte " + std::to_string(*bad)});
      }
    }
    JsonObject object;
    object["role"] = Json(message.role);
    object["content"] = Json(message.content);
    array.emplace_back(std::move(object));
  }
  return array;
}

void prepare_messages(Json::Array& messages, bool omit_null) {
  for (Json& message : messages) {
    JsonObject& object = message.as_object();
    if (omit_null) object = without_null(object);
    object = with_reasoning(std::move(object));
  }
}

ContinuationMark::ContinuationMark(Json::Array& messages, std::string_view key, std::string_view source) {
  if (messages.empty()) refuse_continuation("there is no message to continue");
  JsonObject& last = messages.back().as_object();
  const Json* found = last.find(key);
  const std::string name(key);
  if (found == nullptr || found->is_null()) refuse_continuation("the last message has no \"" + name + "\" to continue");
  const Json final_value = *found;
  // Thoughts stand under several names: every copy is marked, and the template may read any of them.
  std::vector<std::string> keys = {name};
  if (is_reasoning(key)) {
    keys.clear();
    for (const char* other : kReasoning) {
      const Json* copy = last.find(other);
      if (copy != nullptr && copy->dump() == final_value.dump()) keys.emplace_back(other);
    }
  }
  const auto named = [source](const std::string& one) { return source.find(one) != std::string_view::npos; };
  if (std::none_of(keys.begin(), keys.end(), named)) refuse_continuation("the template knows no \"" + name + "\"");
  if (final_value.is_string()) {
    final_text_ = final_value.as_string();
    for (const std::string& one : keys) last[one] = Json(final_text_ + std::string(kMark));
    return;
  }
  if (!final_value.is_array()) refuse_continuation("\"" + name + "\" of the last message is no text");
  // Of content in parts, the last text.
  Json::Array& parts = last[key].as_array();
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!part->is_object()) continue;
    Json* text = part->as_object().find("text");
    if (text == nullptr) continue;
    final_text_ = text->as_string("text");
    *text = Json(final_text_ + std::string(kMark));
    return;
  }
  refuse_continuation("the last message has no text to continue");
}

std::string ContinuationMark::cut(std::string rendered) const {
  const std::size_t at = rendered.rfind(kMarkStripped);
  if (at == std::string::npos || rendered.find(stripped(final_text_, true)) == std::string::npos) {
    refuse_continuation("the last message does not appear as it is in what the template makes", ErrorKind::format);
  }
  const bool spacing_kept = std::string_view(rendered).substr(at).starts_with(kMark);
  rendered.resize(at);
  // Where the template trims its texts, the text to continue ends without white space too.
  if (!spacing_kept) rendered.resize(stripped(rendered, false).size());
  return rendered;
}

}  // namespace powerhouse
