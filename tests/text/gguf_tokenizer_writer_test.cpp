// Tokenizers of folders as GGUF metadata, against llama.cpp's converter (tests/oracles/gguf_from_folder.py).
#include "text/gguf_tokenizer_writer.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "expect_error.h"
#include "file_bytes.h"
#include "support/sha256.h"
#include "temporary_folder.h"
#include "text/tokenizer_impl.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::file_bytes;
using testing::TemporaryFolder;
using testing::text_fixture;

const GgufEntry::Value* find(const std::vector<GgufEntry>& entries, std::string_view key) {
  for (const GgufEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

// A value as Json, floats as they print.
Json as_json(const GgufEntry::Value& value) {
  return std::visit(
      [](const auto& held) -> Json {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, std::string> || std::is_same_v<Held, bool>) {
          return Json(held);
        } else if constexpr (std::is_same_v<Held, GgufVerbatim>) {
          return Json(held.bytes);
        } else if constexpr (std::is_arithmetic_v<Held>) {
          return std::is_floating_point_v<Held> ? Json(static_cast<double>(held))
                                                : Json(static_cast<std::int64_t>(held));
        } else {
          Json::Array list;
          for (const auto& item : held) list.push_back(as_json(typename Held::value_type(item)));
          return Json(std::move(list));
        }
      },
      value);
}

void write_folder(const TemporaryFolder& folder, const Json& expected) {
  const std::string& file = expected.at("file").as_string();
  folder.write(file.ends_with(".model") ? "tokenizer.model" : "tokenizer.json", file_bytes(text_fixture(file)));
  folder.write("tokenizer_config.json", expected.at("tokenizer_config").dump());
  folder.write("config.json", expected.at("config").dump());
}

// Writes the metadata alone, and holds the file's tokenizer to the folder's.
void write_and_check(const TemporaryFolder& folder, const GgufTokenizer& tokenizer) {
  std::vector<GgufEntry> metadata = {{"general.architecture", std::string("llama")}};
  metadata.insert(metadata.end(), tokenizer.entries().begin(), tokenizer.entries().end());
  write_gguf(folder.file("out.gguf"), metadata, {},
             [&](const std::string& path) { tokenizer.check(*GgufFile::open(path)); });
}

TEST(GgufTokenizerWriter, WritesWhatTheConverterWrites) {
  const Json cases = Json::parse_file(text_fixture("gguf_from_folder/cases.json"));
  ASSERT_EQ(cases.as_object().size(), 6u);
  for (const auto& [name, expected] : cases.as_object()) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    write_folder(folder, expected);
    const GgufTokenizer tokenizer(folder.path(), expected.at("rows").as_integer());
    const auto& entries = tokenizer.entries();
    for (const auto& [key, value] : expected.at("metadata").as_object()) {
      if (key == "tokenizer.ggml.add_sep_token") continue;  // of pairs, which llama.cpp's decoders do not know
      SCOPED_TRACE(key);
      const GgufEntry::Value* found = find(entries, key);
      ASSERT_NE(found, nullptr);
      const Json ours = as_json(*found);
      if (name != "llama2" || !key.ends_with(".token_type")) {
        EXPECT_EQ(ours.dump(), value.dump());
        continue;
      }
      // The converter takes Llama 2's <unk> for a control token where it comes from tokenizer.json.
      EXPECT_EQ(ours.as_array()[0].as_integer(), 2);
      for (std::size_t id = 1; id < value.as_array().size(); ++id) {
        EXPECT_EQ(ours.as_array()[id].dump(), value.as_array()[id].dump()) << id;
      }
    }
    write_and_check(folder, tokenizer);
    const Tokenizer saved = Tokenizer::from_pretrained(folder.file("out.gguf"));
    if (name == "llama2") {
      EXPECT_TRUE(as_json(*find(entries, "tokenizer.ggml.add_space_prefix")).as_bool());
    }
    const Tokenizer source = Tokenizer::from_pretrained(folder.path());
    EXPECT_EQ(saved.vocab_size(), static_cast<std::size_t>(expected.at("rows").as_integer()));
    EXPECT_EQ(saved.bos_token_id().value_or(-1),
              find(entries, "tokenizer.ggml.bos_token_id") == nullptr
                  ? -1
                  : as_json(*find(entries, "tokenizer.ggml.bos_token_id")).as_integer());
    EXPECT_EQ(saved.chat_template(), source.chat_template());
    EXPECT_EQ(saved.chat_template_names().size(), source.chat_template_names().size());
  }
}

