// What a tokenizer refuses: texts, ids, and tokenizer.json files that are wrong or hostile. Each is one Error.
#include <filesystem>
#include <fstream>

#include "expect_error.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::text_fixture;

// A small tokenizer.json; the arguments stand in for its parts.
struct Parts {
  std::string vocab = R"({"a":0,"b":1,"ab":2})";
  std::string merges = R"(["a b"])";
  std::string model = "";
  std::string added = "[]";
  std::string normalizer = "null";
  std::string pre_tokenizer = "null";
  std::string post_processor = "null";
  std::string decoder = "null";

  std::string text() const {
    return R"({"version":"1.0","added_tokens":)" + added + R"(,"normalizer":)" + normalizer + R"(,"pre_tokenizer":)" +
           pre_tokenizer + R"(,"post_processor":)" + post_processor + R"(,"decoder":)" + decoder +
           R"(,"model":{"type":"BPE",)" + model + R"("vocab":)" + vocab + R"(,"merges":)" + merges + "}}";
  }
  Tokenizer load() const { return Tokenizer::Impl::share(tokenizer_from_json(text())); }
};

void expect_refused(ErrorKind kind, std::string_view mentions, const Parts& parts) {
  SCOPED_TRACE(parts.text().substr(0, 400));
  expect_error(kind, mentions, [&] { parts.load(); });
}

TEST(TokenizerBadInput, TheSmallTokenizerItselfLoads) {
  EXPECT_EQ(Parts{}.load().encode("abba"), (testing::Ids{2, 1, 0}));
}

TEST(TokenizerBadInput, InvalidUtf8NamesTheByte) {
  const Tokenizer tokenizer = Parts{}.load();
  expect_error(ErrorKind::format, "byte 3", [&] { tokenizer.encode("abc\xFFz"); });
  expect_error(ErrorKind::format, "byte 0", [&] { tokenizer.encode("\xED\xA0\x80"); });
  expect_error(ErrorKind::format, "byte 1", [&] { tokenizer.encode("a\xE2\x82"); });
}

TEST(TokenizerBadInput, IdsOutOfRange) {
  const Tokenizer tokenizer = Parts{}.load();
  for (const std::int64_t id : {std::int64_t{-1}, std::int64_t{3}, std::int64_t{1} << 40, INT64_MIN, INT64_MAX}) {
    const std::int64_t ids[] = {0, id};
    expect_error(ErrorKind::range, std::to_string(id), [&] { tokenizer.decode(ids); });
    expect_error(ErrorKind::range, std::to_string(id), [&] { tokenizer.decode(ids, {.skip_special_tokens = true}); });
    expect_error(ErrorKind::range, std::to_string(id), [&] { tokenizer.id_to_token(id); });
    expect_error(ErrorKind::range, std::to_string(id), [&] { DecodeStream(tokenizer).step(id); });
    EXPECT_FALSE(tokenizer.is_special(id));
  }
}

TEST(TokenizerBadInput, UnknownComponentsAreNamed) {
  expect_refused(ErrorKind::unsupported, "Lowercase", {.normalizer = R"({"type":"Lowercase"})"});
  expect_refused(ErrorKind::unsupported, "Metaspace", {.pre_tokenizer = R"({"type":"Metaspace"})"});
  expect_refused(ErrorKind::unsupported, "BertProcessing", {.post_processor = R"({"type":"BertProcessing"})"});
  expect_refused(ErrorKind::unsupported, "WordPiece", {.decoder = R"({"type":"WordPiece"})"});
  expect_refused(ErrorKind::unsupported, "continuing_subword_prefix",
                 {.model = R"("continuing_subword_prefix":"##",)"});
  expect_refused(ErrorKind::unsupported, "dropout", {.model = R"("dropout":0.1,)"});
  expect_error(ErrorKind::unsupported, "Unigram",
               [] { tokenizer_from_json(R"({"model":{"type":"Unigram","vocab":[["a",0.5]],"unk_id":0}})"); });
  expect_error(ErrorKind::unsupported, "WordPiece",
               [] { tokenizer_from_json(R"({"model":{"type":"WordPiece","vocab":{"a":0}}})"); });
}

TEST(TokenizerBadInput, WrongTypesAndMissingKeys) {
  expect_error(ErrorKind::format, "tokenizer.json", [] { tokenizer_from_json(""); });
  expect_error(ErrorKind::format, "tokenizer.json", [] { tokenizer_from_json("[]"); });
  expect_error(ErrorKind::format, "model", [] { tokenizer_from_json("{}"); });
  expect_error(ErrorKind::format, "vocab", [] { tokenizer_from_json(R"({"model":{"type":"BPE","merges":[]}})"); });
  expect_error(ErrorKind::format, "merges", [] { tokenizer_from_json(R"({"model":{"type":"BPE","vocab":{}}})"); });
  expect_refused(ErrorKind::format, "type", {.normalizer = "{}"});
  expect_refused(ErrorKind::format, "type", {.normalizer = R"({"type":7})"});
  expect_refused(ErrorKind::format, "normalizers", {.normalizer = R"({"type":"Sequence","normalizers":{}})"});
  expect_refused(ErrorKind::format, "behavior",
                 {.pre_tokenizer = R"({"type":"Split","pattern":{"Regex":"a"},"behavior":"x"})"});
  expect_refused(ErrorKind::format, "pattern", {.pre_tokenizer = R"({"type":"Split","behavior":"Isolated"})"});
  expect_refused(ErrorKind::format, "content", {.added = R"([{"id":3}])"});
  expect_refused(ErrorKind::format, "special", {.added = R"([{"id":3,"content":"x","special":"yes"}])"});
  expect_refused(ErrorKind::format, "unk_token", {.model = R"("unk_token":"<unk>",)"});
}

TEST(TokenizerBadInput, VocabulariesThatContradictThemselves) {
  expect_refused(ErrorKind::format, "negative", {.vocab = R"({"a":-1})", .merges = "[]"});
  expect_refused(ErrorKind::format, "beyond", {.vocab = R"({"a":2147483647})", .merges = "[]"});
  expect_refused(ErrorKind::format, "beyond", {.vocab = R"({"a":9223372036854775807})", .merges = "[]"});
  expect_refused(ErrorKind::format, "integer", {.vocab = R"({"a":9223372036854775808})", .merges = "[]"});
  expect_refused(ErrorKind::format, "integer", {.vocab = R"({"a":1.5})", .merges = "[]"});
  expect_refused(ErrorKind::format, "integer", {.vocab = R"({"a":"0"})", .merges = "[]"});
  expect_refused(ErrorKind::format, "one id", {.vocab = R"({"a":0,"b":0})", .merges = "[]"});
  expect_refused(ErrorKind::format, "twice", {.vocab = R"({"a":0,"\u0061":1})", .merges = "[]"});
  expect_refused(ErrorKind::format, "lacks", {.merges = R"(["a c"])"});
  expect_refused(ErrorKind::format, "lacks", {.merges = R"([["b","a"]])"});
  expect_refused(ErrorKind::format, "blank", {.merges = R"(["ab"])"});
  expect_refused(ErrorKind::format, "blank", {.merges = R"(["a "])"});
  expect_refused(ErrorKind::format, "JSON", {.merges = R"([["a","b","ab"]])"});
  expect_refused(ErrorKind::format, "JSON", {.merges = R"([5])"});
  expect_refused(ErrorKind::format, "JSON", {.merges = R"(["a b",])"});
  expect_refused(ErrorKind::format, "JSON", {.vocab = R"({"a":0 "b":1})", .merges = "[]"});
}

// Cut anywhere the file is refused; what the scanner steps over is parsed elsewhere.
TEST(TokenizerBadInput, TruncatedAnywhere) {
  const std::string text = Parts{.added = R"([{"id":3,"content":"\u00e9 \"x\""}])"}.text();
  for (std::size_t size = 0; size < text.size(); ++size) {
    expect_error(ErrorKind::format, "", [&] { tokenizer_from_json(std::string_view(text).substr(0, size)); });
  }
  expect_error(ErrorKind::format, "JSON", [&] { tokenizer_from_json(text + "}"); });
}

