// What a SentencePiece model file (a ModelProto of protocol buffers) says of itself: its pieces, how it normalizes and
// which of its pieces have a role.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

struct SentencePieceFile {
  enum class Model : std::uint8_t { unigram = 1, bpe = 2, word = 3, character = 4 };
  enum class Kind : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string_view text;  // within the file's bytes
    float score = 0;
    Kind kind = Kind::normal;
  };

  std::vector<Piece> pieces;
  Model model = Model::unigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  std::string_view charsmap;
  std::string_view bos_piece = "<s>", eos_piece = "</s>", unk_piece = "<unk>", pad_piece = "<pad>";

  /// Reads `bytes`, which must outlive this. Error{format} for bytes that are no ModelProto, or one that contradicts
  /// itself.
  static SentencePieceFile parse(std::string_view bytes);
};

/// Error{format}: not a SentencePiece model, and why.
[[noreturn]] void refuse_sentencepiece(std::string_view what);

}  // namespace powerhouse
