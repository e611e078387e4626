// SentencePieceModel: the models of SentencePiece (unigram, BPE, words, characters) as its own library runs them, with
// what it does before and after: normalizing, unknown text as bytes, or one unknown token a run.
//
// Where special tokens cut a text, the blank that SentencePiece puts before a text belongs to its beginning alone;
// transformers' older ("legacy") tokenizers put one after every special token.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "text/sentencepiece_file.h"
#include "text/token_span.h"
#include "text/vocabulary.h"

namespace powerhouse {

class SentencePieceModel {
 public:
  /// `vocabulary` is the file's and must outlive this. Error{format} for a file that contradicts itself.
  SentencePieceModel(const Vocabulary& vocabulary, const SentencePieceFile& file, bool legacy);
  SentencePieceModel(SentencePieceModel&&) noexcept;
  SentencePieceModel& operator=(SentencePieceModel&&) noexcept;
  ~SentencePieceModel();

  /// `at_start`: whether the piece begins the text. Bytes that are no UTF-8 count as U+FFFD. Error{range} for a text
  /// that is too large, or becomes so.
  void encode(std::string_view piece, std::vector<std::int64_t>& out, bool at_start = true) const;
  /// A token's span is what the library says: of the byte tokens of a character the last one has all of it.
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out, bool at_start = true) const;

 private:
  struct State;
  template <typename Emit>
  void run(std::string_view piece, bool at_start, std::vector<std::uint32_t>* origins, Emit emit) const;

  std::unique_ptr<const State> state_;
};

}  // namespace powerhouse
