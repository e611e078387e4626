// TokenSpan: one token of a piece and the bytes of the piece that it stands for.
//
// Every model gives its tokens in two ways: `encode` appends ids alone and is the fast way; `encode_spans` appends
// TokenSpans, for offsets. Bytes that fall back to byte tokens, or that a model drops, follow `tokenizers`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace powerhouse {

struct TokenSpan {
  std::int64_t id = -1;
  std::size_t begin = 0;
  std::size_t end = 0;
  bool unknown = false;  // the unknown token in the place of this text
};

}  // namespace powerhouse
