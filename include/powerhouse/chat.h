// Conversations and the templates that turn them into a prompt.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "powerhouse/export.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// One turn of a conversation. For tool calls and other keys use ChatTemplate::render with JSON messages.
struct Message {
  std::string role;     ///< "system", "user", "assistant", "tool"
  std::string content;  ///< UTF-8 text
};

struct RenderOptions {
  /// End with the opening of the assistant's turn. transformers' `add_generation_prompt`.
  bool add_generation_prompt = false;
  std::string tools{};      ///< JSON array of tool schemas; empty means none
  std::string documents{};  ///< JSON array of documents; empty means none
  std::string variables{};  ///< JSON object: further template variables, e.g. {"enable_thinking": false}
};

/// A compiled chat template: the Jinja that transformers' `apply_chat_template` runs, in the same sandboxed dialect
/// (trim_blocks and lstrip_blocks on, `tools` and `documents` defined and none where absent). Rendering is bounded in
/// time, depth and output and reaches nothing outside its inputs. Copies share the compiled form.
class POWERHOUSE_API ChatTemplate {
 public:
  /// Compiles `source`. `special_tokens` is a JSON object of variables such as bos_token (Tokenizer's
  /// special_tokens_json); empty means none. Throws Error{format} with line and column.
  explicit ChatTemplate(std::string_view source, std::string_view special_tokens = {});
  /// The tokenizer's own template. Error{not_found} where it has none.
  static ChatTemplate from_tokenizer(const Tokenizer& tokenizer);

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

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace powerhouse
