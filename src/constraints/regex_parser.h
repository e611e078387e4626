// Regular expressions, as far as they are regular: Python's syntax, and what JSON schemas mean by `pattern`.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "constraints/text_machine.h"

namespace powerhouse::constraints {

/// What \d, \w, \s, the dot and $ are. Schemas are written for ECMAScript, where they are ASCII's, and checked by
/// Python and others, where they are Unicode's: what a machine takes must be right by both, and so is `within` what all
/// agree on, and `beyond` what any of them takes, for a machine that is to be complemented.
enum class RegexDialect { python, within, beyond };

struct RegexTree {
  enum class Kind : std::uint8_t { set, sequence, choice, repeat, begin, end };
  Kind kind = Kind::sequence;
  CodePoints set{};
  std::vector<RegexTree> parts{};
  std::uint64_t low = 0, high = 0;
};

/// Error{format} for what is malformed, Error{unsupported} for what is not regular or not built (references back,
/// lookaround, word boundaries, flags), each with the place in the pattern.
RegexTree parse_regex(std::string_view pattern, RegexDialect dialect);

/// The machine of a pattern: of whole texts, or of texts in which it is found. Error as above, and Error{range} where
/// it explodes.
TextMachine regex_machine(std::string_view pattern, RegexDialect dialect, bool whole);

}  // namespace powerhouse::constraints
