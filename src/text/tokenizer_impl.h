// What a tokenizer is made of, whatever file it came from: the stages of encoding in their order, and the bytes of each
// token for decoding. Built once, then shared and never changed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "powerhouse/tokenizer.h"
#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/token_model.h"
#include "text/vocabulary.h"

namespace powerhouse {

/// How the texts of tokens become the text of a sequence.
enum class TokenDecoder {
  byte_level,        // each token spells bytes in the byte-level alphabet
  joined,            // tokens as they stand, one after the other (Fuse)
  joined_by_blanks,  // tokens as they stand with a blank between: tokenizer.json without a decoder
};

struct Tokenizer::Impl {
  Vocabulary vocabulary;  // the model's tokens
  AddedTokens added;      // found before the model; may lie beyond its vocabulary
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  TokenModel model;                  // refers to `vocabulary`: an Impl stays where it was made
  std::vector<std::int64_t> prefix;  // what add_special_tokens puts before
  std::vector<std::int64_t> suffix;  // and after
  TokenDecoder decoder = TokenDecoder::byte_level;
  std::size_t added_end = 0;        // one more than the largest id of an added token
  bool added_are_verbatim = false;  // added tokens decode as they stand, never through the decoder (llama.cpp)

  std::optional<std::int64_t> bos, eos, pad, unk;
  std::vector<std::int64_t> end_of_generation;
  std::vector<std::pair<std::string, std::string>> special_names;  // role, e.g. "bos_token", and the token's text
  std::string chat_template;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// One more than the largest id.
  std::size_t size() const;
  bool contains(std::int64_t id) const;
  std::optional<std::int64_t> find(std::string_view token) const;
  /// The token's spelling. Error{range} where there is no such token.
  std::string_view text(std::int64_t id) const;
  bool is_special(std::int64_t id) const;
  /// Appends the bytes that a token stands for. Error{range} where there is no such token.
  void append_bytes(std::string& out, std::int64_t id) const;
  void add_end_of_generation(std::optional<std::int64_t> id);
  void encode_text(std::string_view text, std::vector<std::int64_t>& out) const;

  /// A Tokenizer of this; for loaders and for tests of parts.
  static Tokenizer share(std::shared_ptr<const Impl> impl) { return Tokenizer(std::move(impl)); }
};

}  // namespace powerhouse
