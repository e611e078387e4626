// What a tokenizer refuses: texts, ids, and tokenizer.json files that are wrong or hostile. Each is one Error.
#include "expect_error.h"
#include "temporary_folder.h"
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
  expect_refused(ErrorKind::unsupported, "Uppercase", {.normalizer = R"({"type":"Uppercase"})"});
  expect_refused(ErrorKind::unsupported, "RandomChunk", {.pre_tokenizer = R"({"type":"RandomChunk"})"});
  expect_refused(ErrorKind::unsupported, "Other", {.post_processor = R"({"type":"Other"})"});
  expect_refused(ErrorKind::unsupported, "Other", {.decoder = R"({"type":"Other"})"});
  expect_refused(ErrorKind::unsupported, "StripAccents",
                 {.normalizer = R"({"type":"Other"})"});  // names the known ones
  expect_refused(ErrorKind::unsupported, "dropout", {.model = R"("dropout":0.1,)"});
  expect_error(ErrorKind::unsupported, "Other",
               [] { tokenizer_from_json(R"({"model":{"type":"Other","vocab":{}}})"); });
  const std::string single =
      R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}}],"pair":[]})";
  expect_refused(ErrorKind::unsupported, "two templates",
                 {.post_processor = R"({"type":"Sequence","processors":[)" + single + "," + single + "]}"});
}

TEST(TokenizerBadInput, PartsWithWrongOptions) {
  const auto normalizer = [](const std::string& text) { return Parts{.normalizer = text}; };
  expect_refused(ErrorKind::format, "content",
                 normalizer(R"({"type":"Replace","pattern":{"String":"a"},"content":5})"));
  expect_refused(ErrorKind::format, "pattern", normalizer(R"({"type":"Replace","content":""})"));
  expect_refused(ErrorKind::format, "prepend", normalizer(R"({"type":"Prepend"})"));
  expect_refused(ErrorKind::format, "base64", normalizer(R"({"type":"Precompiled","precompiled_charsmap":"a?=="})"));
  expect_refused(ErrorKind::format, "cut short", normalizer(R"({"type":"Precompiled","precompiled_charsmap":"AAA="})"));
  expect_refused(ErrorKind::format, "cut short",
                 normalizer(R"({"type":"Precompiled","precompiled_charsmap":"/////w=="})"));
  const auto pre_tokenizer = [](const std::string& text) { return Parts{.pre_tokenizer = text}; };
  expect_refused(ErrorKind::format, "replacement", pre_tokenizer(R"({"type":"Metaspace","replacement":"ab"})"));
  expect_refused(ErrorKind::format, "prepend_scheme",
                 pre_tokenizer(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"often"})"));
  expect_refused(
      ErrorKind::format, "contradict",
      pre_tokenizer(R"({"type":"Metaspace","replacement":"_","add_prefix_space":false,"prepend_scheme":"always"})"));
  expect_refused(ErrorKind::format, "delimiter", pre_tokenizer(R"({"type":"CharDelimiterSplit","delimiter":""})"));
  expect_refused(ErrorKind::format, "length", pre_tokenizer(R"({"type":"FixedLength","length":0})"));
  expect_refused(ErrorKind::format, "cls", {.post_processor = R"({"type":"BertProcessing","sep":["a",0]})"});
  expect_refused(ErrorKind::format, "99",
                 {.post_processor = R"({"type":"BertProcessing","sep":["a",0],"cls":["b",99]})"});
  expect_refused(ErrorKind::format, "start", {.decoder = R"({"type":"Strip","content":"a","start":-1,"stop":0})"});
  expect_error(ErrorKind::format, "unk_id",
               [] { tokenizer_from_json(R"({"model":{"type":"Unigram","vocab":[["a",0.5]],"unk_id":1}})"); });
  expect_error(ErrorKind::format, "number",
               [] { tokenizer_from_json(R"({"model":{"type":"Unigram","vocab":[["a","b"]],"unk_id":0}})"); });
  expect_error(ErrorKind::format, "negative", [] {
    tokenizer_from_json(
        R"({"model":{"type":"WordPiece","vocab":{"a":0},"unk_token":"a","max_input_chars_per_word":-1}})");
  });
}

TEST(TokenizerBadInput, TextsThatAModelWithoutUnknownTokenCannotTell) {
  const auto refuses = [](const char* model) {
    const Tokenizer tokenizer = Tokenizer::Impl::share(tokenizer_from_json(model));
    EXPECT_EQ(tokenizer.encode("a"), testing::Ids{0});
    expect_error(ErrorKind::range, "unk", [&] { tokenizer.encode("b"); });
    expect_error(ErrorKind::range, "unk", [&] { tokenizer.encode_full("b"); });
  };
  refuses(R"({"model":{"type":"Unigram","vocab":[["a",0.5]],"unk_id":null}})");
  refuses(R"({"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"x"}})");
  refuses(R"({"model":{"type":"WordPiece","vocab":{"a":0},"unk_token":"x","continuing_subword_prefix":"##",
              "max_input_chars_per_word":100}})");
}

