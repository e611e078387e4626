// Training a tokenizer on texts: the same vocabulary and merges as the trainers of the `tokenizers` package learn.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

// Trainers with the names and defaults of `tokenizers`. Of a text in `initial_alphabet` the first character counts.

/// Byte pair encoding: the most frequent pair of tokens is merged, again and again; among equals the smaller ids.
struct BpeTrainerOptions {
  std::size_t vocab_size = 30000;
  std::size_t min_frequency = 0;            ///< a pair seen less often is not merged
  std::vector<std::string> special_tokens;  ///< get the first ids
  std::optional<std::size_t> limit_alphabet;
  std::vector<std::string> initial_alphabet;
  std::string continuing_subword_prefix;        ///< before every piece but a word's first
  std::string end_of_word_suffix;               ///< behind every word's last piece
  std::optional<std::size_t> max_token_length;  ///< characters; no token is made of more
  // What the model is told, no matter to training.
  std::string unk_token;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
};

/// Unigram language model: frequent substrings are pruned by expectation maximization.
struct UnigramTrainerOptions {
  std::size_t vocab_size = 8000;
  std::vector<std::string> special_tokens;
  std::vector<std::string> initial_alphabet;
  double shrinking_factor = 0.75;     ///< of the pieces that one round keeps; between 0 and 1
  std::string unk_token;              ///< the first token where it is none of special_tokens
  std::size_t max_piece_length = 16;  ///< characters; 1 to 1000
  std::size_t n_sub_iterations = 2;
  std::size_t seed_size = 1000000;  ///< pieces to begin with
  bool byte_fallback = false;
};

/// WordPiece: the vocabulary of BPE with a prefix; encoding takes the longest piece first.
struct WordPieceTrainerOptions {
  std::size_t vocab_size = 30000;
  std::size_t min_frequency = 0;
  std::vector<std::string> special_tokens;
  std::optional<std::size_t> limit_alphabet;
  std::vector<std::string> initial_alphabet;
  std::string continuing_subword_prefix = "##";
  std::string end_of_word_suffix;
  std::string unk_token = "[UNK]";  ///< put it among special_tokens
  std::size_t max_input_chars_per_word = 100;
};

/// Whole words, the most frequent first.
struct WordLevelTrainerOptions {
  std::size_t vocab_size = 30000;
  std::size_t min_frequency = 0;
  std::vector<std::string> special_tokens;
  std::string unk_token = "<unk>";  ///< put it among special_tokens
};

using TrainerOptions =
    std::variant<BpeTrainerOptions, UnigramTrainerOptions, WordPieceTrainerOptions, WordLevelTrainerOptions>;

struct TokenizerTrainingOptions {
  TrainerOptions trainer;
  /// What stands around the model, by name:
  ///   ""          nothing: a line is a word
  ///   whitespace  words and punctuation apart (Whitespace)
  ///   gpt2        bytes in GPT-2's alphabet, cut by its pattern; all 256 bytes join the initial alphabet
  ///   llama       blanks become "▁", one before each text (Metaspace)
  ///   bert        cleaned and lower-cased words and punctuation; [CLS] and [SEP] around where both are special tokens
  std::string preset;
  /// The JSON that tokenizer.json holds in these places ("null" for none); each replaces the preset's.
  std::string normalizer, pre_tokenizer, post_processor, decoder;
};

struct TrainedTokenizer {
  std::string json;  ///< tokenizer.json
  std::size_t vocab_size = 0;
  std::size_t merges = 0;          ///< BPE alone
  std::size_t distinct_words = 0;  ///< in the texts

  /// Writes tokenizer.json, whole or not at all. Error{io}.
  POWERHOUSE_API void save(const std::string& path) const;
};

/// Trains on the lines of UTF-8 files. The result does not depend on the number of threads; memory grows with the
/// distinct words. Throws Error{usage, not_found, io, format, unsupported}; Error{range} where vocab_size is less than
/// Unigram's characters.
///
///     auto trained = powerhouse::train_tokenizer({"corpus.txt"}, {.trainer = powerhouse::BpeTrainerOptions{
///         .vocab_size = 32000, .special_tokens = {"<|endoftext|>"}}, .preset = "gpt2"});
///     trained.save("model/tokenizer.json");
POWERHOUSE_API TrainedTokenizer train_tokenizer(const std::vector<std::string>& files,
                                                const TokenizerTrainingOptions& options = {});

/// Trains on texts from a callback, which gives nothing at the end. It is called from the calling thread.
POWERHOUSE_API TrainedTokenizer train_tokenizer(const std::function<std::optional<std::string>()>& next_text,
                                                const TokenizerTrainingOptions& options = {});

}  // namespace powerhouse
