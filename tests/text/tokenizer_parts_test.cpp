// Every part of tokenizer.json and every option against Hugging Face's tokenizers
// (tests/oracles/tokenizer_json_parts.py).
#include <algorithm>

#include "part_cases.h"
#include "support/utf8.h"
#include "text/decoder_steps.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_json.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

// Models and charsmaps stand once in the file: {"$shared": index}.
Json expand(const Json& value, const Json::Array& shared) {
  if (const Json* index = value.get("$shared")) return shared.at(static_cast<std::size_t>(index->as_integer()));
  if (value.is_array()) {
    Json::Array out;
    for (const Json& item : value.as_array()) out.push_back(expand(item, shared));
    return out;
  }
  if (!value.is_object()) return value;
  JsonObject out;
  for (const auto& [key, item] : value.as_object()) out[key] = expand(item, shared);
  return out;
}

struct PartsFile {
  Json file = Json::parse_file(testing::text_fixture("parts.json"));

  const Json::Array& entries() const { return file.at("entries").as_array(); }
  Tokenizer load(const Json& entry) const {
    JsonObject out;
    for (const auto& [key, value] : entry.at("tokenizer").as_object()) {
      out[key] = expand(value, file.at("shared").as_array());
    }
    return Tokenizer::Impl::share(tokenizer_from_json(Json(std::move(out)).dump()));
  }
  Tokenizer find(std::string_view name) const {
    for (const Json& entry : entries()) {
      if (entry.at("name").as_string() == name) return load(entry);
    }
    throw Error(ErrorKind::not_found, "no such entry", {.field = std::string(name)});
  }
};

const PartsFile& parts() {
  static const PartsFile file;
  return file;
}

TEST(TokenizerParts, GiveWhatTokenizersGives) {
  std::size_t cases = 0;
  for (const Json& entry : parts().entries()) {
    const std::string& name = entry.at("name").as_string();
    const Tokenizer tokenizer = parts().load(entry);
    for (const Json& expected : entry.at("cases").as_array()) {
      EXPECT_EQ(testing::difference(tokenizer, expected), "") << name << ": " << expected.dump();
      ++cases;
    }
  }
  EXPECT_GT(parts().entries().size(), 300u);
  EXPECT_GT(cases, 5000u);
}

TEST(TokenizerParts, ByteOffsetsAreThePartsOfTheText) {
  const Tokenizer tokenizer = parts().find("vocabulary_gpt2");
  const std::string text = "na\u00efve caf\u00e9 \U0001F600!";
  const Encoding encoding = tokenizer.encode_full(text);
  std::string together;
  std::size_t last = 0;
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    const auto [begin, end] = encoding.byte_offsets[i];
    if (begin >= last) together += text.substr(begin, end - begin);  // the tokens of one character share it
    last = std::max(last, end);
    EXPECT_FALSE(find_invalid_utf8(text.substr(begin, end - begin)));
  }
  EXPECT_EQ(together, text);
}

TEST(TokenizerBatch, IsEachTextByItself) {
  const Tokenizer tokenizer = parts().find("processor_template");
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) texts.push_back(std::string(static_cast<std::size_t>(i % 37), 'h') + " the hello");
  EncodingOptions options{.truncation = TruncationOptions{.max_length = 20, .side = Side::left}};
  const auto batch = tokenizer.encode_batch(texts, options);
  ASSERT_EQ(batch.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Encoding alone = tokenizer.encode_full(texts[i], options);
    EXPECT_EQ(batch[i].ids, alone.ids);
    EXPECT_EQ(batch[i].offsets, alone.offsets);
    EXPECT_LE(batch[i].ids.size(), 20u);
  }
  options.truncation.reset();
  options.padding = PaddingOptions{.side = Side::left, .pad_id = 5};
  const auto padded = tokenizer.encode_batch(texts, options);
  std::size_t longest = 0;
  for (const std::string& text : texts) longest = std::max(longest, tokenizer.encode(text).size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<std::int64_t> ids = tokenizer.encode(texts[i]);
    const std::size_t padding = longest - ids.size();
    ASSERT_EQ(padded[i].ids.size(), longest);
    EXPECT_TRUE(std::equal(ids.begin(), ids.end(), padded[i].ids.begin() + static_cast<std::ptrdiff_t>(padding)));
    EXPECT_EQ(std::count(padded[i].attention_mask.begin(), padded[i].attention_mask.end(), 0),
              static_cast<std::ptrdiff_t>(padding));
    EXPECT_TRUE(padding == 0 || padded[i].ids.front() == 5);
  }
  EXPECT_TRUE(tokenizer.encode_batch({}, options).empty());
  const std::vector<std::string> broken{"a", "\xFF"};
  EXPECT_THROW(tokenizer.encode_batch(broken, options), Error);
}

