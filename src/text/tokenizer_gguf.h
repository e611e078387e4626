// The tokenizer inside a GGUF file's metadata (tokenizer.ggml.*): byte-level BPE, `model` "gpt2".
//
// GGUF does not carry the pre-tokenizer, only a name for it (`tokenizer.ggml.pre`); what each name means is defined by
// llama.cpp. Names that are not built are refused with the list of those that are.
#pragma once

#include <memory>
#include <string_view>

#include "formats/gguf_reader.h"
#include "powerhouse/tokenizer.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

namespace powerhouse {

/// Error{unsupported} for other models and unknown names, Error{format} for metadata that contradict themselves.
std::shared_ptr<const Tokenizer::Impl> tokenizer_from_gguf(const GgufFile& file);

/// What a pre-tokenizer's name means.
struct GgufPreTokenizer {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

/// Error{unsupported} naming the known names.
GgufPreTokenizer gguf_pre_tokenizer(std::string_view name);

}  // namespace powerhouse
