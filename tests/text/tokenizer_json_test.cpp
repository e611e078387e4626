// tokenizer.json against Hugging Face's tokenizers and transformers (tests/oracles/tokenizer.py).
#include "text/tokenizer_json.h"

#include <atomic>
#include <thread>

#include "support/mapped_file.h"
#include "text/tokenizer_impl.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::Ids;
using testing::integers;
using testing::streamed;
using testing::text_fixture;

class TokenizerJson : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerJson, GivesTheIdsAndTextsOfTokenizers) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture(GetParam()));
  const Json cases = Json::parse_file(text_fixture(GetParam()) + std::string("/cases.json"));
  ASSERT_GT(cases.as_array().size(), 80u);
  for (const Json& expected : cases.as_array()) {
    const std::string& text = expected.at("text").as_string();
    SCOPED_TRACE(Json(text).dump());
    const Ids ids = integers(expected.at("ids"));
    EXPECT_EQ(tokenizer.encode(text, {.add_special_tokens = false}), ids);
    const Json* unparsed = expected.get("unparsed");
    EXPECT_EQ(tokenizer.encode(text, {.add_special_tokens = false, .parse_special = false}),
              unparsed != nullptr ? integers(*unparsed) : ids);
    const std::string decoded = expected.string_or("decoded", text);
    EXPECT_EQ(tokenizer.decode(ids), decoded);
    EXPECT_EQ(streamed(tokenizer, ids), decoded);
    const std::string skipped = expected.string_or("skipped", decoded);
    EXPECT_EQ(tokenizer.decode(ids, {.skip_special_tokens = true}), skipped);
    EXPECT_EQ(streamed(tokenizer, ids, {.skip_special_tokens = true}), skipped);

    // What the post-processor adds, but for a BOS that the text has already.
    const Json* with_specials = expected.get("with_specials");
    Ids complete = with_specials != nullptr ? integers(*with_specials) : ids;
    if (complete.size() > 1 && complete.size() > ids.size() && complete[0] == complete[1])
      complete.erase(complete.begin());
    EXPECT_EQ(tokenizer.encode(text), complete);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, TokenizerJson,
                         ::testing::Values("gpt2", "gpt2_prefix", "llama3", "qwen2", "smollm", "cased", "middle",
                                           "split_removed", "split_merged_with_previous", "split_merged_with_next",
                                           "split_contiguous", "split_isolated_inverted", "split_removed_inverted",
                                           "nfd", "nfkc", "nfkd", "characters_fused", "characters_fallback",
                                           "characters_unknown", "unigram_scores"),
                         [](const auto& info) { return std::string(info.param); });

TEST(TokenizerFolder, ReadsWhatTransformersReads) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("folder"));
  const Json expected = Json::parse_file(text_fixture("folder/expected.json"));
  EXPECT_EQ(static_cast<std::int64_t>(tokenizer.vocab_size()), expected.at("length").as_integer());
  EXPECT_EQ(tokenizer.bos_token_id(), expected.at("bos").as_integer());
  EXPECT_EQ(tokenizer.eos_token_id(), expected.at("eos").as_integer());
  EXPECT_EQ(tokenizer.pad_token_id(), expected.at("pad").as_integer());
  EXPECT_EQ(tokenizer.unk_token_id(), std::nullopt);
  for (const Json& id : expected.at("special").as_array()) EXPECT_TRUE(tokenizer.is_special(id.as_integer()));
  for (const Json& entry : expected.at("cases").as_array()) {
    const std::string& text = entry.at("text").as_string();
    EXPECT_EQ(tokenizer.encode(text), integers(entry.at("ids"))) << text;
    EXPECT_EQ(tokenizer.encode(text, {.add_special_tokens = false}), integers(entry.at("plain"))) << text;
  }
  EXPECT_EQ(tokenizer.chat_template(), "{{ messages }}");
  EXPECT_EQ(tokenizer.special_tokens_json(),
            R"({"bos_token":"<|im_start|>","eos_token":"<|endoftext|>","pad_token":"<pad>"})");
}

TEST(TokenizerFolder, TakesEveryEndOfGenerationThatTheVocabularyHas) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("folder"));
  EXPECT_EQ(tokenizer.end_of_generation_ids(), (Ids{420, 422}));
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("gpt2"));
  const auto id = tokenizer.token_to_id("<|im_end|>");
  ASSERT_TRUE(id);
  EXPECT_EQ(tokenizer.id_to_token(*id), "<|im_end|>");
  EXPECT_TRUE(tokenizer.is_special(*id));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.token_to_id("<tool>")));
  EXPECT_EQ(tokenizer.token_to_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.token_to_id(""), std::nullopt);
}

TEST(Tokenizer, AddsNoSecondBos) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("llama3"));
  const std::int64_t bos = *tokenizer.token_to_id("<|im_start|>");
  EXPECT_EQ(tokenizer.encode("").front(), bos);
  EXPECT_EQ(tokenizer.encode("<|im_start|>a"), tokenizer.encode("a"));
  const Ids text_only = tokenizer.encode("<|im_start|>a", {.parse_special = false});
  EXPECT_EQ(text_only.front(), bos);
  EXPECT_NE(text_only[1], bos);
}

TEST(Tokenizer, ServesSeveralThreads) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("cased"));
  const Json cases = Json::parse_file(text_fixture("cased/cases.json"));
  std::atomic<int> differences = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, copy = tokenizer] {
      for (const Json& entry : cases.as_array()) {
        const Ids ids = copy.encode(entry.at("text").as_string(), {.add_special_tokens = false});
        differences += ids != integers(entry.at("ids"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differences, 0);
}

TEST(DecodeStream, NeverShowsHalfACharacter) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("characters_fallback"));
  DecodeStream stream(tokenizer);
  EXPECT_EQ(stream.step(*tokenizer.token_to_id("a")), "a");

  const Tokenizer bytes = Tokenizer::from_pretrained(text_fixture("gpt2"));
  const auto byte = [&](const char* character) { return *bytes.token_to_id(character); };
  DecodeStream emoji(bytes);  // F0 9F 98 80 in GPT-2's alphabet
  EXPECT_EQ(emoji.step(byte("ð")), "");
  EXPECT_EQ(emoji.step(byte("Ł")), "");
  const DecodeStream half = emoji;
  EXPECT_EQ(emoji.step(byte("ĺ")), "");
  EXPECT_EQ(emoji.step(byte("Ģ")), "\U0001F600");
  EXPECT_EQ(emoji.finish(), "");
  DecodeStream other = half;
  EXPECT_EQ(other.step(byte("a")), "\uFFFDa");
  other = half;
  EXPECT_EQ(other.finish(), "\uFFFD");
  EXPECT_EQ(other.step(byte("a")), "a");
}

TEST(DecodeStream, PiecesAreTheWholeForAnyIds) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("smollm"));
  std::uint64_t state = 7;
  for (int round = 0; round < 300; ++round) {
    Ids ids;
    for (int i = 0; i < 40; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      // Byte tokens mostly: sequences that break in every way.
      const std::uint64_t limit = (state >> 20) % 4 == 0 ? tokenizer.vocab_size() : 256;
      ids.push_back(static_cast<std::int64_t>((state >> 33) % limit));
    }
    EXPECT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids));
  }
}

}  // namespace
}  // namespace powerhouse
