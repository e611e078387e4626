// GGUF's tokenizers as files of a folder: the ids stay llama.cpp's. What the `tokenizers` package makes of the files is
// compared by tests/oracles/gguf_folders.py.
#include "text/folder_tokenizer.h"

#include <set>

#include "expect_error.h"
#include "gguf_pre_file.h"
#include "powerhouse/chat.h"
#include "support/json.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::integers;
using testing::text_fixture;

Tokenizer through_a_folder(const std::string& path) {
  const testing::TemporaryFolder folder;
  for (const auto& [name, text] : folder_tokenizer(*GgufFile::open(path), 512)) folder.write(name, text);
  return Tokenizer::from_pretrained(folder.file(""));
}

TEST(FolderTokenizer, KeepsTheIdsOfLlamaCpp) {
  const Json cases = Json::parse_file(text_fixture("gguf_models/cases.json"));
  for (const std::string name : {"spm.gguf", "spm_no_prefix.gguf", "spm_phi3.gguf", "gemma4.gguf"}) {
    SCOPED_TRACE(name);
    const Json& rows = *cases.at("models").as_object().find(name);
    const Tokenizer original = Tokenizer::from_pretrained(text_fixture("gguf_models/" + name));
    const Tokenizer tokenizer = through_a_folder(text_fixture("gguf_models/" + name));
    EXPECT_EQ(tokenizer.vocab_size(), original.vocab_size());
    EXPECT_EQ(tokenizer.bos_token_id(), original.bos_token_id());
    EXPECT_EQ(tokenizer.eos_token_id(), original.eos_token_id());
    EXPECT_EQ(tokenizer.encode(""), original.encode(""));
    const auto& texts = cases.at("texts").as_array();
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::string& text = texts[i].as_string();
      // No merges lead to the fixture's runs of line feeds, which are tokens in llama.cpp.
      if (name == "gemma4.gguf" && text.find("\n\n") != std::string::npos) continue;
      const auto ids = tokenizer.encode(text, {.add_special_tokens = false});
      EXPECT_EQ(ids, integers(rows.at("special").as_array()[i])) << Json(text).dump();
      // llama.cpp shows blanks of a user-defined token as U+2581.
      if (original.decode(ids) == text) {
        EXPECT_EQ(tokenizer.decode(ids), text);
      }
    }
  }
}

TEST(FolderTokenizer, SaysWhatEachPreTokenizerDoes) {
  // Numbers in groups from the right, and Kimi's cuts, are code in llama.cpp.
  const std::set<std::string> in_code = {"afmoe", "cohere2moe", "kimi-k2", "superbpe", "tiny_aya"};
  // These read characters, and the fixture's vocabulary is of bytes: what it lacks leaves a trace in llama.cpp alone.
  const std::set<std::string> of_characters = {"gemma4", "granite-embed-multi-311m", "sarvam-moe"};
  const Json fixture = Json::parse_file(text_fixture("gguf_pre/cases.json"));
  const auto& names = fixture.at("names").as_array();
  const testing::GgufPreFile file;
  for (std::size_t n = 0; n < names.size(); ++n) {
    const std::string& name = names[n].as_string();
    if (of_characters.count(name) > 0) continue;
    SCOPED_TRACE(name);
    const std::string path = file.with(name);
    if (in_code.count(name) > 0) {
      expect_error(ErrorKind::unsupported, "in code", [&] { through_a_folder(path); });
      continue;
    }
    const Tokenizer tokenizer = through_a_folder(path);
    for (const Json& expected : fixture.at("cases").as_array()) {
      const auto which = static_cast<std::size_t>(expected.at("which").as_array()[n].as_integer());
      const std::string& text = expected.at("text").as_string();
      EXPECT_EQ(tokenizer.encode(text, {.add_special_tokens = false, .parse_special = false}),
                integers(expected.at("ids").as_array()[which]))
          << Json(text).dump();
    }
  }
}

TEST(FolderTokenizer, RefusesModelsWithoutAForm) {
  for (const char* name : {"unigram.gguf", "word_piece.gguf"}) {
    expect_error(ErrorKind::unsupported, "tokenizer.ggml.model",
                 [&] { through_a_folder(text_fixture("gguf_models/" + std::string(name))); });
  }
}

}  // namespace
}  // namespace powerhouse
