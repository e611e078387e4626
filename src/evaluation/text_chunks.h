// A text as llama.cpp cuts it to measure perplexity: tokenized once, chunks of `context` tokens, the rest dropped.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

class TextChunks {
 public:
  /// `longest` is what the models take. Error{range} for a context beyond it, and for less than two chunks of text.
  TextChunks(const Tokenizer& tokenizer, std::string_view text, std::int64_t context, std::int64_t longest);

  std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()) / context_; }
  std::int64_t context() const { return context_; }
  /// With BOS for its first token where the tokenizer begins a text with it.
  std::vector<std::int64_t> at(std::int64_t index) const;
  /// The text's tokens, all of them.
  const std::vector<std::int64_t>& ids() const { return ids_; }

 private:
  std::int64_t context_;
  std::vector<std::int64_t> ids_;
  std::optional<std::int64_t> bos_;
};

/// Tokens of a chunk that the model takes, those of its adapter aside.
std::int64_t longest_chunk(const CausalLM& model);

}  // namespace powerhouse
