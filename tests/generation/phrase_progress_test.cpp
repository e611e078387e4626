// Phrases that must occur, against looking through the text.
#include "generation/phrase_progress.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/philox.h"

namespace powerhouse {
namespace {

bool occurs(const std::vector<std::int64_t>& text, const std::vector<std::int64_t>& phrase) {
  return std::search(text.begin(), text.end(), phrase.begin(), phrase.end()) != text.end();
}

// The longest beginning of `phrase`, less than all, that `text` ends with.
std::int64_t begun(const std::vector<std::int64_t>& text, const std::vector<std::int64_t>& phrase) {
  for (std::size_t n = std::min(text.size(), phrase.size() - 1); n > 0; --n) {
    if (std::equal(phrase.begin(), phrase.begin() + static_cast<std::ptrdiff_t>(n),
                   text.end() - static_cast<std::ptrdiff_t>(n))) {
      return static_cast<std::int64_t>(n);
    }
  }
  return 0;
}

TEST(PhraseConstraints, FollowAnyText) {
  const std::vector<PhraseAlternatives> constraints = {{{0, 0, 1}}, {{0, 1, 0, 1, 1}, {2, 2}}, {{1}}};
  const PhraseConstraints phrases(constraints);
  const Random random(3, RandomStream::data);
  std::uint64_t counter = 0;
  for (int run = 0; run < 50; ++run) {
    PhraseState state = phrases.begin();
    std::vector<std::int64_t> text;
    for (int step = 0; step < 20; ++step) {
      text.push_back(static_cast<std::int64_t>(random.uniform(counter++) * 3));
      phrases.advance(state, text.back());
      std::int64_t bank = 0;
      bool all = true;
      std::vector<std::int64_t> next;
      for (const PhraseAlternatives& alternatives : constraints) {
        const bool met = std::any_of(alternatives.begin(), alternatives.end(),
                                     [&](const auto& phrase) { return occurs(text, phrase); });
        std::int64_t longest = 0, furthest = 0;
        for (const auto& phrase : alternatives) {
          longest = std::max(longest, std::ssize(phrase));
          furthest = std::max(furthest, begun(text, phrase));
          if (!met) next.push_back(phrase[static_cast<std::size_t>(begun(text, phrase))]);
        }
        bank += met ? longest : furthest;
        all = all && met;
      }
      std::sort(next.begin(), next.end());
      next.erase(std::unique(next.begin(), next.end()), next.end());
      EXPECT_EQ(phrases.bank(state), bank);
      EXPECT_EQ(phrases.all_met(state), all);
      EXPECT_EQ(phrases.next_tokens(state), next);
    }
  }
}

}  // namespace
}  // namespace powerhouse
