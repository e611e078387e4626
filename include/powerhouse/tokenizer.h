// Text to token ids and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "powerhouse/encoding.h"
#include "powerhouse/export.h"

namespace powerhouse {

struct EncodeOptions {
  /// Add BOS and EOS (or whatever the tokenizer's post-processor adds). transformers' `add_special_tokens`.
  bool add_special_tokens = true;
  /// Recognise special and control tokens written in the text, e.g. "<|im_start|>".
  bool parse_special = true;
};

struct DecodeOptions {
  /// Leave special tokens out of the text. transformers' `skip_special_tokens`.
  bool skip_special_tokens = false;
};

/// A special token by its role ("bos_token", "eos_token", "pad_token", "unk_token"), and how it is spelled.
using SpecialToken = std::pair<std::string, std::string>;

/// A tokenizer with its vocabulary. Copies share the vocabulary and are cheap; const use is safe from any thread.
///
///     auto tokenizer = powerhouse::Tokenizer::from_pretrained("SmolLM2-135M-Instruct.Q4_1.gguf");
///     std::vector<std::int64_t> ids = tokenizer.encode("Hello");
class POWERHOUSE_API Tokenizer {
 public:
  /// Loads from a GGUF file, a folder with tokenizer.json (and tokenizer_config.json) or the files of older models, or
  /// a SentencePiece file (*.model) or a file of tiktoken's ranks (cl100k_base.tiktoken: its name says which encoding)
  /// alone. Needs no weights and no known architecture. Throws Error{not_found, format, unsupported}.
  static Tokenizer from_pretrained(const std::string& path);
  /// The same with other special tokens than the files name, each a special token that the tokenizer has: what ends a
  /// text, and what chat templates see. What is put around texts (BOS) stays what the files say, as in transformers.
  /// Error{not_found} for a token that is none, Error{unsupported} for one that is not special, Error{usage} for a
  /// role.
  static Tokenizer from_pretrained(const std::string& path, std::span<const SpecialToken> special_tokens);

  Tokenizer(const Tokenizer&);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(const Tokenizer&);
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Token ids of UTF-8 text. Invalid UTF-8 is Error{format} with the byte offset.
  std::vector<std::int64_t> encode(std::string_view text, EncodeOptions options = {}) const;

  /// The ids of many texts, on the library's threads: the fast way through a corpus.
  std::vector<std::vector<std::int64_t>> encode_batch_ids(std::span<const std::string> texts,
                                                          EncodeOptions options = {}) const;

  /// Ids with offsets and masks, of one text or of a pair. A GGUF file's tokenizer has no template for pairs: each text
  /// gets what a single one gets.
  Encoding encode_full(std::string_view text, const EncodingOptions& options = {}) const;
  Encoding encode_pair(std::string_view first, std::string_view second, const EncodingOptions& options = {}) const;
  /// The same of many texts, on the library's threads. Padding is to the longest of them.
  std::vector<Encoding> encode_batch(std::span<const std::string> texts, const EncodingOptions& options = {}) const;

  /// What tokenizer.json says of truncation and padding. Nothing is cut or filled up unless the caller asks for it, say
  /// by passing these on.
  std::optional<TruncationOptions> truncation() const;
  std::optional<PaddingOptions> padding() const;

  /// The text of ids. Bytes that are no UTF-8 come out as U+FFFD. An id outside the vocabulary is Error{range}.
  std::string decode(std::span<const std::int64_t> ids, DecodeOptions options = {}) const;

  /// The number of ids, added tokens included: valid ids are 0 .. vocab_size() - 1.
  std::size_t vocab_size() const;
  std::optional<std::int64_t> token_to_id(std::string_view token) const;
  /// The token as the vocabulary spells it (byte-level alphabets and all). Error{range} outside the vocabulary.
  std::string id_to_token(std::int64_t id) const;
  /// Whether the id is a special (control) token.
  bool is_special(std::int64_t id) const;

  std::optional<std::int64_t> bos_token_id() const;
  std::optional<std::int64_t> eos_token_id() const;
  std::optional<std::int64_t> pad_token_id() const;
  std::optional<std::int64_t> unk_token_id() const;
  /// Every id that ends a turn or a text: EOS, and what the files name beside it (GGUF's eot and eom).
  std::vector<std::int64_t> end_of_generation_ids() const;

  /// The chat template's source (Jinja), or empty where the files carry none of that name. Files with a single template
  /// call it "default".
  std::string chat_template(std::string_view name = "default") const;
  /// The names of all of them: none, "default", perhaps "tool_use" and others.
  std::vector<std::string> chat_template_names() const;
  /// Special tokens by role as templates see them, as a JSON object: {"bos_token": "<s>", ...}.
  std::string special_tokens_json() const;

  struct Impl;
  /// For the library's own rooms.
  const Impl& impl() const { return *impl_; }

 private:
  friend class DecodeStream;
  explicit Tokenizer(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

/// Decodes one token at a time and never shows half a character: bytes of an unfinished UTF-8 sequence wait for the
/// next token, and so does what the next token may still change. The pieces put together equal Tokenizer::decode of all
/// ids; only where byte tokens (<0xNN>) are no UTF-8 may U+FFFD stand elsewhere.
class POWERHOUSE_API DecodeStream {
 public:
  explicit DecodeStream(const Tokenizer& tokenizer, DecodeOptions options = {});
  DecodeStream(const DecodeStream&);
  DecodeStream(DecodeStream&&) noexcept;
  DecodeStream& operator=(const DecodeStream&);
  DecodeStream& operator=(DecodeStream&&) noexcept;
  ~DecodeStream();

  /// The text that this token completes; may be empty.
  std::string step(std::int64_t id);
  /// What is still held back (an unfinished sequence becomes U+FFFD). The stream starts anew.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace powerhouse
