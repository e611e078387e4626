// The tokenizer inside a GGUF file's metadata (tokenizer.ggml.*), as llama.cpp executes it: `model` "gpt2" and "gemma4"
// (BPE by merges), "llama" (SentencePiece's BPE), "t5" (Unigram) and "bert" (WordPiece).
//
// GGUF does not carry the pre-tokenizer of BPE, only a name for it (`tokenizer.ggml.pre`); what each name means is
// defined by llama.cpp. Names that are not built are refused with the list of those that are.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "formats/gguf_reader.h"
#include "powerhouse/tokenizer.h"
#include "support/json.h"
#include "text/pre_tokenizer.h"

namespace powerhouse {

/// Error{unsupported} for other models and unknown names, Error{format} for metadata that contradict themselves.
std::shared_ptr<const Tokenizer::Impl> tokenizer_from_gguf(const GgufFile& file);

/// What a pre-tokenizer's name means.
struct GgufPreTokenizer {
  struct Flags {
    bool ignore_merges = false;
    bool add_bos = false;         // where the file does not say
    bool characters = false;      // the vocabulary spells text, not bytes in the byte-level alphabet
    bool escape_blanks = false;   // and blanks as U+2581
    bool whole_newlines = false;  // line feeds that are a token together are that token
  } flags{};
  PreTokenizer pre_tokenizer{};
};

/// Error{unsupported} naming the known names.
GgufPreTokenizer gguf_pre_tokenizer(std::string_view name);
/// Its cuts as pre-tokenizers of tokenizer.json, without the ByteLevel behind them. Error{unsupported} where one has no
/// form there.
std::vector<Json> gguf_pre_tokenizer_parts(std::string_view name);
/// All of them.
std::vector<std::string_view> gguf_pre_tokenizer_names();

}  // namespace powerhouse
