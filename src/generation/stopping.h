// What ends a generation: tokens, and stop strings in streamed text, which are found across token boundaries and never
// shown, not even in part.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "powerhouse/generation.h"

namespace powerhouse {

/// Tokens that end a text by the options: those given, or those of tokenizer and model; none where EOS is ignored.
std::unordered_set<std::int64_t> end_ids(const ModelConfig& config, const Tokenizer& tokenizer,
                                         const GenerationOptions& options);

/// Follows a text through the options' constraint, if they have one; `ends` end it.
std::optional<ConstraintMatcher> matcher_of(const GenerationOptions& options,
                                            const std::unordered_set<std::int64_t>& ends);

class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops);

  /// Adds text; returns what can be shown now: everything that can't become part of a stop string any more. Once a
  /// stop string is complete, `stopped` is true, and nothing of it or behind it is returned.
  std::string push(std::string_view text);
  /// What was held back, at the end without a stop.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace powerhouse
