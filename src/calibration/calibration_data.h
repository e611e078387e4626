// Calibration text as sequences of tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/calibration.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct CalibrationData {
  std::vector<std::vector<std::int64_t>> sequences{};  ///< all of one length
  std::vector<std::string> warnings{};

  std::int64_t length() const { return static_cast<std::int64_t>(sequences.front().size()); }
  std::int64_t tokens() const { return length() * static_cast<std::int64_t>(sequences.size()); }
};

/// As CalibrationOptions says. Error{range} where the text has not one sequence's tokens, or `longest` is less than
/// that; Error{usage} where it shares text with options.evaluation_text.
CalibrationData calibration_data(const Tokenizer& tokenizer, std::string_view text, std::int64_t longest,
                                 const CalibrationOptions& options);

/// How many of the runs of `length` tokens in `ids` stand in `other` too.
std::int64_t shared_runs(std::span<const std::int64_t> ids, std::span<const std::int64_t> other, std::size_t length);

/// Error{usage} naming `field` where `ids` and the text of an evaluation (empty: none) have a run of 32 tokens in
/// common.
void check_apart(const Tokenizer& tokenizer, std::span<const std::int64_t> ids, const std::string& evaluation_text,
                 const char* field);

}  // namespace powerhouse
