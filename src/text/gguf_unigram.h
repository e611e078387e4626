// Unigram as llama.cpp runs it (`tokenizer.ggml.model` "t5"): its normalizer, and its Viterbi search, which differ from
// those of `tokenizers` in places: user-defined tokens score 0 and are not normalized, control tokens are never found
// in text, unknown text is one unknown token a run and never bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/aligned_text.h"
#include "text/byte_trie.h"
#include "text/charsmap.h"
#include "text/token_span.h"
#include "text/vocabulary.h"

namespace powerhouse {

/// The charsmap's replacements, then blanks: spelled U+2581, one before the text, runs of them one.
class GgufUnigramNormalizer final : public RewriteStep {
 public:
  struct Options {
    bool add_space_prefix = false;
    bool remove_extra_whitespaces = false;
  };
  GgufUnigramNormalizer(std::optional<Charsmap> map, const std::vector<std::string_view>& user_defined,
                        Options options);
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;
  bool keeps_start() const override { return false; }

 private:
  Charsmap::Prefix normalize_prefix(std::string_view text) const;

  std::optional<Charsmap> map_;
  ByteTrie user_defined_;
  Options options_;
};

class GgufUnigram {
 public:
  enum class Role : std::uint8_t { hidden, normal, user_defined, unused };

  /// `vocabulary` must outlive this; scores and roles by id. Error{format} where their numbers differ.
  GgufUnigram(const Vocabulary& vocabulary, const std::vector<double>& scores, const std::vector<Role>& roles,
              std::optional<std::int32_t> unk_id);

  void encode(std::string_view piece, std::vector<std::int64_t>& out) const;
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const;

 private:
  struct Best;  // the best path that ends at a place
  void search(std::string_view piece, std::vector<Best>& best) const;
  template <typename Emit>
  void run(std::string_view piece, Emit emit) const;

  ByteTrie trie_;
  std::vector<double> scores_;
  std::int32_t unk_id_;  // -1 where there is none: then unknown text leaves no token
  double unk_score_ = 0;
};

}  // namespace powerhouse
