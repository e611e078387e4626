// WordPiece as llama.cpp runs it (`tokenizer.ggml.model` "bert"): its own cleaning of text, its own words, and tokens
// that spell the beginning of a word with U+2581 where BERT's files spell its continuation with "##". Words have no
// greatest length there.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/aligned_text.h"
#include "text/byte_trie.h"
#include "text/pre_tokenizer_steps.h"
#include "text/token_span.h"
#include "text/vocabulary.h"

namespace powerhouse {

/// Drops control characters, and accents by giving of each character the first of its canonical decomposition (of a
/// Hangul syllable its initial alone); lower case.
class GgufWordNormalizer final : public RewriteStep {
 public:
  GgufWordNormalizer(bool lowercase, bool strip_accents) : lowercase_(lowercase), strip_accents_(strip_accents) {}
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
  bool keeps_start() const override { return false; }

 private:
  bool lowercase_, strip_accents_;
};

/// Words between white space; punctuation, ASCII symbols and ideographs are words of their own.
class GgufWordsStep final : public PreTokenizerStep {
 public:
  void split(std::string_view text, PieceSink sink) const override;
};

class GgufWordPiece {
 public:
  /// `vocabulary` must outlive this. A word that no tokens cover is the unknown token, or nothing where there is none.
  GgufWordPiece(const Vocabulary& vocabulary, std::optional<std::int32_t> unk_id);

  void encode(std::string_view piece, std::vector<std::int64_t>& out) const;
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const;

 private:
  template <typename Emit>
  bool cut(std::string_view word, Emit emit) const;

  ByteTrie trie_;
  std::optional<std::int32_t> unk_id_;
};

}  // namespace powerhouse
