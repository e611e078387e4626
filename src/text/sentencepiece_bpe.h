// SentencePieceBpe: byte-pair encoding with the ids of SentencePiece: two neighbours merge where their text put
// together is a piece, the piece of the highest score first, the leftmost of equal ones. User-defined pieces do not
// merge.
//
// Unused pieces merge, and fall apart again into the two that made them where they are left over. Which two that is, is
// the pair last seen anywhere in the text, so that a text with such pieces is merged as a whole; others word by word.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/blank_words.h"
#include "text/byte_trie.h"
#include "text/sentencepiece_cut.h"
#include "text/sentencepiece_file.h"
#include "text/text_merger.h"
#include "text/vocabulary.h"

namespace powerhouse {

class SentencePieceBpe {
 public:
  /// `vocabulary` and `user_defined`, a trie of ids, must outlive this. Error{format} for a piece that is too long.
  SentencePieceBpe(const Vocabulary& vocabulary, const SentencePieceFile& file, const ByteTrie& user_defined,
                   std::int32_t unk_id);

  /// The tokens of valid UTF-8 below 4 GiB.
  void cut(std::string_view text, SentencePieceCuts& out) const;

 private:
  using Splits = std::unordered_map<std::int32_t, std::uint32_t>;  // of an unused piece: the size of its left part

  void cut_segment(std::string_view text, std::size_t begin, std::size_t end, SentencePieceCuts& out) const;
  void cut_with_unused(std::string_view text, SentencePieceCuts& out) const;
  void take_apart(std::string_view text, std::size_t begin, std::size_t end, const Splits& splits,
                  SentencePieceCuts& out) const;
  std::int32_t id_of(std::string_view text) const { return vocabulary_.find(text).value_or(unk_id_); }

  const Vocabulary& vocabulary_;
  const ByteTrie& user_defined_;
  std::int32_t unk_id_;
  std::vector<bool> unused_;  // by id; empty where none is
  BlankWords words_;
  TextMerger merger_;
};

}  // namespace powerhouse
