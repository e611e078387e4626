// What a rendering is given, made ready for the template as transformers' apply_chat_template does: messages checked,
// the names of thoughts filled in, and the last message marked where the model shall go on with it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "powerhouse/chat.h"
#include "support/json.h"

namespace powerhouse {

/// A JSON object from text; empty text is an empty object. `what` names it in errors.
JsonObject parse_chat_object(std::string_view text, std::string_view what);
/// A JSON array of objects from text; null where the text is empty or says null.
Json parse_chat_objects(std::string_view text, std::string_view what);

/// Messages as JSON. Error{format} names the one whose UTF-8 is invalid.
Json::Array messages_as_json(std::span<const Message> messages);

/// Adds to each message its thoughts under every name that templates know, and drops null members if `omit_null`.
void prepare_messages(Json::Array& messages, bool omit_null);

/// continue_final_message: a mark at the end of the last message's text, where the rendering is then cut.
class ContinuationMark {
 public:
  /// Marks the member `key` of the last message. Error{usage} where there is nothing to continue, or where the
  /// template `source` does not name it.
  ContinuationMark(Json::Array& messages, std::string_view key, std::string_view source);
  /// The rendering up to the mark. Error{format} where the template has lost it.
  std::string cut(std::string rendered) const;

 private:
  std::string final_text_;  // without the mark
};

}  // namespace powerhouse
