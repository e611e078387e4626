#include "text/word_scanner.h"

#include <algorithm>
#include <bit>

namespace powerhouse {
namespace {

constexpr std::uint64_t low_bits(std::size_t count) {
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

// Bits at the last bytes of characters, moved to the first ones, and the other way.
std::uint64_t to_first_bytes(std::uint64_t bits, std::uint64_t continuation) {
  while ((bits & continuation) != 0) bits = (bits & ~continuation) | (bits & continuation) >> 1;
  return bits;
}
std::uint64_t to_last_bytes(std::uint64_t bits, std::uint64_t continuation) {
  const std::uint64_t goes_on = continuation >> 1;
  while ((bits & goes_on) != 0) bits = (bits & ~goes_on) | (bits & goes_on) << 1;
  return bits;
}

}  // namespace

WordScanner::WordScanner(const WordRule& rule, std::string_view text)
    : rule_(rule), cl100k_(rule.pattern.kind == KnownPattern::Kind::cl100k), text_(text) {
  if (!text.empty()) block_ = CharacterMasks::of(text, 0);
}

std::span<const std::size_t> WordScanner::next() {
  std::copy(ends_.begin() + static_cast<std::ptrdiff_t>(given_), ends_.begin() + static_cast<std::ptrdiff_t>(count_),
            ends_.begin());
  count_ -= given_;
  given_ = 0;
  while (given_ == 0 && at_ < text_.size()) {
    while (count_ < kBatch && at_ < text_.size()) scan_block();
    given_ = count_;
    if (at_ == text_.size()) {
      ends_[count_++] = text_.size();
      given_ = count_;
    } else if (cl100k_) {
      // What begins in the white space at the end may yet be joined.
      while (given_ > 0 && ends_[given_ - 1] > text_end_) --given_;
    }
  }
  return {ends_.data(), given_};
}

void WordScanner::scan_block() {
  const std::size_t next = at_ + block_.size;
  CharacterMasks ahead;
  if (next < text_.size()) ahead = CharacterMasks::of(text_, next);
  const bool apart = rule_.digits != WordRule::Digits::in_pattern;  // then a number ends the text before it
  const auto not_space = [&](const CharacterMasks& masks) {
    return masks.letter | masks.other | (apart ? 0 : masks.number);
  };
  const Mask not_space_next = not_space(block_) >> 1 | (not_space(ahead) & 1) << (block_.size - 1);
  Mask begins = cl100k_ ? begin_cl100k(not_space_next) : begin_gpt2(not_space_next);
  cut_contractions(begins);
  if (at_ == 0) begins &= ~Mask{1};
  add_ends(begins);

  const auto last = [&](Mask mask) { return mask >> (block_.size - 1) & 1; };
  before_.letter = last(block_.letter);
  before_.number = last(block_.number);
  before_.space = last(block_.space);
  before_.other = last(block_.other);
  before_.newline = last(block_.newline);
  before_.blank = last(block_.blank);
  const Mask text = block_.letter | block_.number | block_.other;
  if (text != 0) {
    const auto end = static_cast<std::size_t>(std::bit_width(text));
    text_end_ = at_ + end;
    other_end_ = (block_.other >> (end - 1) & 1) != 0;
  }
  at_ = next;
  block_ = ahead;
}

WordScanner::Mask WordScanner::begin_numbers(Mask blank_before) {
  const Mask number = block_.number;
  const Mask number_before = number << 1 | before_.number;
  const Mask runs = number & ~number_before;
  if (rule_.digits == WordRule::Digits::one_by_one) return number & ~block_.continuation;
  if (!cl100k_) return rule_.digits == WordRule::Digits::in_runs ? runs : runs & ~blank_before;
  if (rule_.pattern.max_numbers == 1) return number & ~block_.continuation;
  Mask begins = 0;
  for (Mask left = number & ~block_.continuation; left != 0; left &= left - 1) {
    const Mask bit = left & (~left + 1);
    numbers_ = (number_before & bit) != 0 && numbers_ < rule_.pattern.max_numbers ? numbers_ + 1 : 1;
    if (numbers_ == 1) begins |= bit;
  }
  return begins;
}

// White space before other text leaves its last character to what follows: that one begins a word.
WordScanner::Mask WordScanner::last_spaces(Mask not_space_next) const {
  return to_first_bytes(block_.space & not_space_next, block_.continuation);
}

WordScanner::Mask WordScanner::begin_gpt2(Mask not_space_next) {
  const Mask blank_before = block_.blank << 1 | before_.blank;
  const Mask letters = block_.letter & ~(block_.letter << 1 | before_.letter);
  const Mask others = block_.other & ~(block_.other << 1 | before_.other);
  const Mask spaces = block_.space & ~(block_.space << 1 | before_.space);
  return ((letters | others) & ~blank_before) | begin_numbers(blank_before) | spaces | last_spaces(not_space_next);
}

WordScanner::Mask WordScanner::begin_cl100k(Mask not_space_next) {
  const Mask blank_before = block_.blank << 1 | before_.blank;
  const Mask other_before = block_.other << 1 | before_.other;
  const Mask space_before = block_.space << 1 | before_.space;
  const Mask newline_before = block_.newline << 1 | before_.newline;
  const Mask others = block_.other & ~other_before & ~blank_before;
  // The one character before letters that is of their word: a space, or another character that stands alone.
  const Mask joins = (block_.space & ~block_.newline) | to_last_bytes(others, block_.continuation);
  const Mask letters = block_.letter & ~(block_.letter << 1 | before_.letter) & ~(joins << 1 | before_.joins);
  before_.joins = joins >> (block_.size - 1) & 1;
  // Line breaks after other characters are theirs; after a line break a word begins, unless another one follows.
  const Mask spaces = block_.space & ~space_before & ~(block_.newline & other_before);
  const Mask after_newline = block_.space & ~block_.newline & newline_before;
  Mask begins =
      letters | others | begin_numbers(0) | spaces | after_newline | (last_spaces(not_space_next) & ~block_.newline);
  if ((block_.newline & space_before & ~newline_before) != 0) join_lines(begins);
  return begins;
}

// \s*[\r\n]+ reaches to the last line break of the white space: no word begins between its begin and that.
void WordScanner::join_lines(Mask& begins) {
  const Mask space_before = block_.space << 1 | before_.space;
  const Mask newline_before = block_.newline << 1 | before_.newline;
  const Mask text = block_.letter | block_.number | block_.other;
  for (Mask left = block_.newline & space_before & ~newline_before; left != 0; left &= left - 1) {
    const auto newline = static_cast<std::size_t>(std::countr_zero(left));
    const Mask earlier = text & low_bits(newline);
    std::size_t begin = 0;
    if (earlier != 0) {
      begin = static_cast<std::size_t>(std::bit_width(earlier));
      if ((block_.other >> (begin - 1) & 1) != 0) {
        begin += static_cast<std::size_t>(std::countr_one(block_.newline >> begin));
      }
    } else {
      const std::size_t first = begin_of_spaces(text_end_);
      while (count_ > 0 && ends_[count_ - 1] > first) --count_;
      if (first < at_) {
        begins &= ~low_bits(newline + 1);
        continue;
      }
      begin = first - at_;
    }
    begins &= ~(low_bits(newline + 1) & ~low_bits(begin + 1));
  }
}

// The begin of the word in the white space from `spaces` on: line breaks after other characters belong to those.
std::size_t WordScanner::begin_of_spaces(std::size_t spaces) {
  if (spaces_known_ != spaces || spaces_begin_ == 0) {
    spaces_known_ = spaces;
    spaces_begin_ = spaces;
    while (other_end_ && (text_[spaces_begin_] == '\n' || text_[spaces_begin_] == '\r')) ++spaces_begin_;
  }
  return spaces_begin_;
}

// 's and its like are words of their own where a word begins with their apostrophe.
void WordScanner::cut_contractions(Mask& begins) {
  for (Mask left = block_.apostrophe & begins; left != 0; left &= left - 1) {
    const auto at = static_cast<std::size_t>(std::countr_zero(left));
    const std::size_t length = rule_.pattern.contraction(text_, at_ + at);
    if (length == 0) continue;
    barred_ |= ((WideMask{1} << length) - 2) << at;
    forced_ |= WideMask{1} << (at + length);
  }
  begins = ((begins & ~static_cast<Mask>(barred_)) | static_cast<Mask>(forced_)) & low_bits(block_.size);
  barred_ >>= block_.size;
  forced_ >>= block_.size;
}

void WordScanner::add_ends(Mask begins) {
  std::size_t* out = ends_.data() + count_;
  count_ += static_cast<std::size_t>(std::popcount(begins));
  for (; begins != 0; begins &= begins - 1) *out++ = at_ + static_cast<std::size_t>(std::countr_zero(begins));
}

}  // namespace powerhouse
