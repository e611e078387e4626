// TextMerger: byte-pair encoding whose merges are the vocabulary itself: two neighbours merge where their text put
// together is a token, the token of the lowest order first, the leftmost of equal ones (SentencePiece's BPE, tiktoken).
//
// Short pieces scan their orders for the least; long ones keep them in a heap (text/heap_merge.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/heap_merge.h"
#include "text/scratch.h"
#include "text/vocabulary.h"

namespace powerhouse {

class TextMerger {
 public:
  /// `vocabulary` must outlive this; `orders` by id, as many as the vocabulary has ids, kNeverMerges for tokens that
  /// merging never gives. Error{format} for a token of more than 4096 bytes.
  TextMerger(const Vocabulary& vocabulary, std::vector<std::uint32_t> orders);

  /// Merges the characters of `text` as far as they merge, and calls `visit(begin, end)` for what is left, one after
  /// the other. Error{range} for 4 GiB or more.
  template <typename Visit>
  void each_token(std::string_view text, Visit visit) const {
    thread_local std::vector<std::uint32_t> starts;
    merge(text, starts);
    for (std::size_t i = 0; i < starts.size(); ++i) {
      visit(std::size_t{starts[i]}, i + 1 < starts.size() ? std::size_t{starts[i + 1]} : text.size());
    }
    give_back_if_large(starts);
  }

  /// The order of the token that text[begin, end) is, kNeverMerges where it is none.
  std::uint32_t order_of(std::string_view text, std::size_t begin, std::size_t end) const;

 private:
  void merge(std::string_view text, std::vector<std::uint32_t>& starts) const;
  void merge_short(std::string_view text, std::vector<std::uint32_t>& starts) const;
  void merge_long(std::string_view text, std::vector<std::uint32_t>& starts) const;

  const Vocabulary& vocabulary_;
  std::vector<std::uint32_t> orders_;
  std::size_t longest_ = 0;  // token, in bytes
};

}  // namespace powerhouse
