// SentencePiece's models by themselves: ids and spans of any bytes against the package, with models of odd options
// (tests/oracles/sentencepiece_models.py), and files that contradict themselves.
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>

#include "expect_error.h"
#include "file_bytes.h"
#include "text/sentencepiece_model.h"
#include "tokenizer_cases.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::file_bytes;
using testing::from_hex;
using testing::Ids;
using testing::integers;
using testing::text_fixture;
using Kind = SentencePieceFile::Kind;

// A model with all that it refers to.
struct Loaded {
  explicit Loaded(std::string file) : bytes(std::move(file)), parsed(SentencePieceFile::parse(bytes)) {
    vocabulary.reserve(parsed.pieces.size(), bytes.size());
    for (std::size_t id = 0; id < parsed.pieces.size(); ++id) {
      vocabulary.add(parsed.pieces[id].text, static_cast<std::int64_t>(id));
    }
    model.emplace(vocabulary, parsed, false);
  }
  Ids encode(std::string_view text) const {
    Ids ids;
    model->encode(text, ids);
    return ids;
  }

  std::string bytes;
  SentencePieceFile parsed;
  Vocabulary vocabulary;
  std::optional<SentencePieceModel> model{};
};

TEST(SentencePieceModel, GivesTheIdsAndSpansOfThePackage) {
  const Json cases = Json::parse_file(text_fixture("sentencepiece/spans/cases.json"));
  ASSERT_EQ(cases.as_object().size(), 12u);
  for (const auto& [name, rows] : cases.as_object()) {
    const Loaded loaded(file_bytes(text_fixture("sentencepiece/spans/" + name + ".model")));
    for (const Json& row : rows.as_array()) {
      const std::string& hex = row.as_array()[0].as_string();
      SCOPED_TRACE(name + " " + hex);
      const std::string text = from_hex(hex);
      std::vector<TokenSpan> spans;
      loaded.model->encode_spans(text, spans);
      Ids ids, flat;
      for (const TokenSpan& span : spans) {
        ids.push_back(span.id);
        flat.insert(flat.end(), {span.id, static_cast<std::int64_t>(span.begin), static_cast<std::int64_t>(span.end)});
      }
      EXPECT_EQ(loaded.encode(text), ids);
      // Where the package fails: a text never gives a control token.
      const Json& wanted = row.as_array()[1];
      if (!wanted.is_null()) {
        EXPECT_EQ(flat, integers(wanted));
      }
      for (const std::int64_t id : ids) {
        EXPECT_NE(loaded.parsed.pieces[static_cast<std::size_t>(id)].kind, Kind::control);
      }
    }
  }
}

// A ModelProto, field by field.
std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string field(unsigned number, std::string_view bytes) {
  return varint(number << 3 | 2).append(varint(bytes.size())).append(bytes);
}
std::string field(unsigned number, std::uint64_t value) { return varint(number << 3).append(varint(value)); }
std::string piece(std::string_view text, float score, Kind kind = Kind::normal) {
  std::string bits(sizeof score, '\0');
  std::memcpy(bits.data(), &score, sizeof score);
  return field(1, field(1, text) + varint(2 << 3 | 5) + bits + field(3, static_cast<std::uint64_t>(kind)));
}
std::string of_kind(SentencePieceFile::Model kind, bool byte_fallback = false) {
  return field(2, field(3, static_cast<std::uint64_t>(kind)) + field(35, std::uint64_t{byte_fallback}));
}

const std::string kUnknown = piece("<unk>", 0, Kind::unknown);
constexpr auto kEvery = {SentencePieceFile::Model::unigram, SentencePieceFile::Model::bpe,
                         SentencePieceFile::Model::word, SentencePieceFile::Model::character};

TEST(SentencePieceModel, RefusesFilesThatContradictThemselves) {
  const auto refused = [](const std::string& message, const std::string& pieces, bool byte_fallback = false) {
    for (const auto kind : kEvery) {
      expect_error(ErrorKind::format, message, [&] { Loaded(pieces + of_kind(kind, byte_fallback)); });
    }
  };
  refused("no unknown", piece("a", 0));
  refused("two unknown", kUnknown + piece("<u>", 0, Kind::unknown) + piece("a", 0));
  refused("twice", kUnknown + piece("a", 0) + piece("a", 1));
  refused("twice", kUnknown + piece("a", 0) + piece("a", 1, Kind::control));
  refused("without a text", kUnknown + piece("", 0));
  refused("UTF-8", kUnknown + piece("\xE2\x96", 0));
  refused("no number", kUnknown + piece("a", std::numeric_limits<float>::quiet_NaN()));
  refused("no byte fallback", kUnknown + piece("<0x41>", 0, Kind::byte));
  refused("256 byte pieces", kUnknown + piece("<0x41>", 0, Kind::byte), true);
  refused("256 byte pieces", kUnknown + piece("a", 0), true);
  refused("charsmap", kUnknown + piece("a", 0) + field(3, field(2, "\x10")));
  std::string nested = kUnknown;
  for (std::size_t size = 1; size <= 65; ++size) nested += piece(std::string(size, 'a'), 0, Kind::user_defined);
  refused("one inside the other", nested);
  const auto of = [](SentencePieceFile::Model kind, std::size_t size) {
    return Loaded(kUnknown + piece(std::string(size, 'a'), 0) + of_kind(kind));
  };
  expect_error(ErrorKind::format, "too long", [&] { of(SentencePieceFile::Model::unigram, 4097); });
  expect_error(ErrorKind::format, "too long", [&] { of(SentencePieceFile::Model::bpe, 4097); });
  expect_error(ErrorKind::format, "no pieces", [&] { Loaded(kUnknown + of_kind(SentencePieceFile::Model::unigram)); });
}

// Each piece is made of the one before and a character: merging and taking apart again go as deep as pieces are long.
TEST(SentencePieceModel, TakesUnusedPiecesApartAtAnyDepth) {
  std::string file = kUnknown + piece("\xE2\x96\x81", 0) + piece("a", 0);
  for (std::size_t size = 2; size <= 1000; ++size) {
    file += piece(std::string(size, 'a'), static_cast<float>(size), Kind::unused);
  }
  const Loaded loaded(file + of_kind(SentencePieceFile::Model::bpe));
  Ids wanted(100001, 2);
  wanted[0] = 1;
  EXPECT_EQ(loaded.encode(std::string(100000, 'a')), wanted);
}

TEST(SentencePieceModel, LongTextsWithoutBlanksTakeNoLonger) {
  std::string file = kUnknown + piece("\xE2\x96\x81", 0);
  for (const char* text : {"a", "b", "ab", "abab", "ababababab", "ba"}) file += piece(text, -1);
  std::string text;
  for (int i = 0; i < 500000; ++i) text += "ab";
  for (const auto kind : kEvery) {
    const Loaded loaded(file + of_kind(kind));
    EXPECT_FALSE(loaded.encode(text).empty());
  }
}

TEST(SentencePieceModel, EmptyTextsGiveNothing) {
  for (const auto kind : kEvery) {
    const Loaded loaded(kUnknown + piece("a", 0) + of_kind(kind));
    EXPECT_TRUE(loaded.encode("").empty());
    EXPECT_TRUE(loaded.encode("  ").empty());  // trimmed
    EXPECT_EQ(loaded.encode("\xE2\x96\x81 "), Ids{});
  }
}

}  // namespace
}  // namespace powerhouse
