// A reward model as a reward function: it reads completions as its training read texts.
#include <optional>

#include "powerhouse/online.h"
#include "powerhouse/reward_model.h"
#include "support/json.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kPassTokens = 4096;

// `chat_template` is compiled when the first conversation needs it.
std::vector<std::int64_t> whole_text(const Completion& completion, const Tokenizer& tokenizer,
                                     std::optional<ChatTemplate>& chat_template) {
  if (!completion.conversational) {
    const auto eos = tokenizer.eos_token_id();
    const std::string end = completion.ended && eos ? tokenizer.id_to_token(*eos) : "";
    return tokenizer.encode(completion.prompt + completion.text + end);
  }
  Json messages = Json::parse(completion.prompt, "prompt");
  JsonObject answer;
  answer["role"] = "assistant";
  answer["content"] = completion.text;
  messages.as_array().emplace_back(std::move(answer));
  if (!chat_template) chat_template = ChatTemplate::from_tokenizer(tokenizer);
  return chat_template->encode(tokenizer, messages.dump(), {.omit_null = true}).ids;
}

}  // namespace

RewardFunction reward_function(std::string name, const SequenceClassifier& model, Tokenizer tokenizer) {
  const auto judge = [&model, tokenizer = std::move(tokenizer)](std::span<const Completion> completions) {
    std::vector<double> out;
    std::optional<ChatTemplate> chat_template;
    TokenBatch batch;
    const auto flush = [&] {
      if (batch.documents() == 0) return;
      const std::vector<double> part = rewards(model, batch);
      out.insert(out.end(), part.begin(), part.end());
      batch = {};
    };
    for (const Completion& one : completions) {
      const std::vector<std::int64_t> ids = whole_text(one, tokenizer, chat_template);
      if (batch.rows() + std::ssize(ids) > kPassTokens) flush();
      batch.add(ids);
    }
    flush();
    return out;
  };
  return {std::move(name), judge};
}

}  // namespace powerhouse
