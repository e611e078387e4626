#include "text/bpe_trainer_words.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

constexpr std::size_t kCodePoints = 0x110000;

std::string text_of(char32_t character) {
  std::string text;
  append_utf8(text, character);
  return text;
}

// Calls visit(character, is_first, is_last) for each character of a word.
template <typename Visit>
void for_characters(std::string_view word, Visit&& visit) {
  for (std::size_t at = 0; at < word.size();) {
    const auto [character, length] = unicode::character_at(word, at);
    visit(character, at == 0, at + length == word.size());
    at += length;
  }
}

// Where in a word a character stands decides what is put around it.
constexpr std::size_t kPlacesInWord = 4;
constexpr std::size_t place_of(bool first, bool last) { return (first ? 0u : 1u) + (last ? 2u : 0u); }

std::string affixed(char32_t character, std::size_t place, const BpeTrainerOptions& options) {
  std::string text = (place & 1) != 0 ? options.continuing_subword_prefix : "";
  append_utf8(text, character);
  if ((place & 2) != 0) text += options.end_of_word_suffix;
  return text;
}

}  // namespace

BpeTrainerWords::BpeTrainerWords(const WordCounts& counts, const BpeTrainerOptions& options)
    : max_token_length_(options.max_token_length.value_or(0)) {
  for (const std::string& token : options.special_tokens) add(token);
  add_alphabet(counts, options);
  cut_words(counts, options);
}

std::uint32_t BpeTrainerWords::add(const std::string& token) {
  if (const auto known = vocabulary_.find(token)) return static_cast<std::uint32_t>(*known);
  vocabulary_.add(token, static_cast<std::int64_t>(vocabulary_.size()));
  return static_cast<std::uint32_t>(vocabulary_.size() - 1);
}

// The most frequent characters, by code point. Where the limit cuts through characters of one count, the smaller code
// points stay (`tokenizers` leaves that to chance).
void BpeTrainerWords::add_alphabet(const WordCounts& counts, const BpeTrainerOptions& options) {
  std::vector<std::uint64_t> seen(kCodePoints, 0);
  for (const WordCount& word : counts.words()) {
    for_characters(word.word, [&](char32_t character, bool, bool) { seen[character] += word.count; });
  }
  for (const std::string& text : options.initial_alphabet) {
    if (!text.empty()) seen[unicode::character_at(text, 0).code_point] = std::numeric_limits<std::uint64_t>::max();
  }
  std::vector<char32_t> kept;
  for (char32_t character = 0; character < kCodePoints; ++character) {
    if (seen[character] != 0) kept.push_back(character);
  }
  if (options.limit_alphabet && kept.size() > *options.limit_alphabet) {
    std::stable_sort(kept.begin(), kept.end(), [&](char32_t a, char32_t b) { return seen[a] > seen[b]; });
    kept.resize(*options.limit_alphabet);
    std::sort(kept.begin(), kept.end());
  }
  for (const char32_t character : kept) add(text_of(character));
}

// New spellings get their ids in the order of their texts (in `tokenizers` of a hash table, new in each run).
void BpeTrainerWords::cut_words(const WordCounts& counts, const BpeTrainerOptions& options) {
  constexpr std::uint32_t kAbsent = std::numeric_limits<std::uint32_t>::max();
  const bool plain = options.continuing_subword_prefix.empty() && options.end_of_word_suffix.empty();
  std::vector<std::array<std::uint32_t, kPlacesInWord>> ids(kCodePoints, {kAbsent, kAbsent, kAbsent, kAbsent});
  std::set<std::string> spellings;
  std::vector<std::pair<char32_t, std::size_t>> used;
  for (const WordCount& word : counts.words()) {
    for_characters(word.word, [&](char32_t character, bool first, bool last) {
      const std::size_t place = plain ? 0 : place_of(first, last);
      if (ids[character][place] != kAbsent || !vocabulary_.find(text_of(character))) return;
      ids[character][place] = 0;
      used.emplace_back(character, place);
      spellings.insert(affixed(character, place, options));
    });
  }
  for (const std::string& spelling : spellings) add(spelling);
  for (const auto& [character, place] : used) ids[character][place] = add(affixed(character, place, options));

  words_.reserve(counts.words().size());
  for (const WordCount& word : counts.words()) {
    Word cut{.start = symbols_.size(), .size = 0, .count = static_cast<std::int64_t>(word.count)};
    for_characters(word.word, [&](char32_t character, bool first, bool last) {
      const std::uint32_t id = ids[character][plain ? 0 : place_of(first, last)];
      if (id != kAbsent) symbols_.push_back(id);
    });
    cut.size = static_cast<std::uint32_t>(symbols_.size() - cut.start);
    words_.push_back(cut);
  }
  if (options.max_token_length) lengths_.assign(symbols_.size(), 1);
}

}  // namespace powerhouse
