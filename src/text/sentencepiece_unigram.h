// SentencePieceUnigram: the most likely cut of a text into tokens (Kudo 2018), with the ids of SentencePiece.
//
// Sums of scores are rounded as they are there: to a float at each place, from a sum in double. Of paths that differ by
// less the one found first wins, so that ids depend on it. (text/unigram.h is the same search with the sums of
// `tokenizers`.)
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/sentencepiece_cut.h"
#include "text/sentencepiece_file.h"

namespace powerhouse {

class SentencePieceUnigram {
 public:
  /// Error{format} where no piece can be found in text.
  SentencePieceUnigram(const SentencePieceFile& file, std::int32_t unk_id);

  /// The tokens of valid UTF-8.
  void cut(std::string_view text, SentencePieceCuts& out) const;

 private:
  ByteTrie trie_;
  std::vector<double> scores_;  // by id
  float unk_score_ = 0;
  std::int32_t unk_id_;
};

}  // namespace powerhouse
