// Which name of tokenizer.ggml.pre a byte-level BPE tokenizer has. llama.cpp's converter knows tokenizers by what they
// make of one text in their own vocabulary; others are known here by what they cut: the first name whose pre-tokenizer
// cuts some thousand texts, made to find differences, the same.
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer_impl.h"

namespace powerhouse {

struct GgufPreName {
  std::string name;
  bool by_hash = false;  // the converter's word for it, which is not always exact
};

/// Error{unsupported} where no name of llama.cpp's does what the tokenizer does.
GgufPreName detect_gguf_pre(const Tokenizer& tokenizer);

/// Short texts of every kind of character next to every other, and longer ones.
const std::vector<std::string>& probing_texts();

}  // namespace powerhouse
