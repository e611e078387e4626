// However a text is cut into pieces, a stop string is found, and no part of it is shown.
#include "generation/stopping.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/philox.h"

namespace powerhouse {
namespace {

TEST(StopFilter, HoldsBackJustWhatCouldBecomeAStopString) {
  StopFilter filter({"END", "<|x|>"});
  EXPECT_EQ(filter.push("hello E"), "hello ");
  EXPECT_EQ(filter.push("N"), "");
  EXPECT_EQ(filter.push("TER "), "ENTER ");
  EXPECT_EQ(filter.push("a <|"), "a ");
  EXPECT_EQ(filter.push("y"), "<|y");
  EXPECT_FALSE(filter.stopped());
  EXPECT_EQ(filter.push("so EN"), "so ");
  EXPECT_EQ(filter.push("D and more"), "");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("unseen"), "");
  EXPECT_EQ(filter.finish(), "");
}

TEST(StopFilter, ShowsWhatItHeldAtTheEnd) {
  StopFilter filter({"END"});
  EXPECT_EQ(filter.push("the E"), "the ");
  EXPECT_EQ(filter.finish(), "E");
}

TEST(StopFilter, EqualsASearchInTheWholeText) {
  const Random random(9, RandomStream::data);
  std::uint64_t counter = 0;
  const auto pick = [&](std::uint32_t below) { return random.block(counter++)[0] % below; };
  const auto text_of = [&](std::uint32_t length) {
    std::string text;
    for (std::uint32_t i = 0; i < length; ++i) text += static_cast<char>('a' + pick(2));
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    const std::string text = text_of(pick(40));
    std::vector<std::string> stops;
    for (std::uint32_t i = 0; i <= pick(3); ++i) stops.push_back(text_of(1 + pick(6)));
    StopFilter filter(stops);
    std::string shown;
    std::size_t at = 0;
    std::size_t stopped_at = std::string::npos;
    while (at < text.size() && !filter.stopped()) {
      const std::size_t size = std::min<std::size_t>(1 + pick(5), text.size() - at);
      shown += filter.push(std::string_view(text).substr(at, size));
      at += size;
      if (filter.stopped()) stopped_at = at;
    }
    if (!filter.stopped()) shown += filter.finish();
    // What had come when it stopped, cut before the first stop string in it.
    const std::string_view seen = std::string_view(text).substr(0, stopped_at);
    std::size_t first = std::string::npos;
    for (const std::string& stop : stops) first = std::min(first, seen.find(stop));
    EXPECT_EQ(filter.stopped(), first != std::string::npos);
    EXPECT_EQ(shown, seen.substr(0, first)) << text;
  }
}

TEST(StopFilter, HoldsBackWhatAPatternMayStillMatch) {
  const std::vector<std::string> patterns = {"[0-9]+;", "(?<=x)y"};
  StopFilter filter({"END"}, patterns);
  EXPECT_EQ(filter.push("a 1"), "a ");
  EXPECT_EQ(filter.push("23 "), "123 ");
  EXPECT_EQ(filter.push("y x"), "y x");  // what was shown is looked back at
  EXPECT_EQ(filter.push("y 4"), "");
  EXPECT_TRUE(filter.stopped());
  StopFilter at_end({}, std::vector<std::string>{"b+$"});
  EXPECT_EQ(at_end.push("abb"), "a");
  EXPECT_FALSE(at_end.stopped());
  EXPECT_EQ(at_end.finish(), "");
  EXPECT_TRUE(at_end.stopped());
}

TEST(StopFilter, FindsPatternsAsASearchInTheWholeTextDoes) {
  const Random random(10, RandomStream::data);
  std::uint64_t counter = 0;
  const auto pick = [&](std::uint32_t below) { return random.block(counter++)[0] % below; };
  const std::vector<std::string> all = {"ab+a", "b{3,4}", "a(?=bb)", "(?<=bb)a", "a(?!a)b|bbab", "(a|bb)+ba", "^b+a"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (std::uint32_t i = 0; i < pick(30); ++i) text += static_cast<char>('a' + pick(2));
    const std::string& pattern = all[pick(static_cast<std::uint32_t>(all.size()))];
    StopFilter filter({}, std::vector<std::string>{pattern});
    std::string shown;
    for (std::size_t at = 0; at < text.size() && !filter.stopped();) {
      const std::size_t size = std::min<std::size_t>(1 + pick(4), text.size() - at);
      shown += filter.push(std::string_view(text).substr(at, size));
      at += size;
    }
    if (!filter.stopped()) shown += filter.finish();
    const auto found = Regex(pattern).find_all(text);
    EXPECT_EQ(filter.stopped(), !found.empty()) << pattern << " in " << text;
    EXPECT_EQ(shown, found.empty() ? text : text.substr(0, found.front().start)) << pattern << " in " << text;
  }
}

}  // namespace
}  // namespace powerhouse
