// The tokenizer of a GGUF file against tokenizers and llama.cpp (tests/oracles/tokenizer_gguf.py).
#include "text/tokenizer_gguf.h"

#include <cstdlib>
#include <mutex>

#include "expect_error.h"
#include "powerhouse/log.h"
#include "text/tokenizer_impl.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::Ids;
using testing::integers;
using testing::streamed;
using testing::text_fixture;

// Collects the library's messages while it lives.
class Messages {
 public:
  Messages() {
    set_log_sink([this](LogLevel, std::string_view message) { text_ += std::string(message) + "\n"; });
  }
  ~Messages() {
    set_log_sink([](LogLevel, std::string_view message) {
      std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
    });
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

Tokenizer load(const std::string& name) { return Tokenizer::from_pretrained(text_fixture("gguf/" + name + ".gguf")); }

TEST(TokenizerGguf, GivesTheIdsOfTokenizers) {
  const Tokenizer tokenizer = load("smollm");
  const std::int64_t bos = *tokenizer.bos_token_id();
  const Json cases = Json::parse_file(text_fixture("gguf/smollm.json"));
  ASSERT_GT(cases.as_array().size(), 100u);
  for (const Json& expected : cases.as_array()) {
    const std::string& text = expected.at("text").as_string();
    SCOPED_TRACE(Json(text).dump());
    Ids ids = integers(expected.at("ids"));
    EXPECT_EQ(tokenizer.encode(text, {.add_special_tokens = false}), ids);
    EXPECT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids));
    if (ids.empty() || ids.front() != bos) ids.insert(ids.begin(), bos);
    EXPECT_EQ(tokenizer.encode(text), ids);
  }
}

TEST(TokenizerGguf, ReadsSpecialTokens) {
  const Tokenizer tokenizer = load("smollm");
  EXPECT_EQ(tokenizer.id_to_token(*tokenizer.bos_token_id()), "<|im_start|>");
  EXPECT_EQ(tokenizer.id_to_token(*tokenizer.eos_token_id()), "<|im_end|>");
  EXPECT_EQ(tokenizer.id_to_token(*tokenizer.unk_token_id()), "<|endoftext|>");
  EXPECT_EQ(tokenizer.pad_token_id(), tokenizer.eos_token_id());
  EXPECT_EQ(tokenizer.end_of_generation_ids(),
            (Ids{*tokenizer.eos_token_id(), *tokenizer.token_to_id("<tool> <|im_end|>"),
                 *tokenizer.token_to_id("<|endoftext|>")}));  // llama.cpp knows the last by its text
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.unk_token_id()));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.token_to_id("<tool>")));
  EXPECT_EQ(tokenizer.chat_template(), "{{ bos_token }}");
  EXPECT_EQ(Json::parse(tokenizer.special_tokens_json(), "t").at("bos_token").as_string(), "<|im_start|>");
}

// llama.cpp: without parse_special control tokens are text, and user-defined ones are found all the same.
TEST(TokenizerGguf, FindsUserDefinedTokensAlways) {
  const Tokenizer tokenizer = load("smollm");
  const EncodeOptions plain{.add_special_tokens = false, .parse_special = false};
  const std::int64_t tool = *tokenizer.token_to_id("<tool>");
  EXPECT_EQ(tokenizer.encode("<tool>", plain), Ids{tool});
  EXPECT_GT(tokenizer.encode("<|im_end|>", plain).size(), 1u);
  // The longer control token does not take part, and does not hide the one inside it.
  EXPECT_EQ(tokenizer.encode("<tool> <|im_end|>", plain).front(), tool);
  EXPECT_EQ(tokenizer.encode("<tool> <|im_end|>", {.add_special_tokens = false}).size(), 1u);
}

