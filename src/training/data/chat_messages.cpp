// Reads a row's messages, and finds the chat template for them.
#include "training/data/chat_messages.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "training/data/columns.h"

namespace powerhouse::training {
namespace {

// Arguments of calls are often JSON in a string; templates take the object.
void parse_tool_calls(Json& message) {
  Json* const calls = message.as_object().find("tool_calls");
  if (calls == nullptr || !calls->is_array()) return;
  for (Json& call : calls->as_array()) {
    if (!call.is_object()) continue;
    Json* const function = call.as_object().find("function");
    Json* const arguments =
        function != nullptr && function->is_object() ? function->as_object().find("arguments") : nullptr;
    if (arguments != nullptr && arguments->is_string()) {
      *arguments = Json::parse(arguments->as_string(), "tool_calls.function.arguments");
    }
  }
}

}  // namespace

ChatMessages::ChatMessages(const DatasetSource& source)
    : field_messages_(source.field_messages),
      field_tools_(source.field_tools),
      field_system_(source.field_system),
      properties_(source.message_property_mappings),
      roles_(source.roles) {
  const bool sharegpt = source.type == "sharegpt";
  if (field_messages_.empty()) field_messages_ = sharegpt ? "conversations" : "messages";
  if (properties_.empty()) {
    properties_ = sharegpt ? decltype(properties_){{"role", "from"}, {"content", "value"}}
                           : decltype(properties_){{"role", "role"}, {"content", "content"}};
  }
  if (roles_.empty()) roles_ = {{"user", {"human", "user"}}, {"assistant", {"gpt", "assistant"}}};
}

std::string ChatMessages::role(std::string_view name) const {
  for (const auto& [target, names] : roles_) {
    if (std::find(names.begin(), names.end(), name) != names.end()) return target;
  }
  return std::string(name);
}

Json ChatMessages::message(const Json& row_message, std::size_t index) const {
  const std::string where = field_messages_ + "[" + std::to_string(index) + "]";
  if (!row_message.is_object()) {
    throw Error(ErrorKind::format, "wrong type",
                {.field = where, .expected = "an object", .found = std::string(row_message.type_name())});
  }
  JsonObject out;
  for (const auto& [key, from] : properties_) {
    if (const Json* value = row_message.get(from)) out[key] = *value;
  }
  // What the mapping does not name goes along: templates read tool_calls, names, thoughts.
  for (const auto& [key, value] : row_message.as_object()) {
    const bool mapped = std::any_of(properties_.begin(), properties_.end(),
                                    [&name = key](const auto& property) { return property.second == name; });
    if (!mapped && !value.is_null() && out.find(key) == nullptr) out[key] = value;
  }
  Json* const role_name = out.find("role");
  if (role_name == nullptr || !role_name->is_string()) {
    const auto source = std::find_if(properties_.begin(), properties_.end(),
                                     [](const auto& property) { return property.first == "role"; });
    throw Error(ErrorKind::format, "a message without a role",
                {.field = where,
                 .expected = source == properties_.end() ? "role" : source->second,
                 .found = "keys " + column_names(row_message)});
  }
  *role_name = Json(role(role_name->as_string()));
  if (out.find("content") == nullptr && out.find("tool_calls") == nullptr) {
    throw Error(ErrorKind::format, "a message without content",
                {.field = where, .expected = {}, .found = "keys " + column_names(row_message)});
  }
  Json result(std::move(out));
  parse_tool_calls(result);
  return result;
}

std::string ChatMessages::tools(const Json& columns) const {
  const Json* const value = columns.get(field_tools_);
  if (value == nullptr || (value->is_string() && value->as_string().empty())) return {};
  Json tools = value->is_string() ? Json::parse(value->as_string(), field_tools_) : *value;
  if (!tools.is_array()) {
    throw Error(ErrorKind::format, "wrong type",
                {.field = field_tools_, .expected = "an array", .found = std::string(tools.type_name())});
  }
  return tools.as_array().empty() ? std::string() : tools.dump();
}

Conversation ChatMessages::read(const Json& columns) const {
  Conversation out;
  const Json::Array messages = array_column(columns, field_messages_);
  if (messages.empty()) {
    throw Error(ErrorKind::format, "a conversation without messages", {.field = field_messages_});
  }
  for (std::size_t i = 0; i < messages.size(); ++i) out.messages.push_back(message(messages[i], i));
  if (const std::string system = optional_text(columns, field_system_);
      !system.empty() && out.messages.front().at("role").as_string() != "system") {
    JsonObject turn;
    turn["role"] = "system";
    turn["content"] = system;
    out.messages.insert(out.messages.begin(), Json(std::move(turn)));
  }
  out.tools = tools(columns);
  return out;
}

void append_messages(std::string& content, const Json::Array& messages) {
  for (const Json& message : messages) {
    for (const auto& [key, value] : message.as_object()) {
      append_part(content, key);
      append_part(content, value.is_string() ? value.as_string() : value.dump());
    }
  }
}

ChatTemplate chat_template_of(const Tokenizer& tokenizer, const DatasetSource& source, const DatasetOptions& options) {
  std::string name = source.chat_template.empty() ? options.chat_template : source.chat_template;
  constexpr std::string_view kFallback = "tokenizer_default_fallback_";
  if (name.starts_with(kFallback)) {
    name = tokenizer.chat_template_names().empty() ? name.substr(kFallback.size()) : "";
  }
  if (name.empty() || name == "tokenizer_default") {
    if (tokenizer.chat_template_names().empty()) {
      throw Error(ErrorKind::not_found, "the tokenizer has no chat template; name one",
                  {.file = source.path, .field = "chat_template", .expected = "chatml, say", .found = name});
    }
    return ChatTemplate::from_tokenizer(tokenizer);
  }
  if (name.find("{{") != std::string::npos || name.find("{%") != std::string::npos) {
    return ChatTemplate(name, tokenizer.special_tokens_json());
  }
  return ChatTemplate::from_format(name, tokenizer.special_tokens_json());
}

}  // namespace powerhouse::training
