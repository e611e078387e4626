// Conversations and the templates that turn them into a prompt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// One turn of a conversation. For tool calls and other keys use ChatTemplate::render with JSON messages.
struct Message {
  std::string role;     ///< "system", "user", "assistant", "tool"
  std::string content;  ///< UTF-8 text
};

/// Names and meanings are those of transformers' apply_chat_template.
struct RenderOptions {
  bool add_generation_prompt = false;  ///< end with the opening of the assistant's turn
  std::string tools{};                 ///< JSON array of tool schemas; empty means none
  std::string documents{};             ///< JSON array of documents; empty means none
  std::string variables{};             ///< JSON object: further template variables, e.g. {"enable_thinking": false}
  /// Leave the last message open, so that the model goes on with it: the key of the text to continue, "content" as a
  /// rule; empty is off. Not together with add_generation_prompt.
  std::string continue_final_message{};
  /// Leave out keys of messages that hold null, as apply_chat_template does; else templates see them as none.
  bool omit_null = false;
  /// ChatTemplate::encode also tells which tokens the assistant wrote. Not together with continue_final_message.
  bool return_assistant_tokens_mask = false;
};

/// Bytes begin to end (exclusive) of a text.
struct TextSpan {
  std::size_t begin = 0, end = 0;
  bool operator==(const TextSpan&) const = default;
};

struct RenderedChat {
  std::string text;
  /// What {% generation %} blocks wrote, in the order in which they ended. A block inside a macro, a call or filter
  /// block or a recursive loop counts from where that began, as in transformers; no span leaves the text.
  std::vector<TextSpan> assistant_spans;
};

struct EncodedChat {
  std::string text;
  std::vector<std::int64_t> ids;
  /// 1 for each token of the assistant, else 0; empty where it was not asked for.
  std::vector<std::uint8_t> assistant_mask;
};

/// A compiled chat template: the Jinja that transformers' `apply_chat_template` runs, in the same sandboxed dialect
/// (trim_blocks and lstrip_blocks on, `tools` and `documents` defined and none where absent). Rendering is bounded in
/// time, depth and output and reaches nothing outside its inputs. Copies share the compiled form.
class POWERHOUSE_API ChatTemplate {
 public:
  /// Compiles `source`. `special_tokens` is a JSON object of variables such as bos_token (Tokenizer's
  /// special_tokens_json); empty means none. Throws Error{format} with line and column.
  explicit ChatTemplate(std::string_view source, std::string_view special_tokens = {});
  /// The tokenizer's template of that name; of several without a name, `default`, or `tool_use` where a rendering has
  /// tools. Error{not_found} where it has none.
  static ChatTemplate from_tokenizer(const Tokenizer& tokenizer, std::string_view name = {});
  /// A format for models whose files carry no template, by name: "chatml", "alpaca", "llama2" ... (chat_format_names).
  /// Without `special_tokens` those of the models that the format is known from. Error{not_found} lists the names.
  static ChatTemplate from_format(std::string_view name, std::string_view special_tokens = {});

  ChatTemplate(const ChatTemplate&);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(const ChatTemplate&);
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  /// The prompt text. Encode it with add_special_tokens = false: the template wrote them.
  /// A template's raise_exception, and every run-time error of it, is Error{format} with its message and line.
  std::string render(std::span<const Message> messages, const RenderOptions& options = {}) const;
  /// The same for messages given as a JSON array of objects (tool calls, content parts, any extra key).
  std::string render(std::string_view messages_json, const RenderOptions& options = {}) const;
  /// The text and where the assistant wrote it.
  RenderedChat render_with_spans(std::string_view messages_json, const RenderOptions& options = {}) const;
  /// The text, its ids and, if asked for, the assistant's mask: a token is the assistant's where its characters are.
  EncodedChat encode(const Tokenizer& tokenizer, std::string_view messages_json,
                     const RenderOptions& options = {}) const;

  /// The template's source; of several, that of the one without tools.
  const std::string& source() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

/// The names that ChatTemplate::from_format takes.
POWERHOUSE_API std::vector<std::string> chat_format_names();

/// What is odd about a template and its tokenizer, one sentence each, found by rendering small conversations: a second
/// BOS, no end of the assistant's turn, a system message or generation prompt that is ignored, turns that get lost.
POWERHOUSE_API std::vector<std::string> lint_chat_template(const ChatTemplate& chat_template,
                                                           const Tokenizer* tokenizer = nullptr);

}  // namespace powerhouse
