// A row's conversation as the chat template takes it: keys and roles renamed, tool calls parsed.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "powerhouse/chat.h"
#include "powerhouse/dataset.h"
#include "support/json.h"

namespace powerhouse::training {

struct Conversation {
  Json::Array messages;
  std::string tools;  // JSON text; empty means none
};

class ChatMessages {
 public:
  /// Fills in sharegpt's names where the source has none of its own.
  explicit ChatMessages(const DatasetSource& source);

  /// Error{format} names the message and the key.
  Conversation read(const Json& columns) const;
  /// The template's name of a role.
  std::string role(std::string_view name) const;

 private:
  Json message(const Json& row_message, std::size_t index) const;
  std::string tools(const Json& columns) const;

  std::string field_messages_, field_tools_, field_system_;
  std::vector<std::pair<std::string, std::string>> properties_;
  std::vector<std::pair<std::string, std::vector<std::string>>> roles_;
};

/// Appends messages to a row's content, what they say apart from their roles and other keys.
void append_messages(std::string& content, const Json::Array& messages);

/// The template that options and source name. Error{not_found, usage} where there is none.
ChatTemplate chat_template_of(const Tokenizer& tokenizer, const DatasetSource& source, const DatasetOptions& options);

/// The same, made when the first row needs it: data without conversations go without a template. Safe from several
/// threads.
class LazyChatTemplate {
 public:
  LazyChatTemplate(const Tokenizer& tokenizer, const DatasetSource& source, const DatasetOptions& options)
      : tokenizer_(tokenizer), source_(source), options_(options) {}
  const ChatTemplate& get() const {
    std::call_once(made_, [&] { template_ = chat_template_of(tokenizer_, source_, options_); });
    return *template_;
  }

 private:
  Tokenizer tokenizer_;
  DatasetSource source_;
  DatasetOptions options_;
  mutable std::once_flag made_;
  mutable std::optional<ChatTemplate> template_;
};

}  // namespace powerhouse::training
