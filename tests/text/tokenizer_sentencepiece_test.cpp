// SentencePiece's files against the sentencepiece package and transformers (tests/oracles/sentencepiece_models.py).
#include <filesystem>
#include <iterator>

#include "expect_error.h"
#include "file_bytes.h"
#include "temporary_folder.h"
#include "text/sentencepiece_file.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::file_bytes;
using testing::Ids;
using testing::integers;
using testing::streamed;
using testing::TemporaryFolder;
using testing::text_fixture;

std::string fixture(const std::string& name) { return text_fixture("sentencepiece/" + name); }

const Json& cases() {
  static const Json loaded = Json::parse_file(fixture("cases.json"));
  return loaded;
}

void expect_role(std::optional<std::int64_t> id, const Json& wanted) {
  EXPECT_EQ(id.value_or(-1), wanted.as_integer());
}

TEST(TokenizerSentencePiece, GivesTheIdsAndTextsOfThePackage) {
  ASSERT_EQ(cases().at("models").as_object().size(), 6u);
  const auto& texts = cases().at("texts").as_array();
  for (const auto& [name, rows] : cases().at("models").as_object()) {
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = Tokenizer::from_pretrained(fixture(name));
    expect_role(tokenizer.bos_token_id(), rows.at("bos"));
    expect_role(tokenizer.eos_token_id(), rows.at("eos"));
    expect_role(tokenizer.unk_token_id(), rows.at("unk"));
    expect_role(tokenizer.pad_token_id(), rows.at("pad"));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string& text = texts[i].as_string();
      SCOPED_TRACE(Json(text).dump());
      const Ids wanted = integers(rows.at("ids").as_array()[i]);
      EXPECT_EQ(tokenizer.encode(text, {.parse_special = false}), wanted);
      EXPECT_EQ(tokenizer.encode_full(text, {.parse_special = false}).ids, wanted);
      const Json& shown = rows.at("texts").as_array()[i];
      if (!shown.is_null()) {
        EXPECT_EQ(tokenizer.decode(wanted), shown.as_string());
      }
      EXPECT_EQ(streamed(tokenizer, wanted), tokenizer.decode(wanted));
    }
  }
}

TEST(TokenizerSentencePiece, FoldersGiveTheIdsAndTextsOfTransformers) {
  const auto& texts = cases().at("texts").as_array();
  ASSERT_EQ(cases().at("folders").as_object().size(), 4u);
  for (const auto& [name, rows] : cases().at("folders").as_object()) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    folder.write("tokenizer.model", file_bytes(fixture(rows.at("model").as_string() + ".model")));
    folder.write("tokenizer_config.json", file_bytes(fixture(name + "/tokenizer_config.json")));
    const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string& text = texts[i].as_string();
      SCOPED_TRACE(Json(text).dump());
      if (rows.at("ids").as_array()[i].is_null()) continue;
      Ids wanted = integers(rows.at("ids").as_array()[i]);
      // Never a second BOS: here transformers differs.
      const bool doubled = wanted.size() > 1 && wanted[0] == tokenizer.bos_token_id() && wanted[1] == wanted[0];
      if (doubled && !tokenizer.encode("").empty()) wanted.erase(wanted.begin());
      EXPECT_EQ(tokenizer.encode_full(text).ids, wanted);
      EXPECT_EQ(tokenizer.encode(text), wanted);
      if (rows.at("shown").as_array().empty()) continue;
      EXPECT_EQ(tokenizer.decode(wanted, {.skip_special_tokens = true}), rows.at("shown").as_array()[i].as_string());
    }
  }
}

TEST(TokenizerSentencePiece, FoldersWithoutConfigAddNothing) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", file_bytes(fixture("bpe.model")));
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.path());
  EXPECT_EQ(tokenizer.encode("Hello"), Tokenizer::from_pretrained(fixture("bpe.model")).encode("Hello"));
  EXPECT_EQ(tokenizer.bos_token_id(), 1);
  // The class's own default.
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})");
  EXPECT_EQ(Tokenizer::from_pretrained(folder.path()).encode("").size(), 1u);
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer"})");
  expect_error(ErrorKind::unsupported, "LlamaTokenizer", [&] { Tokenizer::from_pretrained(folder.path()); });
}

TEST(TokenizerSentencePiece, RefusesWhatIsNoModel) {
  const TemporaryFolder folder;
  const std::string whole = file_bytes(fixture("bpe.model"));
  const auto load = [&](const std::string& bytes) { Tokenizer::from_pretrained(folder.write("x.model", bytes)); };
  expect_error(ErrorKind::format, "x.model", [&] { load("no model"); });
  expect_error(ErrorKind::format, "no pieces", [&] { load(""); });
  for (std::size_t size = 1; size < whole.size(); size += 61) {
    try {
      load(whole.substr(0, size));
    } catch (const Error&) {
      continue;  // cut between two fields it may be a model, with fewer pieces
    }
  }
  // Bytes turned over: an Error, or a model that encodes.
  for (std::size_t at = 0; at < whole.size(); at += 41) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
    try {
      Tokenizer::from_pretrained(folder.write("x.model", bytes)).encode("a <tool>  \xC3\xA9 b");
    } catch (const Error&) {
      continue;
    }
  }
}

// A charsmap whose table leads out of it, which the SentencePiece library would follow.
TEST(TokenizerSentencePiece, RefusesTablesThatLeadOut) {
  const std::string bytes = file_bytes(fixture("unigram.model"));
  const std::string_view map = SentencePieceFile::parse(bytes).charsmap;
  const auto at = static_cast<std::size_t>(map.data() - bytes.data());
  std::size_t refused = 0;
  for (std::size_t i = 4; i < map.size(); i += 5) {
    std::string other = bytes;
    other[at + i] = static_cast<char>(other[at + i] ^ 0xF0);
    try {
      SentencePieceFile::parse(other);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("charsmap"), std::string::npos) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 10u);
}

}  // namespace
}  // namespace powerhouse