TEST(GgufTokenizerWriter, RefusesWhatLlamaCppCannotSay) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", file_bytes(text_fixture("smollm/tokenizer.json")));
  expect_error(ErrorKind::format, "more tokens", [&] { GgufTokenizer(folder.path(), 100); });
  folder.write("tokenizer.json", file_bytes(text_fixture("characters_unknown/tokenizer.json")));
  expect_error(ErrorKind::unsupported, "byte fallback", [&] { GgufTokenizer(folder.path(), 100000); });
  // GPT-2's with a blank before each text: llama.cpp has no such thing.
  folder.write("tokenizer.json", file_bytes(text_fixture("gpt2_prefix/tokenizer.json")));
  expect_error(ErrorKind::unsupported, "tokenizer.ggml.pre", [&] { GgufTokenizer(folder.path(), 100000); });
  folder.write("tokenizer.json", file_bytes(text_fixture("nfkc/tokenizer.json")));
  expect_error(ErrorKind::unsupported, "normalizer", [&] { GgufTokenizer(folder.path(), 100000); });
}

// llama.cpp puts a blank after every user-defined piece, SentencePiece does not.
TEST(GgufTokenizerWriter, FindsWhatLlamaCppWouldDoOtherwise) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", file_bytes(text_fixture("sentencepiece/bpe.model")));
  const GgufTokenizer tokenizer(folder.path(), 600);
  expect_error(ErrorKind::unsupported, "can't tokenize", [&] { write_and_check(folder, tokenizer); });
  EXPECT_FALSE(std::ifstream(folder.file("out.gguf")).good());
}

TEST(Sha256, GivesTheDigestsOfTheStandard) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// The converter's hash, in the vocabulary that it was made from.
TEST(GgufTokenizerWriter, KnowsSmolLm2ByItsHash) {
  const char* path = std::getenv("POWERHOUSE_TEST_MODEL");
  if (path == nullptr) {
    GTEST_SKIP() << "SKIPPED: set POWERHOUSE_TEST_MODEL to SmolLM2-135M-Instruct.Q4_1.gguf to test its real vocabulary";
  }
  const auto file = GgufFile::open(path);
  const auto& tokens = *file->strings("tokenizer.ggml.tokens");
  const auto types = *file->integers("tokenizer.ggml.token_type");
  JsonObject vocabulary;
  Json::Array merges, added;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    vocabulary[std::string(tokens[id])] = Json(static_cast<std::int64_t>(id));
    if (types[id] != 3) continue;
    JsonObject token;
    token["id"] = Json(static_cast<std::int64_t>(id));
    token["content"] = Json(std::string(tokens[id]));
    token["special"] = Json(true);
    token["normalized"] = Json(false);
    added.emplace_back(std::move(token));
  }
  for (const std::string_view merge : *file->strings("tokenizer.ggml.merges")) merges.emplace_back(std::string(merge));
  JsonObject model;
  model["type"] = Json("BPE");
  model["vocab"] = Json(std::move(vocabulary));
  model["merges"] = Json(std::move(merges));
  const TemporaryFolder folder;
  folder.write(
      "tokenizer.json",
      R"({"normalizer":null,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
      R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]},"decoder":{"type":"ByteLevel"},"added_tokens":)" +
          Json(std::move(added)).dump() + R"(,"model":)" + Json(std::move(model)).dump() + "}");
  const GgufTokenizer tokenizer(folder.path(), static_cast<std::int64_t>(tokens.size()));
  const auto& entries = tokenizer.entries();
  EXPECT_EQ(as_json(*find(entries, "tokenizer.ggml.pre")).as_string(), "smollm");
  const auto copied = copy_entries(*file, "tokenizer.");
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
    EXPECT_EQ(*find(entries, key), *find(copied, key)) << key;
  }
  write_and_check(folder, tokenizer);
}

}  // namespace
}  // namespace powerhouse
