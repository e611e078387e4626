// Regex: a compiled pattern of tokenizer.json (Oniguruma's syntax), run by PCRE2 with its JIT.
//
// For patterns that have no splitter of their own. Matching is bounded: a pattern that backtracks without end is an
// Error, not a hang, and so are many matches that each take long. A Regex is immutable; match state belongs to the
// call.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

struct MatchRange {
  std::size_t start = 0;
  std::size_t end = 0;
};

/// In a text that may go on: where the first match starts, and whether it stands whatever follows.
struct StreamMatch {
  std::size_t start = 0;
  bool complete = false;
};

/// While one lives, all matching of this thread together has the processor time that a text of `bytes` may take: half a
/// second and some microseconds a byte, a hundred times what ordinary patterns need. Nested ones count for nothing.
class RegexTime {
 public:
  explicit RegexTime(std::size_t bytes);
  ~RegexTime();
  RegexTime(const RegexTime&) = delete;
  RegexTime& operator=(const RegexTime&) = delete;

  /// Whether the time is used up. Cheap: it looks at the processor time only when a part of a second went by.
  static bool is_up();

 private:
  bool outermost_;
};

class Regex {
 public:
  /// Error{format} for a pattern that does not compile, Error{unsupported} for one that is not built here.
  explicit Regex(std::string_view pattern);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  /// All matches from left to right, in valid UTF-8. An empty match directly after another is not one. Error{range}
  /// where the pattern exceeds its match limit.
  std::vector<MatchRange> find_all(std::string_view text) const;

  /// The first match, or beginning of one, that starts at `from` or behind, in valid UTF-8. Where `ends` is false the
  /// text may go on, and a match that reaches its end is not complete. Bounded as find_all.
  std::optional<StreamMatch> find_in_stream(std::string_view text, std::size_t from, bool ends) const;

 private:
  struct Code;
  std::string pattern_;
  std::unique_ptr<Code> code_;
};

}  // namespace powerhouse
