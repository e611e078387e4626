#include "text/word_scanner.h"

#include <algorithm>
#include <bit>

namespace powerhouse {
namespace {

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

// White space before other text leaves its last character to what follows: that one begins a word.
std::uint64_t last_spaces(const CharacterMasks& block, std::uint64_t not_space_next) {
  return to_first_bytes(block.space & not_space_next, block.continuation);
}

}  // namespace

WordScanner::WordScanner(const WordRule& rule, std::string_view text, const MaskKernel& kernel)
    : rule_(rule), cl100k_(rule.pattern.kind == KnownPattern::Kind::cl100k), text_(text), kernel_(kernel) {
  if (!text.empty()) blocks_[0].read(text, 0, kernel);
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
  const CharacterMasks& block = blocks_[turn_];
  CharacterMasks& ahead = blocks_[turn_ ^ 1];  // not copied: masks written singly and read in pairs wait for each other
  const std::size_t next = at_ + block.size;
  const bool more = next < text_.size();
  if (more) ahead.read(text_, next, kernel_);
  const bool apart = rule_.digits != WordRule::Digits::in_pattern;  // then a number ends the text before it
  const auto not_space = [&](const CharacterMasks& masks) {
    return masks.letter | masks.other | (apart ? 0 : masks.number);
  };
  const Mask not_space_next = not_space(block) >> 1 | (more ? not_space(ahead) & 1 : 0) << (block.size - 1);
  Mask begins = cl100k_ ? begin_cl100k(block, not_space_next) : begin_gpt2(block, not_space_next);
  cut_contractions(block, begins);
  if (at_ == 0) begins &= ~Mask{1};
  count_ += kernel_.places(begins, at_, ends_.data() + count_);

  const auto last = [&](Mask mask) { return mask >> (block.size - 1) & 1; };
  before_.letter = last(block.letter);
  before_.number = last(block.number);
  before_.space = last(block.space);
  before_.other = last(block.other);
  before_.newline = last(block.newline);
  before_.blank = last(block.blank);
  const Mask text = block.letter | block.number | block.other;
  if (text != 0) {
    const auto end = static_cast<std::size_t>(std::bit_width(text));
    text_end_ = at_ + end;
    other_end_ = (block.other >> (end - 1) & 1) != 0;
  }
  at_ = next;
  turn_ ^= 1;
}

WordScanner::Mask WordScanner::begin_numbers(const CharacterMasks& block, Mask blank_before) {
  const Mask number = block.number;
  const Mask number_before = number << 1 | before_.number;
  const Mask runs = number & ~number_before;
  if (rule_.digits == WordRule::Digits::one_by_one) return number & ~block.continuation;
  if (!cl100k_) return rule_.digits == WordRule::Digits::in_runs ? runs : runs & ~blank_before;
  if (rule_.pattern.max_numbers == 1) return number & ~block.continuation;
  Mask begins = 0;
  for (Mask left = number & ~block.continuation; left != 0; left &= left - 1) {
    const Mask bit = left & (~left + 1);
    numbers_ = (number_before & bit) != 0 && numbers_ < rule_.pattern.max_numbers ? numbers_ + 1 : 1;
    if (numbers_ == 1) begins |= bit;
  }
  return begins;
}

WordScanner::Mask WordScanner::begin_gpt2(const CharacterMasks& block, Mask not_space_next) {
  const Mask blank_before = block.blank << 1 | before_.blank;
  const Mask letters = block.letter & ~(block.letter << 1 | before_.letter);
  const Mask others = block.other & ~(block.other << 1 | before_.other);
  const Mask spaces = block.space & ~(block.space << 1 | before_.space);
  return ((letters | others) & ~blank_before) | begin_numbers(block, blank_before) | spaces |
         last_spaces(block, not_space_next);
}

WordScanner::Mask WordScanner::begin_cl100k(const CharacterMasks& block, Mask not_space_next) {
  const Mask blank_before = block.blank << 1 | before_.blank;
  const Mask other_before = block.other << 1 | before_.other;
  const Mask space_before = block.space << 1 | before_.space;
  const Mask newline_before = block.newline << 1 | before_.newline;
  const Mask others = block.other & ~other_before & ~blank_before;
  // The one character before letters that is of their word: a space, or another character that stands alone.
  const Mask joins = (block.space & ~block.newline) | to_last_bytes(others, block.continuation);
  const Mask letters = block.letter & ~(block.letter << 1 | before_.letter) & ~(joins << 1 | before_.joins);
  before_.joins = joins >> (block.size - 1) & 1;
  // Line breaks after other characters are theirs; after a line break a word begins, unless another one follows.
  const Mask spaces = block.space & ~space_before & ~(block.newline & other_before);
  const Mask after_newline = block.space & ~block.newline & newline_before;
  Mask begins = letters | others | begin_numbers(block, 0) | spaces | after_newline |
                (last_spaces(block, not_space_next) & ~block.newline);
  if ((block.newline & space_before & ~newline_before) != 0) join_lines(block, begins);
  return begins;
}

// \s*[\r\n]+ reaches to the last line break of the white space: no word begins between its begin and that.
void WordScanner::join_lines(const CharacterMasks& block, Mask& begins) {
  const Mask space_before = block.space << 1 | before_.space;
  const Mask newline_before = block.newline << 1 | before_.newline;
  const Mask text = block.letter | block.number | block.other;
  for (Mask left = block.newline & space_before & ~newline_before; left != 0; left &= left - 1) {
    const auto newline = static_cast<std::size_t>(std::countr_zero(left));
    const Mask earlier = text & low_bits(newline);
    std::size_t begin = 0;
    if (earlier != 0) {
      begin = static_cast<std::size_t>(std::bit_width(earlier));
      if ((block.other >> (begin - 1) & 1) != 0) {
        begin += static_cast<std::size_t>(std::countr_one(block.newline >> begin));
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
void WordScanner::cut_contractions(const CharacterMasks& block, Mask& begins) {
  for (Mask left = block.apostrophe & begins; left != 0; left &= left - 1) {
    const auto at = static_cast<std::size_t>(std::countr_zero(left));
    const std::size_t length = rule_.pattern.contraction(text_, at_ + at);
    if (length == 0) continue;
    barred_ |= ((WideMask{1} << length) - 2) << at;
    forced_ |= WideMask{1} << (at + length);
  }
  begins = ((begins & ~static_cast<Mask>(barred_)) | static_cast<Mask>(forced_)) & low_bits(block.size);
  barred_ >>= block.size;
  forced_ >>= block.size;
}

}  // namespace powerhouse
