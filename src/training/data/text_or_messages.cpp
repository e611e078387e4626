#include "training/data/text_or_messages.h"

#include "powerhouse/error.h"
#include "training/data/columns.h"

namespace powerhouse::training {
namespace {

DatasetSource conversations_in(DatasetSource source, const std::string& column) {
  source.field_messages = column;
  source.field_system.clear();
  return source;
}

}  // namespace

std::string as_text(const Json& value) { return value.is_string() ? value.as_string() : value.dump(); }

TextOrMessages::TextOrMessages(const Tokenizer& tokenizer, const DatasetSource& source, std::string column,
                               const std::string& chat_template, bool generation_prompt)
    : tokenizer_(tokenizer),
      column_(std::move(column)),
      messages_(conversations_in(source, column_)),
      template_(tokenizer, source, DatasetOptions{.chat_template = chat_template}),
      generation_prompt_(generation_prompt) {}

std::vector<std::int64_t> TextOrMessages::encode(const Json& columns) const {
  std::vector<std::int64_t> ids;
  if (column(columns, column_).is_array()) {
    Conversation conversation = messages_.read(columns);
    const RenderOptions options{
        .add_generation_prompt = generation_prompt_, .tools = conversation.tools, .omit_null = true};
    const std::string messages = Json(std::move(conversation.messages)).dump();
    ids = template_.get().encode(tokenizer_, messages, options).ids;
  } else {
    ids = tokenizer_.encode(text_column(columns, column_));
  }
  if (ids.empty()) throw Error(ErrorKind::format, "a " + column_ + " without tokens", {.field = column_});
  return ids;
}

}  // namespace powerhouse::training
