// Files of ranks against tiktoken (tests/oracles/tiktoken_ranks.py).
#include "expect_error.h"
#include "file_bytes.h"
#include "temporary_folder.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::Ids;
using testing::integers;
using testing::streamed;
using testing::TemporaryFolder;
using testing::text_fixture;

std::string ranks() { return testing::file_bytes(text_fixture("tiktoken/ranks.txt")); }

TEST(TokenizerTiktoken, GivesTheIdsOfThePackage) {
  const Json fixture = Json::parse_file(text_fixture("tiktoken/cases.json"));
  const auto& columns = fixture.at("columns").as_array();
  ASSERT_EQ(columns.size(), 18u);  // nine encodings, with special tokens and without
  const TemporaryFolder folder;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const std::string& column = columns[c].as_string();
    SCOPED_TRACE(column);
    const std::string file = column.substr(0, column.find(' '));
    const Tokenizer tokenizer = Tokenizer::from_pretrained(folder.write(file, ranks()));
    const bool special = column.ends_with("special");
    for (const Json& expected : fixture.at("cases").as_array()) {
      const std::string& text = expected.at("text").as_string();
      SCOPED_TRACE(Json(text).dump());
      const auto which = static_cast<std::size_t>(expected.at("which").as_array()[c].as_integer());
      const Ids wanted = integers(expected.at("ids").as_array()[which]);
      EXPECT_EQ(tokenizer.encode(text, {.parse_special = special}), wanted);
      EXPECT_EQ(tokenizer.encode_full(text, {.parse_special = special}).ids, wanted);
      // Qwen composes; and an id of two names shows the first.
      if (file != "qwen.tiktoken" && text.find("200018") == std::string::npos) {
        EXPECT_EQ(tokenizer.decode(wanted), text);
      }
      EXPECT_EQ(streamed(tokenizer, wanted), tokenizer.decode(wanted));
    }
  }
}

TEST(TokenizerTiktoken, LoadsFromFolders) {
  const TemporaryFolder llama;
  llama.write("tokenizer.model", ranks());
  const Tokenizer llama3 = Tokenizer::from_pretrained(llama.path());
  EXPECT_EQ(llama3.id_to_token(*llama3.bos_token_id()), "<|begin_of_text|>");
  EXPECT_EQ(llama3.encode("a").front(), *llama3.bos_token_id());
  llama.write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": false})");
  EXPECT_EQ(Tokenizer::from_pretrained(llama.path()).encode("a").size(), 1u);

  const TemporaryFolder folder;
  folder.write("qwen.tiktoken", ranks());
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "QWenTokenizer"})");
  const Tokenizer qwen = Tokenizer::from_pretrained(folder.path());
  EXPECT_EQ(qwen.encode("<|im_start|>"), Ids{*qwen.token_to_id("<|im_start|>")});
  EXPECT_EQ(qwen.encode("e\xCC\x81"), qwen.encode("\xC3\xA9"));
}

TEST(TokenizerTiktoken, RefusesOtherFiles) {
  const TemporaryFolder folder;
  const auto load = [&](const std::string& name, const std::string& text) {
    Tokenizer::from_pretrained(folder.write(name, text));
  };
  expect_error(ErrorKind::unsupported, "cl100k_base", [&] { load("mine.tiktoken", ranks()); });
  expect_error(ErrorKind::format, "has none", [&] { load("gpt2.tiktoken", "YQ== 0\n"); });
  expect_error(ErrorKind::format, "YQ==", [&] { load("gpt2.tiktoken", "YQ==\n"); });
  expect_error(ErrorKind::format, "-1", [&] { load("gpt2.tiktoken", "YQ== -1\n"); });
  expect_error(ErrorKind::format, "base64", [&] { load("gpt2.tiktoken", "Y! 0\n"); });
  expect_error(ErrorKind::format, "YQ== 99999999999", [&] { load("gpt2.tiktoken", "YQ== 99999999999\n"); });
  expect_error(ErrorKind::format, "gpt2.tiktoken", [&] { load("gpt2.tiktoken", ranks() + "YQ== 2147483647\n"); });
  expect_error(ErrorKind::format, "id of a rank", [&] { load("gpt2.tiktoken", ranks() + "YWFhYWFhYWFhYWFh 50256\n"); });
}

}  // namespace
}  // namespace powerhouse
