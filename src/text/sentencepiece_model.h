// SentencePieceModel: the models of SentencePiece (unigram, BPE, words, characters), run by the SentencePiece library,
// which normalizes as well.
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

namespace powerhouse {

class SentencePieceModel {
 public:
  /// `bytes` is what `file` was read from; neither need live on. Error{format} where the library refuses them.
  SentencePieceModel(std::string_view bytes, const SentencePieceFile& file, bool legacy);
  SentencePieceModel(SentencePieceModel&&) noexcept;
  SentencePieceModel& operator=(SentencePieceModel&&) noexcept;
  ~SentencePieceModel();

  /// `at_start`: whether the piece begins the text.
  void encode(std::string_view piece, std::vector<std::int64_t>& out, bool at_start = true) const;
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out, bool at_start = true) const;

 private:
  struct State;
  template <typename Emit>
  void run(std::string_view piece, bool at_start, Emit emit) const;

  std::unique_ptr<const State> state_;
};

}  // namespace powerhouse
