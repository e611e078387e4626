// Hand-written splitters for the patterns that byte-level tokenizers use. Each gives exactly the matches of its regular
// expression (Oniguruma's, which `tokenizers` uses) in one pass without backtracking.
//
//   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   cl100k  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}|
//   ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//           n = 3 in Llama 3, 1 in Qwen2
//   digits  each number (or each run of numbers) apart from the rest: Digits of SmolLM and StarCoder
// Every character falls into exactly one piece, so nothing lies between the matches.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>

#include "text/piece_sink.h"

namespace powerhouse {

void split_gpt2(std::string_view text, PieceSink sink);
/// `ascii_contractions`: U+017F, the long s, is no s. `marks`: \p{M} counts as \p{L} (Qwen 3.5). Both are llama.cpp's.
/// `whole_trailing_spaces`: spaces at the end are one piece, line breaks among them or not (tiktoken: \s++$).
struct Cl100k {
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  std::size_t max_numbers = 3;
  bool ascii_contractions = false;
  bool marks = false;
  bool whole_trailing_spaces = false;
};
void split_cl100k(std::string_view text, const Cl100k& options, PieceSink sink);
void split_digits(std::string_view text, bool individual, PieceSink sink);

/// The contraction that `text` holds at its apostrophe at `at`, in any case: where it ends, or `at`.
std::size_t end_of_contraction(std::string_view text, std::size_t at, bool ascii);

/// A regular expression that has a splitter.
struct KnownPattern {
  enum class Kind { gpt2, cl100k } kind = Kind::gpt2;
  std::size_t max_numbers = 0;      // cl100k's n
  bool ascii_contractions = false;  // and its option

  void split(std::string_view text, PieceSink sink) const {
    if (kind == Kind::gpt2) return split_gpt2(text, sink);
    split_cl100k(text, {.max_numbers = max_numbers, .ascii_contractions = ascii_contractions}, sink);
  }
  /// The length of the contraction whose apostrophe is at `at`, 0 where there is none.
  std::size_t contraction(std::string_view text, std::size_t at) const;
};

/// The splitter of a pattern as it is spelled in tokenizer.json files, or nothing.
std::optional<KnownPattern> find_known_pattern(std::string_view pattern);

}  // namespace powerhouse
