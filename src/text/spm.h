// Spm: SentencePiece's BPE as llama.cpp runs it (`tokenizer.ggml.model` "llama"): characters merge while two neighbours
// make a token, the token of the highest score first; a character that is no token becomes its bytes' tokens <0xNN>.
//
// Blanks come spelled as U+2581. Where no token reaches from word to word, words are merged one by one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/blank_words.h"
#include "text/text_merger.h"
#include "text/token_span.h"
#include "text/vocabulary.h"

namespace powerhouse {

class Spm {
 public:
  /// `vocabulary` must outlive this; `scores` by id. Error{format} where their numbers differ or a score is no number.
  /// `unk_id` stands for a byte that has no token.
  Spm(const Vocabulary& vocabulary, const std::vector<double>& scores, std::optional<std::int32_t> unk_id);

  void encode(std::string_view piece, std::vector<std::int64_t>& out) const;
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const;

 private:
  template <typename Emit>
  void run(std::string_view piece, Emit emit) const;
  template <typename Emit>
  void run_word(std::string_view piece, std::size_t begin, std::size_t end, Emit emit) const;

  const Vocabulary& vocabulary_;
  TextMerger merger_;
  std::array<std::int32_t, 256> bytes_{};  // the token of each byte, or the unknown token, or -1
  BlankWords words_;
};

}  // namespace powerhouse
