// RankBpe: byte-pair encoding as tiktoken runs it. Its ranks are ids and the order of merges at once: a piece that is a
// token is that token, else two neighbours merge where their bytes put together are a token, the lowest rank first.
//
// Pieces come spelled in the byte-level alphabet, a character a byte.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/text_merger.h"
#include "text/token_span.h"
#include "text/vocabulary.h"

namespace powerhouse {

class RankBpe {
 public:
  /// `vocabulary` must outlive this, and holds every byte.
  explicit RankBpe(const Vocabulary& vocabulary);

  void encode(std::string_view piece, std::vector<std::int64_t>& out) const;
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const;

 private:
  template <typename Emit>
  void run(std::string_view piece, Emit emit) const;

  const Vocabulary& vocabulary_;
  TextMerger merger_;
};

}  // namespace powerhouse
