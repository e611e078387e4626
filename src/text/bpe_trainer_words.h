// The corpus of a BPE trainer: every distinct word as a row of token ids, and the vocabulary so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/tokenizer_training.h"
#include "text/vocabulary.h"
#include "text/word_counts.h"

namespace powerhouse {

using TokenPair = std::uint64_t;  // the left id in the upper half: pairs compare as (left, right) do
constexpr TokenPair make_pair(std::uint32_t left, std::uint32_t right) { return TokenPair{left} << 32 | right; }
constexpr std::uint32_t left_of(TokenPair pair) { return static_cast<std::uint32_t>(pair >> 32); }
constexpr std::uint32_t right_of(TokenPair pair) { return static_cast<std::uint32_t>(pair); }

class BpeTrainerWords {
 public:
  struct Word {
    std::size_t start = 0;  // of its symbols
    std::uint32_t size = 0;
    std::int64_t count = 0;
  };

  /// Special tokens, then the alphabet, then its characters with prefix and suffix; words lose what is in none.
  BpeTrainerWords(const WordCounts& counts, const BpeTrainerOptions& options);

  std::size_t vocabulary_size() const { return vocabulary_.size(); }
  std::string_view text(std::uint32_t id) const { return vocabulary_.text(id); }
  /// The id of a token, new or old.
  std::uint32_t add(const std::string& token);

  std::size_t size() const { return words_.size(); }
  const Word& word(std::size_t index) const { return words_[index]; }
  const std::uint32_t* symbols(const Word& word) const { return symbols_.data() + word.start; }

  /// Replaces `pair` by `token` in one word, from left to right, and calls change(pair, by) for each pair that went or
  /// came. Pairs that would be too long are not said to come.
  template <typename Change>
  void merge(std::size_t index, TokenPair pair, std::uint32_t token, Change&& change);

 private:
  void add_alphabet(const WordCounts& counts, const BpeTrainerOptions& options);
  void cut_words(const WordCounts& counts, const BpeTrainerOptions& options);

  Vocabulary vocabulary_;
  std::vector<Word> words_;
  std::vector<std::uint32_t> symbols_;  // of all words
  std::vector<std::uint32_t> lengths_;  // of each symbol in characters; empty where nothing limits them
  std::size_t max_token_length_ = 0;
};

template <typename Change>
void BpeTrainerWords::merge(std::size_t index, TokenPair pair, std::uint32_t token, Change&& change) {
  Word& word = words_[index];
  std::uint32_t* const symbol = symbols_.data() + word.start;
  std::uint32_t* const length = lengths_.empty() ? nullptr : lengths_.data() + word.start;
  const std::uint32_t left = left_of(pair);
  const std::uint32_t right = right_of(pair);
  const auto fits = [&](std::uint32_t a, std::uint32_t b) { return std::size_t{a} + b < max_token_length_; };
  std::uint32_t out = 0;
  for (std::uint32_t in = 0; in < word.size; ++out) {
    if (symbol[in] != left || in + 1 == word.size || symbol[in + 1] != right) {
      symbol[out] = symbol[in];
      if (length != nullptr) length[out] = length[in];
      ++in;
      continue;
    }
    const std::uint32_t merged = length == nullptr ? 0 : length[in] + length[in + 1];
    if (out > 0) {
      change(make_pair(symbol[out - 1], left), -word.count);
      if (length == nullptr || fits(length[out - 1], merged)) change(make_pair(symbol[out - 1], token), word.count);
    }
    symbol[out] = token;
    if (length != nullptr) length[out] = merged;
    in += 2;
    if (in < word.size) {
      change(make_pair(right, symbol[in]), -word.count);
      if (length == nullptr || fits(length[in], merged)) change(make_pair(token, symbol[in]), word.count);
    }
  }
  word.size = out;
}

}  // namespace powerhouse
