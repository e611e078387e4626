// Folders as transformers loads them (tests/oracles/tokenizer_folders.py): without tokenizer.json, and with older
// files.
#include "expect_error.h"
#include "temporary_folder.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::integers;
using testing::text_fixture;

class OlderFolder : public ::testing::TestWithParam<const char*> {};

TEST_P(OlderFolder, GivesWhatTransformersGives) {
  const std::string folder = text_fixture(std::string("folder_") + GetParam());
  const Tokenizer tokenizer = Tokenizer::from_pretrained(folder);
  const Json expected = Json::parse_file(folder + "/expected.json");
  EXPECT_EQ(static_cast<std::int64_t>(tokenizer.vocab_size()), expected.at("length").as_integer());
  const auto role = [&](const char* name) -> std::optional<std::int64_t> {
    const Json* id = expected.get(name);
    return id == nullptr ? std::nullopt : std::optional(id->as_integer());
  };
  EXPECT_EQ(tokenizer.bos_token_id(), role("bos"));
  EXPECT_EQ(tokenizer.eos_token_id(), role("eos"));
  EXPECT_EQ(tokenizer.pad_token_id(), role("pad"));
  EXPECT_EQ(tokenizer.unk_token_id(), role("unk"));
  for (const Json& entry : expected.at("cases").as_array()) {
    const std::string& text = entry.at("text").as_string();
    SCOPED_TRACE(text);
    testing::Ids ids = integers(entry.at("ids"));
    EXPECT_EQ(tokenizer.decode(ids), entry.at("decoded").as_string());
    EXPECT_EQ(testing::streamed(tokenizer, ids), entry.at("decoded").as_string());
    EXPECT_EQ(tokenizer.decode(ids, {.skip_special_tokens = true}), entry.at("skipped").as_string());
    EXPECT_EQ(tokenizer.encode(text, {.add_special_tokens = false}), integers(entry.at("plain")));
    if (ids.size() > 1 && ids.size() > entry.at("plain").as_array().size() && ids[0] == ids[1])
      ids.erase(ids.begin());  // never a second BOS
    EXPECT_EQ(tokenizer.encode(text), ids);
    const Encoding pair = tokenizer.encode_pair(text, "the house");
    EXPECT_EQ(pair.ids, integers(entry.at("pair")));
    if (entry.get("types") == nullptr) continue;
    EXPECT_EQ(pair.type_ids, integers(entry.at("types")));
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, OlderFolder,
                         ::testing::Values("gpt2", "gpt2_bos", "gpt2_model_type", "qwen2", "roberta", "bert",
                                           "bert_cased", "bert_old", "clean_up", "clean_up_bpe"),
                         [](const auto& info) { return std::string(info.param); });

TEST(OlderFolders, NameWhatTheyCannotTell) {
  const testing::TemporaryFolder folder;
  const auto write = [&](const char* name, const std::string& text) { folder.write(name, text); };
  const auto load = [&] { Tokenizer::from_pretrained(folder.path()); };
  testing::expect_error(ErrorKind::not_found, "merges.txt", load);
  write("vocab.json", R"({"a":0,"b":1,"ab":2})");
  testing::expect_error(ErrorKind::not_found, "merges.txt", load);
  write("merges.txt", "#version: 0.2\na b\n");
  testing::expect_error(ErrorKind::unsupported, "GPT2Tokenizer", load);  // which one it is stands nowhere
  write("tokenizer_config.json", R"({"tokenizer_class":"CodeGenTokenizer"})");
  testing::expect_error(ErrorKind::unsupported, "CodeGenTokenizer", load);
  write("tokenizer_config.json", R"({"tokenizer_class":"GPT2TokenizerFast"})");
  EXPECT_EQ(Tokenizer::from_pretrained(folder.path()).encode("abba"), (testing::Ids{2, 1, 0}));
  write("merges.txt", "#version: 0.2\na b\n\n");
  testing::expect_error(ErrorKind::format, "merge", load);
  write("merges.txt", "a c\n");
  testing::expect_error(ErrorKind::format, "lacks", load);
}

}  // namespace
}  // namespace powerhouse
