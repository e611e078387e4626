#include "text/sentencepiece_file.h"

#include <cmath>
#include <cstring>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/byte_trie.h"
#include "text/charsmap.h"

namespace powerhouse {
namespace {

// One message of the protocol buffers' wire format: fields, each a number with a value of one of four kinds.
class WireMessage {
 public:
  explicit WireMessage(std::string_view bytes) : rest_(bytes) {}

  struct Field {
    std::uint64_t number = 0;
    std::uint64_t value = 0;  // a varint, or the bits of a fixed one
    std::string_view bytes{};
  };

  bool next(Field& field) {
    if (rest_.empty()) return false;
    const std::uint64_t key = varint();
    field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0: field.value = varint(); break;
      case 1: field.value = fixed(8); break;
      case 2: field.bytes = take(varint()); break;
      case 5: field.value = fixed(4); break;
      default: refuse_sentencepiece("a field of an unknown kind");
    }
    return true;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    refuse_sentencepiece("a number without an end");
  }
  std::uint64_t fixed(std::size_t size) {
    std::uint64_t value = 0;
    std::memcpy(&value, take(size).data(), size);
    return value;
  }
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) refuse_sentencepiece("it ends in the middle of a field");
    const std::string_view out = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(static_cast<std::size_t>(size));
    return out;
  }

  std::string_view rest_;
};

SentencePieceFile::Piece read_piece(std::string_view bytes) {
  SentencePieceFile::Piece piece;
  WireMessage::Field field;
  for (WireMessage message(bytes); message.next(field);) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) {
      const auto bits = static_cast<std::uint32_t>(field.value);
      std::memcpy(&piece.score, &bits, sizeof bits);
    }
    if (field.number == 3) {
      if (field.value < 1 || field.value > 6) refuse_sentencepiece("a piece of an unknown type");
      piece.kind = static_cast<SentencePieceFile::Kind>(field.value);
    }
  }
  if (piece.text.empty()) refuse_sentencepiece("a piece without a text");
  if (find_invalid_utf8(piece.text)) refuse_sentencepiece("a piece that is no UTF-8");
  if (std::isnan(piece.score)) refuse_sentencepiece("a score that is no number");
  return piece;
}

void read_trainer(std::string_view bytes, SentencePieceFile& out) {
  WireMessage::Field field;
  for (WireMessage message(bytes); message.next(field);) {
    switch (field.number) {
      case 3:
        if (field.value < 1 || field.value > 4) refuse_sentencepiece("a model of an unknown type");
        out.model = static_cast<SentencePieceFile::Model>(field.value);
        break;
      case 24: out.whitespace_as_suffix = field.value != 0; break;
      case 35: out.byte_fallback = field.value != 0; break;
      case 45: out.unk_piece = field.bytes; break;
      case 46: out.bos_piece = field.bytes; break;
      case 47: out.eos_piece = field.bytes; break;
      case 48: out.pad_piece = field.bytes; break;
      default: break;
    }
  }
}

void read_normalizer(std::string_view bytes, SentencePieceFile& out) {
  WireMessage::Field field;
  for (WireMessage message(bytes); message.next(field);) {
    switch (field.number) {
      case 2: out.charsmap = field.bytes; break;
      case 3: out.add_dummy_prefix = field.value != 0; break;
      case 4: out.remove_extra_whitespaces = field.value != 0; break;
      case 5: out.escape_whitespaces = field.value != 0; break;
      default: break;
    }
  }
}

// SentencePiece looks for user-defined pieces with room for 64 of them one inside the other.
void require_shallow(const SentencePieceFile& file) {
  std::vector<ByteTrie::Key> keys;
  for (const auto& piece : file.pieces) {
    if (piece.kind == SentencePieceFile::Kind::user_defined) keys.emplace_back(piece.text, 0);
  }
  if (keys.size() <= 64) return;
  const ByteTrie trie(keys);
  for (const auto& [text, value] : keys) {
    int inside = 0;
    trie.each_prefix(text, 0, [&](std::size_t, std::int32_t) { ++inside; });
    if (inside > 64) refuse_sentencepiece("more than 64 user-defined pieces one inside the other");
  }
}

}  // namespace

void refuse_sentencepiece(std::string_view what) {
  throw Error(ErrorKind::format, "not a SentencePiece model: " + std::string(what), {});
}

SentencePieceFile SentencePieceFile::parse(std::string_view bytes) {
  SentencePieceFile out;
  WireMessage::Field field;
  for (WireMessage message(bytes); message.next(field);) {
    if (field.number == 1) out.pieces.push_back(read_piece(field.bytes));
    if (field.number == 2) read_trainer(field.bytes, out);
    if (field.number == 3) read_normalizer(field.bytes, out);
  }
  if (out.pieces.empty()) refuse_sentencepiece("no pieces");
  if (!out.charsmap.empty()) Charsmap(out.charsmap).require_sound();
  require_shallow(out);
  return out;
}

}  // namespace powerhouse
