// Unigram: the most likely cut of a text into tokens (Kudo 2018), with the ids of Hugging Face's `tokenizers`.
//
// Viterbi over the bytes of the text: each token that the text holds at a place extends the best path to that place by
// its score; a character that is no token costs the worst score and a penalty. Of equal paths the one whose last token
// is longest wins, as there.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/token_span.h"
#include "text/vocabulary.h"

namespace powerhouse {

struct UnigramOptions {
  std::optional<std::int32_t> unk_id;     // without it a character that is no token is Error{range}
  bool byte_fallback = false;             // unknown text becomes <0xNN> tokens where the vocabulary has them all
  bool fuse_unk = true;                   // unknown characters side by side are one unknown token
  std::vector<std::int32_t> hidden = {};  // ids that no text gives: control tokens of SentencePiece
  std::optional<double> unk_score = {};   // the least score of all tokens less 10 where not given
};

class Unigram {
 public:
  /// `vocabulary` must outlive this; `scores` by id. Error{format} where their numbers differ.
  Unigram(const Vocabulary& vocabulary, std::vector<double> scores, UnigramOptions options);

  /// Appends the ids of a piece. Error{range} for a character that is no token where there is no unknown token.
  void encode(std::string_view piece, std::vector<std::int64_t>& out) const;
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const;

  double score(std::int32_t id) const { return scores_[static_cast<std::size_t>(id)]; }

 private:
  struct Best;  // the best path that ends at a place
  void search(std::string_view piece, std::vector<Best>& best) const;
  template <typename Emit>
  void run(std::string_view piece, Emit emit) const;
  template <typename Emit>
  void emit_unknown(std::string_view piece, std::size_t begin, std::size_t end, Emit emit) const;

  const Vocabulary& vocabulary_;
  std::vector<double> scores_;
  UnigramOptions options_;
  double unk_score_ = 0;
  ByteTrie trie_;
  std::array<std::int32_t, 256> fallback_{};  // the id of <0xNN>, -1 where the vocabulary lacks it
};

}  // namespace powerhouse
