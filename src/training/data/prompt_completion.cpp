// The shape of TRL's prompt-completion data.
#include <algorithm>
#include <tuple>

#include "powerhouse/chat.h"
#include "training/data/chat_messages.h"
#include "training/data/columns.h"
#include "training/data/shape.h"

namespace powerhouse::training {
namespace {

// prompt and completion, strings or messages (TRL): the completion begins where the tokens of the prompt alone and of
// both together part. EOS behind a completion that is a string.
class PromptCompletion final : public Shape {
 public:
  PromptCompletion(const Tokenizer& tokenizer, const DatasetSource& source, const DatasetOptions& options)
      : tokenizer_(tokenizer),
        options_(options),
        prompt_(part_of(source, "prompt")),
        completion_(part_of(source, "completion")),
        template_(tokenizer, source, options) {
    const Json tokens = Json::parse(tokenizer.special_tokens_json(), "special tokens");
    eos_ = tokens.string_or("eos_token", "");
  }

  ShapedRow apply(const Record& row) const override {
    const Json& prompt = column(row.columns, "prompt");
    std::vector<std::int64_t> prompt_ids, ids;
    ShapedRow out;
    if (prompt.is_array()) {
      std::tie(prompt_ids, ids) = conversational(row);
      out.empty_target = false;
    } else {
      const std::string& text = text_column(row.columns, "prompt");
      std::string completion = text_column(row.columns, "completion");
      out.empty_target = completion.empty();
      if (!completion.ends_with(eos_)) completion += eos_;
      prompt_ids = tokenizer_.encode(text);
      ids = tokenizer_.encode(text + completion);
    }
    const auto parted = std::mismatch(prompt_ids.begin(), prompt_ids.end(), ids.begin(), ids.end()).first;
    const auto prompt_tokens = parted - prompt_ids.begin();
    append_ids(out.example, {ids.begin(), ids.begin() + prompt_tokens}, options_.train_on_inputs);
    append_ids(out.example, {ids.begin() + prompt_tokens, ids.end()}, true);
    if (out.empty_target && !options_.train_on_inputs) out.example.labels.assign(ids.size(), kIgnoredTarget);
    return out;
  }

  std::string content(const Record& row) const override {
    std::string out;
    for (const auto& [name, messages] : {std::pair("prompt", &prompt_), std::pair("completion", &completion_)}) {
      const Json& value = column(row.columns, name);
      append_part(out, name);
      if (value.is_array()) {
        append_messages(out, messages->read(row.columns).messages);
      } else {
        append_part(out, text_column(row.columns, name));
      }
    }
    return out;
  }

 private:
  std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>> conversational(const Record& row) const {
    const Conversation prompt = prompt_.read(row.columns);
    const Conversation completion = completion_.read(row.columns);
    Json::Array both = prompt.messages;
    both.insert(both.end(), completion.messages.begin(), completion.messages.end());
    const ChatTemplate& chat_template = template_.get();
    RenderOptions options{.tools = prompt.tools, .omit_null = true};
    auto ids = chat_template.encode(tokenizer_, Json(both).dump(), options).ids;
    options.add_generation_prompt = true;
    return {chat_template.encode(tokenizer_, Json(prompt.messages).dump(), options).ids, std::move(ids)};
  }

  // Messages in one of the two columns; a system message of its own belongs to the prompt.
  static DatasetSource part_of(DatasetSource source, const std::string& name) {
    source.field_messages = name;
    if (name == "completion") source.field_system.clear();
    return source;
  }

  Tokenizer tokenizer_;
  DatasetOptions options_;
  ChatMessages prompt_, completion_;
  LazyChatTemplate template_;
  std::string eos_;
};

}  // namespace

std::unique_ptr<Shape> make_prompt_completion(const Tokenizer& tokenizer, const DatasetSource& source,
                                              const DatasetOptions& options) {
  return std::make_unique<PromptCompletion>(tokenizer, source, options);
}

}  // namespace powerhouse::training
