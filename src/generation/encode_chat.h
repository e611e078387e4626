// A conversation as the ids that an answer is generated behind.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "powerhouse/chat.h"

namespace powerhouse {

inline std::vector<std::int64_t> encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                             std::span<const Message> messages) {
  const std::string prompt = chat_template.render(messages, {.add_generation_prompt = true});
  return tokenizer.encode(prompt, {.add_special_tokens = false});  // the template wrote them
}

}  // namespace powerhouse
