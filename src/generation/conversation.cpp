// Chat: a template over messages, and a conversation that keeps what its cache already holds.
#include <algorithm>

#include "generation/generate.h"
#include "powerhouse/error.h"
#include "powerhouse/generation.h"

namespace powerhouse {
namespace {

std::vector<std::int64_t> encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                      std::span<const Message> messages) {
  const std::string prompt = chat_template.render(messages, {.add_generation_prompt = true});
  return tokenizer.encode(prompt, {.add_special_tokens = false});  // the template wrote them
}

}  // namespace

GenerationResult chat(const CausalLM& model, const Tokenizer& tokenizer, std::span<const Message> messages,
                      const GenerationOptions& options) {
  return chat(model, tokenizer, ChatTemplate::from_tokenizer(tokenizer), messages, options);
}

GenerationResult chat(const CausalLM& model, const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                      std::span<const Message> messages, const GenerationOptions& options) {
  Session session(model);
  return generate(session, session.create(), tokenizer, encode_chat(chat_template, tokenizer, messages), options);
}

GenerationResult chat(const CausalLM& model, const Tokenizer& tokenizer, std::initializer_list<Message> messages,
                      const GenerationOptions& options) {
  return chat(model, tokenizer, std::span<const Message>(messages.begin(), messages.size()), options);
}

struct Conversation::Impl {
  Tokenizer tokenizer;
  ChatTemplate chat_template;
  Session session;
  SequenceId sequence;
  std::vector<std::int64_t> cached;  // the tokens that the sequence holds
  std::vector<Message> history;
};

// NOLINTNEXTLINE(performance-unnecessary-value-param): read before the other constructor takes its own
Conversation::Conversation(const CausalLM& model, Tokenizer tokenizer, std::string_view system,
                           const SessionOptions& options)
    : Conversation(model, tokenizer, ChatTemplate::from_tokenizer(tokenizer), system, options) {}

Conversation::Conversation(const CausalLM& model, Tokenizer tokenizer, ChatTemplate chat_template,
                           std::string_view system, const SessionOptions& options) {
  Session session(model, options);
  const SequenceId sequence = session.create();
  impl_ = std::make_unique<Impl>(
      Impl{std::move(tokenizer), std::move(chat_template), std::move(session), sequence, {}, {}});
  if (!system.empty()) impl_->history.push_back({"system", std::string(system)});
}
Conversation::Conversation(Conversation&&) noexcept = default;
Conversation& Conversation::operator=(Conversation&&) noexcept = default;
Conversation::~Conversation() = default;

const std::vector<Message>& Conversation::history() const { return impl_->history; }

GenerationResult Conversation::send(std::string_view message, const GenerationOptions& options) {
  Impl& impl = *impl_;
  std::vector<Message> messages = impl.history;
  messages.push_back({"user", std::string(message)});
  const std::vector<std::int64_t> prompt = encode_chat(impl.chat_template, impl.tokenizer, messages);

  // The template may write old turns differently now: only what is the same token for token stays in the cache, and at
  // least one token is computed anew, for its logits.
  const auto same = std::mismatch(impl.cached.begin(), impl.cached.end(), prompt.begin(), prompt.end());
  const auto kept = std::min(static_cast<std::size_t>(same.second - prompt.begin()), prompt.size() - 1);
  impl.session.truncate(impl.sequence, static_cast<std::int64_t>(kept));
  impl.cached.resize(kept);

  GenerationResult result;
  try {
    result = continue_sequence(impl.session, impl.sequence, impl.tokenizer, std::span(prompt).first(kept),
                               std::span(prompt).subspan(kept), options);
  } catch (...) {
    // A callback may have thrown in the middle of an answer.
    impl.session.truncate(impl.sequence, static_cast<std::int64_t>(kept));
    throw;
  }
  impl.cached = prompt;
  impl.cached.insert(impl.cached.end(), result.ids.begin(), result.ids.end());
  impl.cached.resize(static_cast<std::size_t>(impl.session.length(impl.sequence)));
  messages.push_back({"assistant", result.text});
  impl.history = std::move(messages);
  return result;
}

}  // namespace powerhouse
