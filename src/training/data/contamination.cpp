// Contamination: GPT-3's check (Brown et al., 2005.14165, appendix C) by runs of 13 words, lower-cased, marks aside.
#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "training/data/columns.h"
#include "training/data/corpus.h"

namespace powerhouse::training {
namespace {

constexpr std::size_t kWords = 13;

bool in_word(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

// Calls visit(hash) for each run of words.
template <typename Visit>
void visit_grams(std::string_view text, Visit&& visit) {
  std::array<std::uint64_t, kWords> words{};
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (!in_word(static_cast<unsigned char>(text[at]))) {
      if (text[at] == kPartEnd) count = 0;  // no run goes on from a question into its answer
      ++at;
      continue;
    }
    std::uint64_t word = 0xCBF29CE484222325u;  // FNV-1a
    for (; at < text.size() && in_word(static_cast<unsigned char>(text[at])); ++at) {
      const char c = text[at] >= 'A' && text[at] <= 'Z' ? static_cast<char>(text[at] + 32) : text[at];
      word = (word ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    }
    words[count++ % kWords] = word;
    if (count < kWords) continue;
    std::uint64_t gram = 0;
    for (std::size_t i = 0; i < kWords; ++i)
      gram = (gram ^ words[(count + i) % kWords]) * 0x9E3779B97F4A7C15u + (gram >> 31);
    visit(gram);
  }
}

}  // namespace

void mark_contamination(Corpus& corpus) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> held_back;
  for (std::int64_t row = 0; row < corpus.rows(); ++row) {
    if (!corpus.validation(row)) continue;
    visit_grams(corpus.content(row),
                [&](std::uint64_t gram) { held_back.emplace_back(gram, static_cast<std::uint32_t>(row)); });
  }
  std::sort(held_back.begin(), held_back.end());
  if (held_back.empty()) return;
  for (std::int64_t row = 0; row < corpus.rows(); ++row) {
    if (corpus.validation(row)) continue;
    visit_grams(corpus.content(row), [&](std::uint64_t gram) {
      auto found =
          std::lower_bound(held_back.begin(), held_back.end(), std::pair<std::uint64_t, std::uint32_t>(gram, 0));
      for (; found != held_back.end() && found->first == gram; ++found) {
        corpus.facts(found->second).problems.add(RowProblem::contaminated);
      }
    });
  }
}

}  // namespace powerhouse::training
