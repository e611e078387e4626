// What ends a generation: tokens, and stop strings and patterns in streamed text, which are found across token
// boundaries and never shown, not even in part.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "powerhouse/generation.h"
#include "text/regex.h"

namespace powerhouse {

/// Tokens that end a text by the options: those given, or those of tokenizer and model; none where EOS is ignored.
std::unordered_set<std::int64_t> end_ids(const ModelConfig& config, const Tokenizer& tokenizer,
                                         const GenerationOptions& options);

/// Follows a text through the options' constraint, if they have one; `ends` end it.
std::optional<ConstraintMatcher> matcher_of(const GenerationOptions& options,
                                            const std::unordered_set<std::int64_t>& ends);

class StopFilter {
 public:
  /// Error{usage} for a pattern that does not compile, or that matches where there is no text.
  explicit StopFilter(std::vector<std::string> stops, std::span<const std::string> patterns = {});

  /// Adds text; returns what can be shown now: everything that can't become part of a stop any more. Once one is
  /// complete, `stopped` is true, and nothing of it or behind it is returned.
  std::string push(std::string_view text);
  /// What was held back, at the end without a stop. A pattern may match now that nothing follows.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::string show_until(std::size_t end);

  std::vector<std::string> stops_;
  std::vector<std::shared_ptr<const Regex>> patterns_;
  std::string text_;       // with patterns all of it, for what looks back; else what is held
  std::size_t shown_ = 0;  // of text_
  bool stopped_ = false;
};

}  // namespace powerhouse
