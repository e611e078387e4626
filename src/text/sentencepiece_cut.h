// SentencePieceCut: a token as SentencePiece's models cut it off a normalized text: where it ends, and its id.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/sentencepiece_file.h"

namespace powerhouse {

struct SentencePieceCut {
  std::uint32_t end = 0;
  std::int32_t id = -1;
};

using SentencePieceCuts = std::vector<SentencePieceCut>;

/// Pieces that text itself can give: not control, unknown and byte pieces.
inline bool is_found_in_text(SentencePieceFile::Kind kind) {
  using Kind = SentencePieceFile::Kind;
  return kind == Kind::normal || kind == Kind::user_defined || kind == Kind::unused;
}

}  // namespace powerhouse
