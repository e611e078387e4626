// TextMerger: byte-pair encoding whose merges are the vocabulary itself: two neighbours merge where their text put
// together is a token, the token of the lowest order first, the leftmost of equal ones (SentencePiece's BPE, tiktoken).
//
// Short pieces scan their orders for the least; long ones keep them in a heap, so that a word of 10 MB costs n log n.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace powerhouse {

class TextMerger {
 public:
  static constexpr std::uint32_t kNever = 0xFFFFFFFF;  // the order of a token that nothing merges into

  /// `vocabulary` must outlive this; `orders` by id, as many as the vocabulary has ids.
  TextMerger(const Vocabulary& vocabulary, std::vector<std::uint32_t> orders);

  /// Merges the symbols of `text` that begin at `starts` and go up to the next one, as far as they merge: what is left
  /// in `starts` is where the tokens begin. Error{range} for 4 GiB or more.
  void merge(std::string_view text, std::vector<std::uint32_t>& starts) const;

 private:
  std::uint32_t order_of(std::string_view text, std::size_t begin, std::size_t end) const;
  void merge_short(std::string_view text, std::vector<std::uint32_t>& starts) const;
  void merge_long(std::string_view text, std::vector<std::uint32_t>& starts) const;

  const Vocabulary& vocabulary_;
  std::vector<std::uint32_t> orders_;
  std::size_t longest_ = 0;  // token, in bytes
};

}  // namespace powerhouse
