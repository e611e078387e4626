// Every tokenizer.ggml.model and every tokenizer.ggml.pre against llama.cpp (tests/oracles/gguf_*.py): the ids, what is
// added around them, the bytes of tokens and the ends of generation.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gguf_pre_file.h"
#include "temporary_folder.h"
#include "text/tokenizer_impl.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::from_hex;
using testing::Ids;
using testing::integers;
using testing::streamed;
using testing::text_fixture;

const Json& of_plain(const Json& plain, const Json& special) { return plain.is_null() ? special : plain; }

// The ids of all texts with and without special tokens; spans and streams agree with them.
void expect_ids(const Tokenizer& tokenizer, const Json& texts, const Json& rows) {
  for (std::size_t i = 0; i < texts.as_array().size(); ++i) {
    const std::string& text = texts.as_array()[i].as_string();
    SCOPED_TRACE(Json(text).dump());
    const Json& special = rows.at("special").as_array()[i];
    for (const bool parse_special : {true, false}) {
      const Json& wanted = parse_special ? special : of_plain(rows.at("plain").as_array()[i], special);
      const Ids ids = tokenizer.encode(text, {.add_special_tokens = false, .parse_special = parse_special});
      EXPECT_EQ(ids, integers(wanted)) << parse_special;
      const EncodingOptions spans{.add_special_tokens = false, .parse_special = parse_special};
      EXPECT_EQ(tokenizer.encode_full(text, spans).ids, ids) << parse_special;
      EXPECT_EQ(streamed(tokenizer, ids), tokenizer.decode(ids)) << parse_special;
    }
  }
}

void expect_ends(const Tokenizer& tokenizer, const Json& wanted) {
  Ids ends = tokenizer.end_of_generation_ids();
  std::sort(ends.begin(), ends.end());
  EXPECT_EQ(ends, integers(wanted));
}

TEST(TokenizerGgufModels, GiveTheIdsOfLlamaCpp) {
  const Json cases = Json::parse_file(text_fixture("gguf_models/cases.json"));
  ASSERT_EQ(cases.at("models").as_object().size(), 9u);
  for (const auto& [name, rows] : cases.at("models").as_object()) {
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("gguf_models/" + name));
    expect_ids(tokenizer, cases.at("texts"), rows);
    expect_ends(tokenizer, rows.at("end"));
    EXPECT_EQ(tokenizer.encode(""), integers(rows.at("added")));
    const TokenPieces& pieces = Tokenizer::Impl::of(tokenizer).pieces;
    for (const auto& [id, bytes] : rows.at("pieces").as_object()) {
      const std::size_t number = std::stoul(id);
      const std::string_view spelled = Tokenizer::Impl::of(tokenizer).text(static_cast<std::int64_t>(number));
      EXPECT_EQ(pieces.bytes(number, spelled, false), from_hex(bytes.as_string())) << "token " << id;
    }
  }
}

// A stream shows characters when they are whole, the blank that was put before the text never.
TEST(TokenizerGgufModels, StreamWholeCharacters) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(text_fixture("gguf_models/spm.gguf"));
  const std::string text = "a \xF0\x9F\xA6\x9C b";  // U+1F99C: four byte tokens
  const Ids ids = tokenizer.encode(text, {.add_special_tokens = false});
  EXPECT_EQ(tokenizer.decode(ids), text);
  DecodeStream stream(tokenizer);
  std::string shown;
  for (const std::int64_t id : ids) {
    const std::string part = stream.step(id);
    EXPECT_TRUE(part.find('\xF0') == std::string::npos || part.find("\xF0\x9F\xA6\x9C") != std::string::npos);
    shown += part;
  }
  EXPECT_EQ(shown + stream.finish(), text);
}

TEST(GgufPreTokenizers, GiveTheIdsOfLlamaCpp) {
  const Json fixture = Json::parse_file(text_fixture("gguf_pre/cases.json"));
  const auto& names = fixture.at("names").as_array();
  ASSERT_GT(names.size(), 80u);
  const testing::GgufPreFile file;
  const EncodeOptions plain{.add_special_tokens = false, .parse_special = false};
  for (std::size_t n = 0; n < names.size(); ++n) {
    SCOPED_TRACE(names[n].as_string());
    const Tokenizer tokenizer = Tokenizer::from_pretrained(file.with(names[n].as_string()));
    for (const Json& expected : fixture.at("cases").as_array()) {
      const auto which = static_cast<std::size_t>(expected.at("which").as_array()[n].as_integer());
      const std::string& text = expected.at("text").as_string();
      EXPECT_EQ(tokenizer.encode(text, plain), integers(expected.at("ids").as_array()[which])) << Json(text).dump();
    }
  }
}

TEST(TokenizerGgufVocabularies, GiveTheIdsOfLlamaCpp) {
  const char* folder = std::getenv("POWERHOUSE_TEST_VOCABULARIES");
  if (folder == nullptr) {
    GTEST_SKIP() << "SKIPPED: set POWERHOUSE_TEST_VOCABULARIES to llama.cpp's folder of ggml-vocab-*.gguf files";
  }
  const Json fixture = Json::parse_file(text_fixture("gguf_vocabularies.json"));
  ASSERT_EQ(fixture.at("vocabularies").as_object().size(), 19u);
  for (const auto& [name, rows] : fixture.at("vocabularies").as_object()) {
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = Tokenizer::from_pretrained((std::filesystem::path(folder) / name).string());
    expect_ids(tokenizer, fixture.at("texts"), rows);
    expect_ends(tokenizer, rows.at("end"));
  }
}

}  // namespace
}  // namespace powerhouse