TEST(TokenizerBatch, RefusesWhatMakesNoSense) {
  const Tokenizer tokenizer = parts().find("processor_template");
  const auto kind_of = [&](const EncodingOptions& options) {
    try {
      tokenizer.encode_full("hello the hello", options);
    } catch (const Error& error) {
      return std::string(to_string(error.kind()));
    }
    return std::string("none");
  };
  EXPECT_EQ(kind_of({.padding = PaddingOptions{}}), "usage");  // this one names no pad token
  EXPECT_EQ(kind_of({.truncation = TruncationOptions{.max_length = 1}}), "range");
  EXPECT_EQ(kind_of({.truncation = TruncationOptions{.max_length = 2}}), "none");
  EXPECT_EQ(
      kind_of({.truncation = TruncationOptions{.max_length = 3, .strategy = TruncationOptions::Strategy::only_second}}),
      "usage");
  EXPECT_EQ(kind_of({.padding = PaddingOptions{.length = std::size_t{1} << 60, .pad_id = 0}}), "range");
}

// What a stream shows is what a reader can use: no held blanks before the first word, whole characters at once.
TEST(DecodeStreamParts, ShowsTokensAsSoonAsTheyAreSure) {
  const Tokenizer llama = parts().find("decoder_llama2");
  const auto id = [](const Tokenizer& tokenizer, const char* token) { return *tokenizer.token_to_id(token); };
  DecodeStream stream(llama);
  EXPECT_EQ(stream.step(id(llama, "\u2581a")), "a");  // the blank before a text is no text
  EXPECT_EQ(stream.step(id(llama, "\u2581a")), " a");
  EXPECT_EQ(stream.step(id(llama, "<0xE2>")), "");
  EXPECT_EQ(stream.step(id(llama, "<0x82>")), "");
  EXPECT_EQ(stream.step(id(llama, "<0xAC>")), "\u20AC");
  EXPECT_EQ(stream.step(id(llama, "<0x41>")), "A");
  EXPECT_EQ(stream.step(id(llama, "<0xE2>")), "");
  EXPECT_EQ(stream.step(id(llama, "b")), "\uFFFDb");
  EXPECT_EQ(stream.finish(), "");

  const Tokenizer words = parts().find("decoder_WordPiece");
  DecodeStream pieces(words);
  EXPECT_EQ(pieces.step(id(words, "a")), "a");
  EXPECT_EQ(pieces.step(id(words, "##b")), "b");
  EXPECT_EQ(pieces.step(id(words, "not")), " not");
  EXPECT_EQ(pieces.step(id(words, ".")), ".");

  const Tokenizer suffixes = parts().find("decoder_BPEDecoder");
  DecodeStream ends(suffixes);
  EXPECT_EQ(ends.step(id(suffixes, "c</w>")), "c");
  EXPECT_EQ(ends.step(id(suffixes, "a")), " a");
  EXPECT_EQ(ends.finish(), "");
}

// transformers' clean-up looks at the whole text; a stream must not cut where two rules meet.
TEST(CleanUp, StreamsAsTheWhole) {
  DecoderChain decoder;
  decoder.append(std::make_unique<FuseStep>());
  decoder.append(std::make_unique<CleanUpStep>());
  std::uint64_t state = 11;
  constexpr std::string_view kParts[] = {" ", " ", "'", "n", "t", "m", "s",  "v",   "e",
                                         "r", ".", "?", "!", ",", "x", "do", " not"};
  for (int round = 0; round < 20000; ++round) {
    std::string whole;
    DecoderState stream = decoder.start(true);
    for (int i = 0; i < 12; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const std::string_view part = kParts[(state >> 33) % std::size(kParts)];
      whole += part;
      decoder.take(part, false, stream);
    }
    decoder.finish(stream);
    std::string cleaned;
    StepState held{.held = whole};
    CleanUpStep().finish(held, [&](std::string_view text) { cleaned += text; });
    ASSERT_EQ(stream.out, cleaned) << whole;
  }
}

}  // namespace
}  // namespace powerhouse
