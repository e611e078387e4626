// Formats for models whose files carry no chat template: each a Jinja template of ours and the special tokens of the
// models that it is known from. {% generation %} marks what the assistant writes, its end of turn included.
#pragma once

#include <string_view>

namespace powerhouse {

struct ChatFormat {
  std::string_view name;
  std::string_view source;
  std::string_view special_tokens;  // JSON
};

/// nullptr where there is none of that name.
const ChatFormat* find_chat_format(std::string_view name);

}  // namespace powerhouse
