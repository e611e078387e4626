// A column that is a text or a list of messages, as ids: a text with the tokenizer's special tokens, messages through
// the chat template.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "training/data/chat_messages.h"

namespace powerhouse::training {

/// A value as it is where it is a text, else as JSON.
std::string as_text(const Json& value);

class TextOrMessages {
 public:
  /// `generation_prompt`: messages get the opening of the assistant's turn behind.
  TextOrMessages(const Tokenizer& tokenizer, const DatasetSource& source, std::string column,
                 const std::string& chat_template, bool generation_prompt);

  /// Safe from several threads. Error{format} for a column that is neither, and where there are no tokens.
  std::vector<std::int64_t> encode(const Json& columns) const;

 private:
  Tokenizer tokenizer_;
  std::string column_;
  ChatMessages messages_;
  LazyChatTemplate template_;
  bool generation_prompt_;
};

}  // namespace powerhouse::training
