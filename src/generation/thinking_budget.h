// A limit to what a model thinks before it answers: between its tags so many tokens, then the end is written for it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>

#include "powerhouse/generation.h"

namespace powerhouse {

class ThinkingBudget {
 public:
  /// `prompt` may end inside a thought, as chat templates have it. Must not outlive the tokenizer.
  ThinkingBudget(const Tokenizer& tokenizer, const ThinkingOptions& options, std::span<const std::int64_t> prompt);

  /// The token that has to come next; none where the model chooses.
  std::optional<std::int64_t> forced();
  /// Takes note of each token, forced or chosen.
  void add(std::int64_t id);

 private:
  void look_for_tags();

  const Tokenizer& tokenizer_;
  ThinkingOptions options_;
  DecodeStream decode_;
  std::string text_{};  // since the last tag
  bool thinks_ = false;
  std::int64_t thought_ = 0;         // tokens, of all thoughts
  std::int64_t unfinished_ = 0;      // tokens since the last whole character
  std::deque<std::int64_t> rest_{};  // of the end that is being written
};

}  // namespace powerhouse
