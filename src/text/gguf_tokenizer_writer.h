// A folder's tokenizer as GGUF metadata, for llama.cpp to execute: what its converter writes, but for what the
// converter leaves open (add_bos_token, scores of merges), which is written as the tokenizer has it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

class GgufTokenizer {
 public:
  /// tokenizer.ggml.* and tokenizer.chat_template* of the folder's tokenizer for a model of `vocab_size` rows; ids
  /// without a token are unused ones. Byte-level BPE becomes "gpt2", BPE of characters with byte fallback and
  /// SentencePiece's BPE "llama". Error{unsupported} for the others and where llama.cpp can't say what the tokenizer
  /// does, Error{format} for more tokens than rows.
  GgufTokenizer(std::string folder, std::int64_t vocab_size);

  const std::vector<GgufEntry>& entries() const noexcept { return entries_; }
  /// Error{unsupported} naming a text where the written file's tokenizer gives other ids than the folder's; a warning
  /// where llama.cpp's converter says that this is the name for it all the same.
  void check(const GgufFile& written) const;

 private:
  std::string folder_;
  Tokenizer tokenizer_;
  std::vector<GgufEntry> entries_;
  bool by_hash_ = false;  // the converter's word for tokenizer.ggml.pre
};

}  // namespace powerhouse
