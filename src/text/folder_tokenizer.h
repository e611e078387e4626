// The tokenizer of a GGUF file as the files of a Hugging Face folder: tokenizer.json and tokenizer_config.json, chat
// templates included. The ids are those that llama.cpp gives; merges that GGUF's "llama" vocabularies do not hold are
// made from the scores of their tokens, as transformers' converter does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/gguf_reader.h"

namespace powerhouse {

struct FolderFile {
  std::string name;
  std::string text;
};

/// The files. Models "gpt2", "gemma4" and "llama"; Error{unsupported} for others and for pre-tokenizers that no
/// tokenizer.json can say. A text that the written tokenizer tokenizes otherwise is a warning that shows it. Known
/// ones: bytes that the vocabulary lacks keep their neighbours apart in llama.cpp and vanish without a trace elsewhere;
/// white space beyond ASCII after a token with `rstrip` stays in llama.cpp; Gemma 4's runs of line feeds are one token
/// there even where no merges lead to it. `model_max_length`: the longest sequence of the model.
std::vector<FolderFile> folder_tokenizer(const GgufFile& file, std::int64_t model_max_length);

}  // namespace powerhouse
