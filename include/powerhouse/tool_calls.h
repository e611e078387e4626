// Calls of tools in what an assistant writes: read, and forced, in the format that the model's chat template has for
// them (docs/tool-calls.md).
//
//     const auto format = powerhouse::ToolCallFormat::from_template(chat_template);
//     auto answer = powerhouse::generate(model, tokenizer, prompt,
//                                        {.skip_special_tokens = false,
//                                         .constraint = powerhouse::tool_constraint(tokenizer, format, tools)});
//     for (const auto& call : format.parse(answer.text, tools).calls) run(call.name, call.arguments);
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/chat.h"
#include "powerhouse/constraint.h"
#include "powerhouse/export.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct ToolCall {
  std::string id;  ///< as the model wrote it; empty where the format has none
  std::string name;
  std::string arguments;  ///< the text of a JSON object
  bool operator==(const ToolCall&) const = default;
};

struct ParsedMessage {
  std::string content;  ///< what stands beside the calls, without blanks at its ends and the end of the turn
  std::vector<ToolCall> calls;
  std::string unfinished{};  ///< of a text that was cut off: what begins as a call, or as its mark, and does not end
};

/// How a template writes an assistant's calls. It is learned from what the template makes of small conversations, so
/// that any template will do; copies share it.
class POWERHOUSE_API ToolCallFormat {
 public:
  /// Error{unsupported} for a template that writes no calls, or in a way that its own calls can't be read back from.
  static ToolCallFormat from_template(const ChatTemplate& chat_template);

  /// Reads a message, special tokens shown (skip_special_tokens = false). Blanks between the marks, and blanks and the
  /// order of keys in JSON, may be other than the template's. `tools`, a JSON array of tools as the template takes it,
  /// says of which types values are where the format does not tell. Error{format} with the byte of the text where a
  /// call begins but does not go on as one; a message without calls is all content. `cut_off`: the text may end
  /// anywhere, as where its tokens were up; a call that is not whole is left in `unfinished` then, and no Error.
  ParsedMessage parse(std::string_view text, std::string_view tools = {}, bool cut_off = false) const;

  /// The format in a line, for people: "<tool_call> {"name": NAME, "arguments": ARGUMENTS} </tool_call>".
  std::string describe() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit ToolCallFormat(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

struct ToolChoice {
  bool required = false;  ///< a call must come; else text without one may, and a call is held to the schemas
  std::string name{};     ///< with `required`: of this tool
  bool parallel = true;   ///< more than one call may come, where the template writes several
};

/// Text with calls of these tools, whose arguments follow `parameters`, their JSON schemas. Error{usage} for a list
/// without tools and for a name that is not in it, Error{format} and Error{unsupported} as
/// Constraint::from_json_schema.
POWERHOUSE_API Constraint tool_constraint(const Tokenizer& tokenizer, const ToolCallFormat& format,
                                          std::string_view tools, const ToolChoice& choice = {});

}  // namespace powerhouse
