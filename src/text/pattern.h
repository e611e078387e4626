// Pattern: a literal text or a regular expression, as the parts of tokenizer.json name what they look for.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace powerhouse {

class Pattern {
 public:
  static Pattern of_literal(std::string text) {
    if (text.empty()) return of_regex("");  // matches between any two characters
    Pattern pattern;
    pattern.literal_ = std::move(text);
    return pattern;
  }
  /// Error{format, unsupported} as Regex.
  static Pattern of_regex(std::string_view regex) { return Pattern(std::make_unique<const Regex>(regex)); }
  explicit Pattern(std::unique_ptr<const Regex> regex) : regex_(std::move(regex)) {}

  const std::optional<std::string>& literal() const noexcept { return literal_; }

  /// All matches from left to right. Error{range} as Regex::find_all.
  std::vector<MatchRange> find_all(std::string_view text) const {
    if (regex_) return regex_->find_all(text);
    std::vector<MatchRange> found;
    for (std::size_t at = text.find(*literal_); at != std::string_view::npos; at = text.find(*literal_, at)) {
      found.push_back({at, at + literal_->size()});
      at += literal_->size();
    }
    return found;
  }

 private:
  Pattern() = default;

  std::unique_ptr<const Regex> regex_;  // or else the literal
  std::optional<std::string> literal_;
};

}  // namespace powerhouse
