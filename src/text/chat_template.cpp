// ChatTemplate: the public face of the Jinja interpreter. Sets up the variables that transformers passes, runs the
// template within its budget, and turns failures into Errors that name the line.
#include <new>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "support/json.h"
#include "support/utf8.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace powerhouse {

using jinja::Budget;
using jinja::Mapping;
using jinja::Value;
using jinja::Values;

struct ChatTemplate::Impl {
  std::unique_ptr<const jinja::Template> parsed;
  JsonObject special_tokens;
  std::size_t bytes = 0;

  std::string render(const Json& messages, std::size_t message_bytes, const RenderOptions& options) const;
};

namespace {

Value to_value(Budget& budget, const Json& json) {
  if (json.is_bool()) return Value::boolean(json.as_bool());
  if (json.is_integer()) return Value::integer(json.as_integer());
  if (json.is_double()) return Value::real(json.as_double());
  if (json.is_string()) return make_text(&budget, json.as_string());
  if (json.is_array()) {
    Values items;
    items.reserve(json.as_array().size());
    for (const Json& item : json.as_array()) items.push_back(to_value(budget, item));
    return make_list(&budget, std::move(items));
  }
  if (json.is_object()) {
    auto mapping = std::make_shared<Mapping>();
    for (const auto& [key, value] : json.as_object()) {
      mapping->set(budget, make_text(&budget, key), to_value(budget, value));
    }
    return make_dict(&budget, std::move(mapping));
  }
  return Value::none();
}

JsonObject parse_object(std::string_view text, std::string_view what) {
  if (text.empty()) return {};
  Json json = Json::parse(text, what);
  if (!json.is_object()) {
    throw Error(ErrorKind::format, "not a JSON object",
                {.field = std::string(what), .found = std::string(json.type_name())});
  }
  return std::move(json.as_object());
}

Json parse_objects(std::string_view text, std::string_view what) {
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

// The same thought under every name that templates know: transformers fills `reasoning_content` from older names,
// and `thinking` for gpt-oss.
Json alias_reasoning(const Json& message) {
  const Json* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (reasoning == nullptr) reasoning = message.get(name);
  }
  if (reasoning == nullptr) return message;
  JsonObject out;
  out["thinking"] = *reasoning;
  for (const auto& [key, value] : message.as_object()) out[key] = value;
  out["reasoning_content"] = Json(*reasoning);
  return Json(std::move(out));
}

bool is_reserved(std::string_view name) {
  return name == "messages" || name == "tools" || name == "documents" || name == "add_generation_prompt";
}

}  // namespace

std::string ChatTemplate::Impl::render(const Json& messages, std::size_t message_bytes,
                                       const RenderOptions& options) const {
  Budget budget(bytes + message_bytes + options.tools.size() + options.documents.size() + options.variables.size());
  std::uint32_t line = 0;
  try {
    Mapping variables;
    const auto set = [&](std::string_view name, const Json& value) {
      variables.set(budget, make_text(&budget, std::string(name)), to_value(budget, value));
    };
    for (const auto& [name, value] : special_tokens) set(name, value);
    for (const auto& [name, value] : parse_object(options.variables, "variables")) {
      if (is_reserved(name)) throw Error(ErrorKind::usage, "a variable that the renderer sets", {.field = name});
      set(name, value);
    }
    Json::Array aliased;
    aliased.reserve(messages.as_array().size());
    for (const Json& message : messages.as_array()) aliased.push_back(alias_reasoning(message));
    set("messages", Json(std::move(aliased)));
    // Absent tools and documents are defined, and none.
    set("tools", parse_objects(options.tools, "tools"));
    set("documents", parse_objects(options.documents, "documents"));
    set("add_generation_prompt", Json(options.add_generation_prompt));
    jinja::Interpreter interpreter(budget, variables);
    try {
      return interpreter.render(*parsed);
    } catch (const jinja::Failure&) {
      line = interpreter.line();
      throw;
    }
  } catch (const jinja::Failure& failure) {
    const std::string where = line == 0 ? "chat template's variables" : "chat template, line " + std::to_string(line);
    throw Error(failure.kind, failure.message, {.field = where});
  } catch (const std::bad_alloc&) {
    throw Error(ErrorKind::memory, "out of memory", {.field = "chat template"});
  }
}

ChatTemplate::ChatTemplate(std::string_view source, std::string_view special_tokens) {
  if (source.size() > jinja::kMaxTemplateBytes) {
    throw Error(
        ErrorKind::range, "too large",
        {.field = "chat template", .expected = "at most 4 MiB", .found = std::to_string(source.size()) + " bytes"});
  }
  auto impl = std::make_shared<Impl>();
  impl->special_tokens = parse_object(special_tokens, "special_tokens");
  impl->parsed = jinja::parse_template(jinja::normalize_source(source));
  impl->bytes = source.size();
  impl_ = std::move(impl);
}

ChatTemplate ChatTemplate::from_tokenizer(const Tokenizer& tokenizer) {
  const std::string source = tokenizer.chat_template();
  if (source.empty()) throw Error(ErrorKind::not_found, "the tokenizer has no chat template");
  return ChatTemplate(source, tokenizer.special_tokens_json());
}

ChatTemplate::ChatTemplate(const ChatTemplate&) = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(const ChatTemplate&) = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(std::span<const Message> messages, const RenderOptions& options) const {
  Json::Array array;
  array.reserve(messages.size());
  std::size_t bytes = 0;
  for (const Message& message : messages) {
    for (const std::string* text : {&message.role, &message.content}) {
      if (const auto bad = find_invalid_utf8(*text)) {
        throw Error(ErrorKind::format, "invalid UTF-8",
                    {.field = "messages[" + std::to_string(array.size()) + "], byte " + std::to_string(*bad)});
      }
    }
    bytes += message.role.size() + message.content.size();
    JsonObject object;
    object["role"] = Json(message.role);
    object["content"] = Json(message.content);
    array.emplace_back(std::move(object));
  }
  return impl_->render(Json(std::move(array)), bytes, options);
}

std::string ChatTemplate::render(std::string_view messages_json, const RenderOptions& options) const {
  Json messages = parse_objects(messages_json, "messages");
  if (messages.is_null()) throw Error(ErrorKind::format, "not a JSON array", {.field = "messages", .found = "null"});
  return impl_->render(messages, messages_json.size(), options);
}

}  // namespace powerhouse
