// Chat: a template over messages, and a conversation that keeps what its cache already holds.
#include "generation/encode_chat.h"
#include "powerhouse/generation.h"

namespace powerhouse {
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

// The template may write old turns differently now: only what is the same token for token is reused.
GenerationResult chat(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                      const ChatTemplate& chat_template, std::span<const Message> messages,
                      const GenerationOptions& options) {
  GenerationOptions reusing = options;
  reusing.cache_prompt = true;
  return generate(session, sequence, tokenizer, encode_chat(chat_template, tokenizer, messages), reusing);
}

struct Conversation::Impl {
  Tokenizer tokenizer;
  ChatTemplate chat_template;
  Session session;
  SequenceId sequence;
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
  impl_ =
      std::make_unique<Impl>(Impl{std::move(tokenizer), std::move(chat_template), std::move(session), sequence, {}});
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
  GenerationResult result = chat(impl.session, impl.sequence, impl.tokenizer, impl.chat_template, messages, options);
  messages.push_back({"assistant", result.text});
  impl.history = std::move(messages);
  return result;
}

void Conversation::save_cache(const std::string& path) const { impl_->session.save(impl_->sequence, path); }

void Conversation::restore_cache(const std::string& path) {
  const SequenceId restored = impl_->session.restore(path);
  impl_->session.remove(impl_->sequence);
  impl_->sequence = restored;
}

}  // namespace powerhouse
