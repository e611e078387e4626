#include "text/word_level_trainer.h"

#include <algorithm>

namespace powerhouse {

std::vector<std::string> train_word_level(const WordCounts& counts, const WordLevelTrainerOptions& options) {
  std::vector<WordCount> words = counts.words();  // sorted by bytes
  std::stable_sort(words.begin(), words.end(),
                   [](const WordCount& a, const WordCount& b) { return a.count > b.count; });
  std::vector<std::string> tokens = options.special_tokens;
  for (const WordCount& word : words) {
    if (tokens.size() >= options.vocab_size || word.count < options.min_frequency) break;
    tokens.emplace_back(word.word);
  }
  tokens.resize(std::min(tokens.size(), options.vocab_size));
  return tokens;
}

}  // namespace powerhouse
