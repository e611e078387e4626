// The distinct words of a corpus with their counts: what every trainer starts from. Texts are normalized and cut as the
// tokenizer will do it, over the thread team, each worker with a table of its own; sums do not depend on who counted.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/training_texts.h"
#include "text/word_table.h"

namespace powerhouse {

struct WordCount {
  std::string_view word;  // UTF-8, in the vocabulary's spelling
  std::uint64_t count;
};

/// Sorted by the words' bytes, so that nothing after this depends on threads or hashes.
class WordCounts {
 public:
  static WordCounts of(TextSource& source, const Normalizer& normalizer, const PreTokenizer& pre_tokenizer);
  const std::vector<WordCount>& words() const noexcept { return words_; }

 private:
  std::vector<WordTable> tables_;
  std::vector<WordCount> words_;
};

}  // namespace powerhouse
