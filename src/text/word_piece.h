// WordPiece (Schuster and Nakajima 2012) and WordLevel: the models of BERT and of plain word lists, with the ids of
// Hugging Face's `tokenizers`.
//
// WordPiece takes the longest token that begins the word, then the longest that goes on, spelled with a prefix ("##").
// A word that no such tokens cover is one unknown token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/token_span.h"
#include "text/vocabulary.h"

namespace powerhouse {

struct WordPieceOptions {
  std::string unk_token = "[UNK]";
  std::string continuing_subword_prefix = "##";
  std::size_t max_input_chars_per_word = 100;  // longer words are unknown
};

class WordPiece {
 public:
  /// `vocabulary` must outlive this.
  WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options);

  /// Appends the ids of a word. Error{range} where it is unknown and the vocabulary lacks the unknown token.
  void encode(std::string_view piece, std::vector<std::int64_t>& out) const;
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const;
  std::optional<std::int32_t> unk_id() const noexcept { return unk_id_; }

 private:
  template <typename Emit>
  bool cut(std::string_view piece, Emit emit) const;
  std::int32_t unknown(std::string_view piece) const;

  std::string unk_token_;
  std::size_t max_characters_;
  std::optional<std::int32_t> unk_id_;
  ByteTrie trie_;
  std::optional<ByteTrie::Node> continuing_;  // where tokens that go on begin
};

class WordLevel {
 public:
  WordLevel(const Vocabulary& vocabulary, std::string unk_token);

  void encode(std::string_view piece, std::vector<std::int64_t>& out) const;
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const;
  std::optional<std::int32_t> unk_id() const noexcept { return unk_id_; }

 private:
  const Vocabulary& vocabulary_;
  std::string unk_token_;
  std::optional<std::int32_t> unk_id_;
};

}  // namespace powerhouse
