// The cache of words stays within its bounds and forgets nothing that it says it knows; batches give the ids of single
// texts.
#include "text/word_cache.h"

#include <gtest/gtest.h>

#include <ctime>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "powerhouse/error.h"
#include "powerhouse/tokenizer.h"
#include "support/cpu_info.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using Ids = std::vector<std::int64_t>;

std::optional<Ids> look(const WordCache& cache, const std::string& word) {
  const WordCache::Key key = cache.key_of(word);
  const WordCache::Slot* slot = cache.find(key, cache.hash(key));
  if (slot == nullptr) return std::nullopt;
  if (slot->holds_ids()) return Ids(slot->ids, slot->ids + slot->count);
  const auto ids = cache.ids_of(*slot, word);
  return Ids(ids.begin(), ids.end());
}

TEST(WordCache, GivesBackWhatItWasGiven) {
  std::mt19937 random(3);
  WordCache cache;
  std::map<std::string, Ids> words;
  for (int round = 0; round < 20000; ++round) {
    std::string word(1 + random() % (round % 10 == 0 ? 260 : 20), 'a');
    for (char& c : word) c = static_cast<char>(random() % 3 == 0 ? random() : 'a' + random() % 2);
    Ids ids(random() % (round % 10 == 0 ? 300 : 6));
    for (auto& id : ids) id = static_cast<std::int64_t>(random() % 0x7FFFFFFF);
    if (!words.emplace(word, ids).second) continue;
    cache.add(word, ids);
    const bool kept = word.size() <= WordCache::kLongest && ids.size() <= 255;
    if (word.size() <= WordCache::kLongest) {
      ASSERT_EQ(look(cache, word).has_value(), kept) << word.size() << " bytes, " << ids.size() << " ids";
    }
  }
  std::size_t known = 0;
  for (const auto& [word, ids] : words) {
    if (word.size() > WordCache::kLongest) continue;
    const auto found = look(cache, word);
    if (!found) continue;
    ++known;
    ASSERT_EQ(*found, ids);
  }
  EXPECT_GT(known, words.size() / 2);
}

TEST(TokenizerSpeed, EndlessDistinctWordsTakeBoundedMemory) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(testing::text_fixture("smollm"));
  std::string text;
  std::uint64_t number = 0;
  unsigned long long before = 0;
  for (int round = 0; round < 40; ++round) {
    text.clear();
    while (text.size() < 1'000'000) {
      text += ' ';
      for (std::uint64_t left = ++number * 0x9E3779B97F4A7C15u; left != 0; left /= 26) {
        text += static_cast<char>('a' + left % 26);
      }
    }
    tokenizer.encode(text);
    if (round == 19) before = peak_resident_bytes();  // from here on the cache is full
  }
  EXPECT_LT(peak_resident_bytes() - before, 4u << 20);
}

TEST(TokenizerSpeed, AWordOfTenMegabytesTakesNoQuadraticTime) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(testing::text_fixture("smollm"));
  std::mt19937 random(5);
  for (const unsigned letters : {1u, 26u}) {
    std::string word(10'000'000, 'a');
    for (char& c : word) c = static_cast<char>('a' + random() % letters);
    const std::clock_t begin = std::clock();  // the processor's time: other programs must not make the test fail
    const Ids ids = tokenizer.encode(word);
    const auto seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    EXPECT_EQ(tokenizer.decode(ids), word);
    EXPECT_LT(seconds, 60);  // quadratic: hours
  }
}

TEST(TokenizerBatch, GivesTheIdsOfSingleTexts) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(testing::text_fixture("llama3"));
  const Json cases = Json::parse_file(testing::text_fixture("llama3/cases.json"));
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (const Json& entry : cases.as_array()) {
    texts.push_back(entry.at("text").as_string());
    expected.push_back(testing::integers(entry.at("ids")));
  }
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(tokenizer.encode_batch_ids(texts, {.add_special_tokens = false}), expected);
  }
  EXPECT_TRUE(tokenizer.encode_batch_ids({}).empty());
  texts[3] = "\xFF";
  EXPECT_THROW(tokenizer.encode_batch_ids(texts), Error);
  texts[3] = cases.as_array()[3].at("text").as_string();
  EXPECT_EQ(tokenizer.encode_batch_ids(texts, {.add_special_tokens = false}), expected);
}

}  // namespace
}  // namespace powerhouse
