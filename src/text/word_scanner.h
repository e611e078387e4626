// WordScanner: the words of the commonest byte-level pre-tokenizers, found 64 bytes at a time.
//
// A word of GPT-2's and of cl100k's pattern begins where the kinds of the characters around a place say so; with a mask
// a kind, that is a few shifts and ands for 64 places (text/character_masks.h). What looks further is rare and done
// apart: contractions, groups of digits, and, in cl100k, white space that holds several line breaks. The words are
// exactly the pieces of split_gpt2 and split_cl100k (text/splitters.h), which say what the patterns are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "text/character_masks.h"
#include "text/splitters.h"

namespace powerhouse {

/// A pattern, and whether numbers were set apart from the rest before it was applied (Digits).
struct WordRule {
  enum class Digits { in_pattern, one_by_one, in_runs };

  KnownPattern pattern;
  Digits digits = Digits::in_pattern;
};

class WordScanner {
 public:
  /// `text` is valid UTF-8 and outlives this.
  WordScanner(const WordRule& rule, std::string_view text, const MaskKernel& kernel = mask_kernels()[0]);

  /// Where the next words end, each beginning where the one before ended; none at the end of the text. Valid until the
  /// next call.
  std::span<const std::size_t> next();

 private:
  using Mask = std::uint64_t;
  __extension__ using WideMask = unsigned __int128;

  static constexpr std::size_t kBatch = 1024;  // words a call, about

  // The kinds of the byte before a block, each 0 or 1.
  struct Before {
    Mask letter = 0, number = 0, space = 0, other = 0, newline = 0, blank = 0, joins = 0;
  };

  void scan_block();
  Mask begin_gpt2(const CharacterMasks& block, Mask not_space_next);
  Mask begin_cl100k(const CharacterMasks& block, Mask not_space_next);
  Mask begin_numbers(const CharacterMasks& block, Mask blank_before);
  void join_lines(const CharacterMasks& block, Mask& begins);
  void cut_contractions(const CharacterMasks& block, Mask& begins);
  std::size_t begin_of_spaces(std::size_t spaces);

  WordRule rule_;
  bool cl100k_;
  std::string_view text_;
  const MaskKernel& kernel_;
  std::size_t at_ = 0;        // where the block begins that comes next
  CharacterMasks blocks_[2];  // that one, read already, and the one after it, in turns
  std::size_t turn_ = 0;
  Before before_;
  WideMask forced_ = 0, barred_ = 0;  // from here on: words begin, or don't, whatever the kinds say (contractions)
  std::size_t numbers_ = 0;           // in the group that the byte before the block belongs to
  std::size_t text_end_ = 0;          // after the last character so far that is no space
  bool other_end_ = false;            // whether that one is of the others
  std::size_t spaces_known_ = 0, spaces_begin_ = 0;  // the last answer of begin_of_spaces
  std::array<std::size_t, kBatch + CharacterMasks::kBytes + 1> ends_;
  std::size_t count_ = 0;
  std::size_t given_ = 0;  // of ends_, by the last call
};

}  // namespace powerhouse