// No single match exceeds its limit here; all of them together would take minutes.
TEST(TokenizerBadInput, ManySlowMatchesEndInTime) {
  const std::string slow =
      R"({"type":"Split","pattern":{"Regex":"(?=(?:a|aa){1,17}b)a|a"},"behavior":"Isolated","invert":false})";
  const Tokenizer tokenizer = Parts{.pre_tokenizer = slow}.load();
  EXPECT_EQ(tokenizer.encode("aa").size(), 2u);
  expect_error(ErrorKind::range, "too long", [&] { tokenizer.encode(std::string(20000, 'a')); });
}

// Each of these would fill the memory or run for hours where nothing bounds it.
TEST(TokenizerBadInput, HostilePartsEndInTime) {
  const auto repeat = [](const std::string& part, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out.append(i == 0 ? "" : ",").append(part);
    return out;
  };
  const std::string doubles = R"({"type":"Replace","pattern":{"String":"a"},"content":"aa"})";
  const auto expect_range = [](const Tokenizer& tokenizer, const std::string& text) {
    expect_error(ErrorKind::range, "too large", [&] { tokenizer.encode(text); });
    expect_error(ErrorKind::range, "too large", [&] { tokenizer.encode_full(text); });
  };
  expect_range(Parts{.normalizer = R"({"type":"Sequence","normalizers":[)" + repeat(doubles, 60) + "]}"}.load(), "a");
  expect_range(Parts{.normalizer = R"({"type":"Replace","pattern":{"Regex":""},"content":")" +
                                   std::string(1 << 20, 'x') + R"("})"}
                   .load(),
               std::string(10000, 'a'));
  expect_range(
      Parts{.pre_tokenizer = R"({"type":"Sequence","pretokenizers":[)" + repeat(R"({"type":"ByteLevel"})", 80) + "]}"}
          .load(),
      "\u00e9");
  // Pieces stay small here, but there are ever more of them.
  const std::string one_by_one = R"({"type":"Split","pattern":{"Regex":"."},"behavior":"Isolated","invert":false})";
  expect_range(Parts{.pre_tokenizer = R"({"type":"Sequence","pretokenizers":[)" +
                                      repeat(one_by_one + R"(,{"type":"ByteLevel"})", 60) + "]}"}
                   .load(),
               "\u00e9");
  expect_refused(ErrorKind::format, "too many steps",
                 {.normalizer = R"({"type":"Sequence","normalizers":[)" + repeat(R"({"type":"NFC"})", 100000) + "]}"});
  expect_refused(ErrorKind::format, "too many decoders",
                 {.decoder = R"({"type":"Sequence","decoders":[)" + repeat(R"({"type":"Fuse"})", 100000) + "]}"});
  const Tokenizer decoding = Parts{.decoder = R"({"type":"Sequence","decoders":[)" + repeat(doubles, 60) + "]}"}.load();
  expect_error(ErrorKind::range, "too large", [&] { decoding.decode(testing::Ids{0, 1, 0}); });
  expect_error(ErrorKind::format, "too long", [] {
    tokenizer_from_json(R"({"model":{"type":"Unigram","unk_id":0,"vocab":[[")" + std::string(5000, 'a') +
                        R"(",0.5]]}})");
  });
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
      ErrorKind::format, "99",
      with_template("[" + special + "," + sequence + "]", R"({"<s>":{"id":"<s>","ids":[99],"tokens":["<s>"]}})"));
  expect_refused(ErrorKind::format, "single", with_template("[]", "{}"));
  expect_refused(ErrorKind::format, "single", with_template("[" + sequence + "," + sequence + "]", "{}"));
  const Tokenizer single = with_template("[" + sequence + "]", "{}").load();
  expect_error(ErrorKind::unsupported, "pair", [&] { single.encode_pair("a", "b"); });
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

  const testing::TemporaryFolder folder;
  folder.write("tokenizer.json", Parts{}.text());
  for (const char* config : {"[]", "{", R"({"bos_token": 5})", R"({"chat_template": 5})",
                             R"({"added_tokens_decoder": {"x": {}}})", R"({"chat_template": [{"name": "default"}]})"}) {
    folder.write("tokenizer_config.json", config);
    expect_error(ErrorKind::format, "tokenizer_config.json", [&] { Tokenizer::from_pretrained(folder.path()); });
  }
  folder.write("tokenizer_config.json", R"({"bos_token": "a", "chat_template": "from config"})");
  folder.write("chat_template.jinja", "from file");
  EXPECT_EQ(Tokenizer::from_pretrained(folder.path()).chat_template(), "from file");
}

}  // namespace
}  // namespace powerhouse