TEST(TokenizerBadInput, DepthIsBounded) {
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += R"({"type":"Sequence","normalizers":[)";
  expect_refused(ErrorKind::format, "", {.normalizer = nested});
  std::string closed = nested;
  for (int i = 0; i < 100000; ++i) closed += "]}";
  expect_refused(ErrorKind::format, "deep", {.normalizer = closed});
}

TEST(TokenizerBadInput, TemplatesThatNameNoToken) {
  const auto with_template = [](const std::string& single, const std::string& specials) {
    return Parts{.post_processor = R"({"type":"TemplateProcessing","single":)" + single +
                                   R"(,"pair":[],"special_tokens":)" + specials + "}"};
  };
  const std::string sequence = R"({"Sequence":{"id":"A","type_id":0}})";
  const std::string special = R"({"SpecialToken":{"id":"<s>","type_id":0}})";
  expect_refused(ErrorKind::format, "<s>", with_template("[" + special + "," + sequence + "]", "{}"));
  expect_refused(
      ErrorKind::range, "99",
      with_template("[" + special + "," + sequence + "]", R"({"<s>":{"id":"<s>","ids":[99],"tokens":["<s>"]}})"));
  expect_refused(ErrorKind::format, "sequence", with_template("[]", "{}"));
  expect_refused(ErrorKind::format, "another", with_template("[" + sequence + "," + sequence + "]", "{}"));
}

TEST(TokenizerBadInput, AddedTokenContents) {
  const std::string longest(4096, 'x');
  Parts parts{.added = R"([{"id":3,"content":")" + longest + R"("}])"};
  EXPECT_EQ(parts.load().encode(longest + "a"), (testing::Ids{3, 0}));
  expect_refused(ErrorKind::format, "too long", {.added = R"([{"id":3,"content":")" + longest + R"(x"}])"});
  // Empty contents are passed over, as tokenizers does; they would match everywhere.
  EXPECT_EQ(Parts{.added = R"([{"id":3,"content":""}])"}.load().vocab_size(), 3u);
}

TEST(TokenizerBadInput, Folders) {
  expect_error(ErrorKind::not_found, "no/such", [] { Tokenizer::from_pretrained("no/such/folder"); });
  expect_error(ErrorKind::not_found, "tokenizer.json", [] { Tokenizer::from_pretrained(text_fixture("gguf")); });

  const auto folder = std::filesystem::temp_directory_path() / "powerhouse_tokenizer_bad_input";
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(folder / name) << text; };
  write("tokenizer.json", Parts{}.text());
  for (const char* config : {"[]", "{", R"({"bos_token": 5})", R"({"chat_template": 5})",
                             R"({"added_tokens_decoder": {"x": {}}})", R"({"chat_template": [{"name": "default"}]})"}) {
    write("tokenizer_config.json", config);
    expect_error(ErrorKind::format, "tokenizer_config.json", [&] { Tokenizer::from_pretrained(folder.string()); });
  }
  write("tokenizer_config.json", R"({"bos_token": "a", "chat_template": "from config"})");
  write("chat_template.jinja", "from file");
  EXPECT_EQ(Tokenizer::from_pretrained(folder.string()).chat_template(), "from file");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace powerhouse
