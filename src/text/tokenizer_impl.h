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
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/token_model.h"
#include "text/token_pieces.h"
#include "text/vocabulary.h"
#include "text/word_encoder.h"

namespace powerhouse {

struct Tokenizer::Impl {
  Vocabulary vocabulary;  // the model's tokens
  AddedTokens added;      // found before the model; may lie beyond its vocabulary
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  TokenModel model;                             // refers to `vocabulary`: an Impl stays where it was made
  std::vector<std::int64_t> prefix;             // what add_special_tokens puts before
  std::vector<std::int64_t> suffix;             // and after
  std::optional<PostProcessor> post_processor;  // pairs and offsets; `prefix` and `suffix` are its single template
  DecoderChain decoder = DecoderChain::byte_level();
  std::optional<TruncationOptions> truncation;  // as the file says
  std::optional<PaddingOptions> padding;
  std::size_t added_end = 0;  // one more than the largest id of an added token
  TokenPieces pieces;         // GGUF: what tokens stand for, before the decoder

  std::optional<std::int64_t> bos, eos, pad, unk;
  std::vector<std::int64_t> end_of_generation;
  std::vector<std::pair<std::string, std::string>> special_names;  // role, e.g. "bos_token", and the token's text
  // Chat templates by name; a single one is "default".
  std::vector<std::pair<std::string, std::string>> chat_templates;

  mutable WordEncoders encoders;  // caches; they change nothing but the time that encoding takes

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
  /// Whether decode() leaves the token out where special tokens are not wanted.
  bool is_skipped(std::int64_t id) const;
  /// Feeds a token to the decoder. Error{range} where there is no such token.
  void decode_token(std::int64_t id, DecoderState& state) const;
  void add_end_of_generation(std::optional<std::int64_t> id);
  /// Makes a token that is there the one of a role.
  void set_role(std::string_view role, std::string_view token);

  /// Ids of a text, nothing added. Error{format} for invalid UTF-8.
  std::vector<std::int64_t> encode_ids(std::string_view text, bool parse_special) const;
  /// The same by an encoder of this tokenizer, with the special tokens if wanted.
  std::vector<std::int64_t> encode_ids(std::string_view text, bool parse_special, WordEncoder& encoder) const;
  std::vector<std::int64_t> encode(std::string_view text, const EncodeOptions& options, WordEncoder& encoder) const;
  /// The same with the bytes that each token stands for.
  std::vector<EncodedToken> encode_tokens(std::string_view text, bool parse_special) const;

  void set_chat_template(std::string_view name, std::string source);
  const std::string* find_chat_template(std::string_view name) const;
  static const Impl& of(const Tokenizer& tokenizer) { return *tokenizer.impl_; }

  /// A Tokenizer of this; for loaders and for tests of parts.
  static Tokenizer share(std::shared_ptr<const Impl> impl) { return Tokenizer(std::move(impl)); }
};

}  // namespace powerhouse
