// A linter for chat templates. It renders small conversations whose texts are unmistakable and looks at what comes out:
// no template is read, so whatever its style, what is reported is what happens.
#include <algorithm>
#include <optional>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "support/json.h"

namespace powerhouse {
namespace {

const Message kSystem{"system", "Sysword alpha."};
const Message kUser{"user", "Userword beta?"};
const Message kAnswer{"assistant", "Answerword gamma."};
const Message kUserAgain{"user", "Againword delta?"};

class Linter {
 public:
  Linter(const ChatTemplate& chat_template, const Tokenizer* tokenizer)
      : template_(chat_template), tokenizer_(tokenizer) {}

  std::vector<std::string> run() {
    const auto plain = render({kUser});
    if (!plain) {
      warn("a single user message cannot be rendered: " + failure_);
      return std::move(warnings_);
    }
    const auto prompt = render({kUser}, true);
    turns();
    system();
    if (prompt && *prompt == *plain) generation_prompt(*plain);
    answer_end();
    if (tokenizer_ != nullptr) begin(prompt ? *prompt : *plain);
    return std::move(warnings_);
  }

 private:
  void warn(std::string text) { warnings_.push_back(std::move(text)); }

  std::optional<std::string> render(std::initializer_list<Message> messages, bool prompt = false) {
    try {
      return template_.render(std::span(messages.begin(), messages.size()), {.add_generation_prompt = prompt});
    } catch (const Error& error) {
      failure_ = error.what();
      return std::nullopt;
    }
  }
  static bool holds(const std::string& text, const Message& message) {
    return text.find(message.content) != std::string::npos;
  }

  void turns() {
    const auto text = render({kUser, kAnswer, kUserAgain}, true);
    if (!text) return warn("a conversation of several turns cannot be rendered: " + failure_);
    for (const Message* message : {&kUser, &kAnswer, &kUserAgain}) {
      if (!holds(*text, *message)) warn("a message of role " + message->role + " is missing from what is rendered");
    }
  }

  void system() {
    const auto text = render({kSystem, kUser}, true);
    if (!text) return warn("a system message is refused: " + failure_);
    if (!holds(*text, kSystem)) warn("the system message is ignored");
  }

  // Formats like Llama 2's need no opening: what stands before an answer is there already.
  void generation_prompt(const std::string& plain) {
    const auto answered = render({kUser, kAnswer});
    const std::size_t at = answered ? answered->find(kAnswer.content) : std::string::npos;
    const std::size_t user = answered ? answered->find(kUser.content) : std::string::npos;
    const std::size_t alone = plain.find(kUser.content);
    if (at == std::string::npos || user > at || alone == std::string::npos) return;
    const std::size_t length = kUser.content.size();
    const std::string between = without_spaces(answered->substr(user + length, at - user - length));
    if (!between.empty() && between != without_spaces(plain.substr(alone + length))) {
      warn("add_generation_prompt is ignored: the assistant's opening is never written, and the model must make it");
    }
  }
  static std::string without_spaces(std::string text) {
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\t'; });
    return text;
  }

  // What follows an answer must end it: with EOS or a token that ends a turn where there is a tokenizer to ask.
  void answer_end() {
    const auto text = render({kUser, kAnswer});
    const std::size_t at = text ? text->find(kAnswer.content) : std::string::npos;
    if (at == std::string::npos) return;
    const std::string after = text->substr(at + kAnswer.content.size());
    if (after.find_first_not_of(" \n\t") == std::string::npos) {
      return warn("nothing ends the assistant's turn: trained on it, a model never learns to stop");
    }
    if (tokenizer_ == nullptr) return;
    const auto ends = tokenizer_->end_of_generation_ids();
    const auto ids = tokenizer_->encode(after, {.add_special_tokens = false});
    const auto ends_text = [&](std::int64_t id) { return std::find(ends.begin(), ends.end(), id) != ends.end(); };
    if (!ends.empty() && std::none_of(ids.begin(), ids.end(), ends_text)) {
      warn("no end-of-generation token of the tokenizer follows an answer: generation will not stop there");
    }
  }

  void begin(const std::string& prompt) {
    const auto bos = tokenizer_->bos_token_id();
    if (!bos) return;
    const auto ids = tokenizer_->encode(prompt, {.add_special_tokens = false});
    const auto first_other = std::find_if(ids.begin(), ids.end(), [&](std::int64_t id) { return id != *bos; });
    const auto count = first_other - ids.begin();
    if (count > 1) warn("the template writes BOS " + std::to_string(count) + " times at the beginning");
    // What a program gets that encodes the rendered text with special tokens.
    const auto with = tokenizer_->encode("x", {.add_special_tokens = true});
    const bool adds_bos = with.size() > 1 && with.front() == *bos;
    if (count >= 1 && adds_bos) {
      warn("template and tokenizer both write BOS: encode what is rendered without adding special tokens");
    }
    if (count == 0 && adds_bos) warn("the tokenizer adds BOS to plain text, but the template writes none");
  }

  const ChatTemplate& template_;
  const Tokenizer* tokenizer_;
  std::vector<std::string> warnings_;
  std::string failure_;
};

}  // namespace

std::vector<std::string> lint_chat_template(const ChatTemplate& chat_template, const Tokenizer* tokenizer) {
  return Linter(chat_template, tokenizer).run();
}

}  // namespace powerhouse
