#include "generation/thinking_budget.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kLongestCharacter = 4;  // tokens: a byte each

}  // namespace

ThinkingBudget::ThinkingBudget(const Tokenizer& tokenizer, const ThinkingOptions& options,
                               std::span<const std::int64_t> prompt)
    : tokenizer_(tokenizer), options_(options), decode_(tokenizer) {
  text_ = tokenizer.decode(prompt);
  look_for_tags();
}

void ThinkingBudget::look_for_tags() {
  while (true) {
    const std::string& tag = thinks_ ? options_.end : options_.start;
    const std::size_t found = text_.find(tag);
    if (found == std::string::npos) {
      // What may still become a tag.
      if (text_.size() >= tag.size()) text_.erase(0, text_.size() - tag.size() + 1);
      return;
    }
    text_.erase(0, found + tag.size());
    thinks_ = !thinks_;
  }
}

std::optional<std::int64_t> ThinkingBudget::forced() {
  if (rest_.empty() && thinks_ && thought_ >= options_.budget &&
      (unfinished_ == 0 || unfinished_ >= kLongestCharacter)) {
    for (const std::int64_t id : tokenizer_.encode(options_.message + options_.end, {.add_special_tokens = false})) {
      rest_.push_back(id);
    }
  }
  if (rest_.empty()) return {};
  const std::int64_t id = rest_.front();
  rest_.pop_front();
  return id;
}

void ThinkingBudget::add(std::int64_t id) {
  if (thinks_) ++thought_;
  const std::string piece = decode_.step(id);
  unfinished_ = piece.empty() ? unfinished_ + 1 : 0;
  text_ += piece;
  look_for_tags();
}

}  // namespace powerhouse
