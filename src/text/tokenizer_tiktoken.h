// tiktoken's files of ranks: a token a line, its bytes in base64, then its rank, which is its id.
//
// What a text is cut by and the special tokens are not in the file: they belong to the encoding, by name. Files are
// called so (cl100k_base.tiktoken); Llama 3 calls its own tokenizer.model, Qwen 1 qwen.tiktoken.
#pragma once

#include <memory>
#include <string>

#include "text/tokenizer_impl.h"

namespace powerhouse {

/// Whether the file begins as one of ranks does.
bool is_tiktoken(const std::string& path);

/// The file of ranks in a folder that is named by a known encoding, or nothing.
std::string find_tiktoken(const std::string& folder);

/// Nothing is added around texts. Error{unsupported} for a name that is no known encoding, Error{format} for other
/// lines than those, and where a byte has no rank.
std::shared_ptr<const Tokenizer::Impl> tokenizer_from_tiktoken(const std::string& path);

/// The same, not finished yet.
std::shared_ptr<Tokenizer::Impl> load_tiktoken(const std::string& path);

}  // namespace powerhouse
