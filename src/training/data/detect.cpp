// Which shape a source has: the declared one, or the one that the first row's columns tell.
#include "powerhouse/error.h"
#include "training/data/columns.h"
#include "training/data/shape.h"

namespace powerhouse::training {
namespace {

constexpr std::string_view kRowTypes = "alpaca, sharegpt, chat_template, input_output, completion, prompt_completion";

}  // namespace

std::string detect_shape(const Json& columns, const std::string& path) {
  const auto has = [&](std::string_view name) { return columns.as_object().find(name) != nullptr; };
  if (has("messages")) return "chat_template";
  if (const Json* turns = columns.get("conversations")) {
    const bool array = turns->is_array() && !turns->as_array().empty();
    return array && turns->as_array().front().get("role") != nullptr ? "chat_template" : "sharegpt";
  }
  if (has("instruction") && has("output")) return "alpaca";
  if (has("prompt") && has("completion")) return "prompt_completion";
  if (has("segments")) return "input_output";
  if (has("text")) return "completion";
  throw Error(ErrorKind::format, "no type fits these columns; name one",
              {.file = path,
               .field = "type",
               .expected = "messages, conversations, instruction and output, prompt and completion, segments, or text",
               .found = "columns " + column_names(columns)});
}

std::unique_ptr<Shape> make_shape(const Tokenizer& tokenizer, const DatasetSource& source,
                                  const DatasetOptions& options) {
  if (source.type == "alpaca") return make_alpaca(tokenizer, options);
  if (source.type == "completion") return make_completion(tokenizer, source);
  if (source.type == "input_output") return make_input_output(tokenizer, options);
  if (source.type == "prompt_completion") return make_prompt_completion(tokenizer, source, options);
  if (source.type == "chat_template" || source.type == "sharegpt") return make_chat(tokenizer, source, options);
  throw Error(ErrorKind::usage, "unknown type of data",
              {.file = source.path, .field = "type", .expected = std::string(kRowTypes), .found = source.type});
}

}  // namespace powerhouse::training