TEST(TokenizerGguf, WarnsOfSpecialIdsBeyondTheVocabulary) {
  Messages messages;
  const Tokenizer tokenizer = load("bad_special_ids");
  EXPECT_EQ(tokenizer.bos_token_id(), std::nullopt);
  EXPECT_EQ(tokenizer.eos_token_id(), std::nullopt);
  EXPECT_EQ(tokenizer.end_of_generation_ids(),
            (Ids{*tokenizer.token_to_id("<|im_end|>"), *tokenizer.token_to_id("<|endoftext|>")}));
  EXPECT_NE(messages.text().find("tokenizer.ggml.bos_token_id is 70000"), std::string::npos) << messages.text();
  EXPECT_NE(messages.text().find("tokenizer.ggml.eos_token_id"), std::string::npos) << messages.text();
  EXPECT_EQ(tokenizer.encode("a").size(), 1u);
}

TEST(TokenizerGguf, WarnsWhereThePreTokenizerIsMissing) {
  Messages messages;
  const Tokenizer tokenizer = load("no_pre");
  EXPECT_NE(messages.text().find("tokenizer.ggml.pre is missing"), std::string::npos) << messages.text();
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a 12345, b!")), "a 12345, b!");
}

TEST(TokenizerGguf, RefusesWhatIsNotBuilt) {
  expect_error(ErrorKind::unsupported, "rwkv", [] { load("unknown_model"); });
  expect_error(ErrorKind::unsupported, "gpt2, gemma4 (BPE), llama", [] { load("unknown_model"); });
  expect_error(ErrorKind::unsupported, "no-such-pre", [] { load("unknown_pre"); });
  expect_error(ErrorKind::unsupported, "smollm, starcoder", [] { load("unknown_pre"); });
}

TEST(TokenizerGguf, RefusesMetadataThatContradictThemselves) {
  expect_error(ErrorKind::format, "tokenizer.ggml.token_type", [] { load("few_types"); });
  expect_error(ErrorKind::format, "tokenizer.ggml.merges", [] { load("no_merges"); });
  expect_error(ErrorKind::format, "QQ", [] { load("bad_merge"); });
  expect_error(ErrorKind::format, "QQ", [] { load("bad_merge_spelling"); });
  expect_error(ErrorKind::format, "twice", [] { load("repeated_token"); });
}

TEST(TokenizerGguf, EveryKnownNameCutsWithoutLoss) {
  for (const char* name : {"gpt-2", "smollm", "llama-bpe", "qwen2", "gpt-4o", "tekken", "falcon", "default", "glm4"}) {
    const GgufPreTokenizer meaning = gguf_pre_tokenizer(name);
    const std::string text = "It's 12345 naïve\r\n\r\n  words!!! 你好 (x)\t ";
    std::string joined;
    meaning.pre_tokenizer.split(text, [&](std::string_view piece) { joined += piece; });
    EXPECT_EQ(joined, text) << name;
  }
}

TEST(TokenizerGguf, GivesTheIdsOfTokenizersAndLlamaCppInTheRealVocabulary) {
  const char* model = std::getenv("POWERHOUSE_TEST_MODEL");
  if (model == nullptr) {
    GTEST_SKIP() << "SKIPPED: set POWERHOUSE_TEST_MODEL to SmolLM2-135M-Instruct.Q4_1.gguf to test its real vocabulary";
  }
  const Tokenizer tokenizer = Tokenizer::from_pretrained(model);
  EXPECT_EQ(tokenizer.vocab_size(), 49152u);
  EXPECT_EQ(tokenizer.bos_token_id(), 1);
  EXPECT_EQ(tokenizer.eos_token_id(), 2);
  EXPECT_EQ(tokenizer.end_of_generation_ids(), (Ids{2, 4, 0}));  // im_end, repo_name, endoftext
  const Json cases = Json::parse_file(text_fixture("smollm2.json"));
  ASSERT_GT(cases.as_array().size(), 300u);
  for (const Json& expected : cases.as_array()) {
    const std::string& text = expected.at("text").as_string();
    EXPECT_EQ(tokenizer.encode(text), integers(expected.at("ids"))) << Json(text).dump();
    EXPECT_EQ(streamed(tokenizer, integers(expected.at("ids"))), tokenizer.decode(integers(expected.at("ids"))));
  }
}

}  // namespace
}  // namespace powerhouse
