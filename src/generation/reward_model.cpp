#include "powerhouse/reward_model.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void append(std::vector<double>& out, const std::vector<double>& part) {
  out.insert(out.end(), part.begin(), part.end());
}

}  // namespace

std::vector<double> rewards(const SequenceClassifier& model, const TokenBatch& batch) {
  if (model.num_labels() != 1) {
    throw Error(ErrorKind::usage, "a reward is one number",
                {.field = "num_labels", .expected = "1", .found = std::to_string(model.num_labels())});
  }
  const c10::AutoGradMode no_gradients(false);
  const at::Tensor numbers = model.logits(batch).to(at::kDouble).contiguous();
  const auto* data = numbers.const_data_ptr<double>();
  return {data, data + numbers.numel()};
}

std::vector<double> rewards(const SequenceClassifier& model, const Tokenizer& tokenizer,
                            std::span<const std::vector<Message>> conversations, std::int64_t pass_tokens) {
  const ChatTemplate chat_template = ChatTemplate::from_tokenizer(tokenizer);
  std::vector<double> out;
  TokenBatch batch;
  for (const std::vector<Message>& conversation : conversations) {
    const std::vector<std::int64_t> ids =
        tokenizer.encode(chat_template.render(conversation), {.add_special_tokens = false});  // the template wrote them
    if (batch.documents() > 0 && batch.rows() + std::ssize(ids) > pass_tokens) {
      append(out, rewards(model, batch));
      batch = {};
    }
    batch.add(ids);
  }
  if (batch.documents() > 0) append(out, rewards(model, batch));
  return out;
}

double reward(const SequenceClassifier& model, const Tokenizer& tokenizer,
              std::initializer_list<Message> conversation) {
  const std::vector<Message> one(conversation);
  return rewards(model, tokenizer, {&one, 1}).front();
}

double reward(const SequenceClassifier& model, const Tokenizer& tokenizer, std::string_view prompt,
              std::string_view completion) {
  std::string text = std::string(prompt).append(completion);
  if (const auto eos = tokenizer.eos_token_id()) {
    const std::string token = tokenizer.id_to_token(*eos);
    if (!text.ends_with(token)) text += token;
  }
  TokenBatch batch;
  batch.add(tokenizer.encode(text));
  return rewards(model, batch).front();
}

}  // namespace powerhouse
