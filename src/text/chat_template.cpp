// ChatTemplate: the public face of the Jinja interpreter. Sets up the variables that transformers passes, runs the
// template within its budget, and turns failures into Errors that name the line.
#include <new>
#include <optional>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "text/assistant_mask.h"
#include "text/chat_inputs.h"
#include "text/chat_template_impl.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace powerhouse {

using jinja::Budget;
using jinja::Mapping;
using jinja::Value;
using jinja::Values;

namespace {

Value to_value(Budget& budget, const Json& json) {
  if (json.is_bool()) return Value::boolean(json.as_bool());
  if (json.is_integer()) return Value::integer(json.as_integer());
  if (const std::string* digits = json.wide_integer())
    return make_integer(&budget, jinja::BigInteger(std::string_view(*digits)));
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

bool is_reserved(std::string_view name) {
  return name == "messages" || name == "tools" || name == "documents" || name == "add_generation_prompt";
}

void check(const RenderOptions& options, bool spans) {
  const auto refuse = [](const char* other) {
    throw Error(ErrorKind::usage, "not together with continue_final_message", {.field = other});
  };
  if (options.continue_final_message.empty()) return;
  if (options.add_generation_prompt) refuse("add_generation_prompt");
  if (spans || options.return_assistant_tokens_mask) refuse("return_assistant_tokens_mask");
}

Json::Array parse_messages(std::string_view text) {
  Json messages = parse_chat_objects(text, "messages");
  if (messages.is_null()) throw Error(ErrorKind::format, "not a JSON array", {.field = "messages", .found = "null"});
  return std::move(messages.as_array());
}

std::size_t size_of(std::span<const Message> messages) {
  std::size_t bytes = 0;
  for (const Message& message : messages) bytes += message.role.size() + message.content.size();
  return bytes;
}

// Spans count code points; the text's user counts bytes.
std::vector<TextSpan> byte_spans(std::string_view text,
                                 std::span<const std::pair<std::size_t, std::size_t>> generations) {
  const CodePointOffsets offsets(text);
  std::vector<TextSpan> spans;
  spans.reserve(generations.size());
  for (const auto& [begin, end] : generations) {
    spans.push_back({offsets.byte_of(begin), offsets.byte_of(end)});
  }
  return spans;
}

}  // namespace

ChatTemplate::Impl::Rendering ChatTemplate::Impl::render(Json::Array messages, std::size_t message_bytes,
                                                         const RenderOptions& options) const {
  const Json tools = parse_chat_objects(options.tools, "tools");
  const Compiled& compiled = choose(!tools.is_null());
  Budget budget(compiled.source.size() + message_bytes + options.tools.size() + options.documents.size() +
                options.variables.size());
  prepare_messages(messages, options.omit_null);
  std::optional<ContinuationMark> continuation;
  if (!options.continue_final_message.empty()) {
    continuation.emplace(messages, options.continue_final_message, compiled.source);
  }
  std::uint32_t line = 0;
  try {
    Mapping variables;
    const auto set = [&](std::string_view name, const Json& value) {
      variables.set(budget, make_text(&budget, std::string(name)), to_value(budget, value));
    };
    for (const auto& [name, value] : special_tokens) set(name, value);
    for (const auto& [name, value] : parse_chat_object(options.variables, "variables")) {
      if (is_reserved(name)) throw Error(ErrorKind::usage, "a variable that the renderer sets", {.field = name});
      set(name, value);
    }
    set("messages", Json(std::move(messages)));
    // Absent tools and documents are defined, and none.
    set("tools", tools);
    set("documents", parse_chat_objects(options.documents, "documents"));
    set("add_generation_prompt", Json(options.add_generation_prompt));
    jinja::Interpreter interpreter(budget, variables);
    try {
      Rendering out;
      out.text = interpreter.render(*compiled.parsed);
      out.generations = interpreter.generations();
      if (continuation) out.text = continuation->cut(std::move(out.text));
      return out;
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

ChatTemplate::ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(const ChatTemplate&) = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(const ChatTemplate&) = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(std::span<const Message> messages, const RenderOptions& options) const {
  check(options, false);
  return impl_->render(messages_as_json(messages), size_of(messages), options).text;
}

std::string ChatTemplate::render(std::string_view messages_json, const RenderOptions& options) const {
  check(options, false);
  return impl_->render(parse_messages(messages_json), messages_json.size(), options).text;
}

RenderedChat ChatTemplate::render_with_spans(std::string_view messages_json, const RenderOptions& options) const {
  check(options, true);
  Impl::Rendering rendering = impl_->render(parse_messages(messages_json), messages_json.size(), options);
  std::vector<TextSpan> spans = byte_spans(rendering.text, rendering.generations);
  return {.text = std::move(rendering.text), .assistant_spans = std::move(spans)};
}

EncodedChat ChatTemplate::encode(const Tokenizer& tokenizer, std::string_view messages_json,
                                 const RenderOptions& options) const {
  check(options, false);
  Impl::Rendering rendering = impl_->render(parse_messages(messages_json), messages_json.size(), options);
  EncodedChat out{.text = std::move(rendering.text), .ids = {}, .assistant_mask = {}};
  if (!options.return_assistant_tokens_mask) {
    out.ids = tokenizer.encode(out.text, {.add_special_tokens = false});
    return out;
  }
  if (source().find("generation") == std::string::npos && !impl_->warned.test_and_set()) {
    log(LogLevel::warning, "the chat template has no {% generation %} block: no token counts as the assistant's");
  }
  Encoding encoding = tokenizer.encode_full(out.text, {.add_special_tokens = false});
  out.ids = std::move(encoding.ids);
  out.assistant_mask = assistant_tokens(encoding.offsets, rendering.generations);
  return out;
}

const std::string& ChatTemplate::source() const {
  return impl_->main.parsed ? impl_->main.source : impl_->with_tools.source;
}

}  // namespace powerhouse
