// Text on its way out: tokens become characters, stop strings are held back, a callback sees the rest.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "generation/stopping.h"
#include "powerhouse/generation.h"

namespace powerhouse {

class TextOutput {
 public:
  /// Must not outlive the options.
  TextOutput(const Tokenizer& tokenizer, const GenerationOptions& options)
      : decode_(tokenizer, {.skip_special_tokens = options.skip_special_tokens}),
        filter_(options.stop, options.stop_regex),
        stop_ids_(options.stop_token_ids.begin(), options.stop_token_ids.end()),
        on_token_(options.on_token) {}

  void add(std::int64_t id) {
    if (stop_ids_.contains(id)) {
      stopped_ = true;
    } else {
      show(filter_.push(decode_.step(id)));
    }
  }
  void finish() {
    show(filter_.push(decode_.finish()));
    show(filter_.finish());
  }
  bool stopped() const { return stopped_ || filter_.stopped(); }
  std::string take() { return std::move(text_); }

 private:
  void show(const std::string& piece) {
    if (piece.empty()) return;
    text_ += piece;
    if (on_token_) on_token_(piece);
  }

  DecodeStream decode_;
  StopFilter filter_;
  std::unordered_set<std::int64_t> stop_ids_;
  bool stopped_ = false;  // by a token
  const std::function<void(std::string_view)>& on_token_;
  std::string text_;
};

std::uint64_t system_seed();

}  // namespace powerhouse
