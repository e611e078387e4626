// Bpe: byte-pair encoding of one piece of text (Sennrich et al. 2016), with the ids of Hugging Face's `tokenizers`.
//
// The pair of neighbours with the lowest rank is merged, the leftmost first, until no pair has a rank. Short pieces
// scan their ranks for the least; long ones keep them in a heap, so that a word of 10 MB costs n log n (bpe_merge.cpp).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/hashing.h"
#include "text/token_span.h"
#include "text/vocabulary.h"

namespace powerhouse {

struct BpeOptions {
  std::optional<std::int32_t> unk_id;          // what stands for a character that the vocabulary lacks; none drops it
  bool fuse_unk = false;                       // one unknown token for a run of unknown characters
  bool byte_fallback = false;                  // unknown characters become <0xNN> tokens where the vocabulary has them
  bool ignore_merges = false;                  // a piece that is a token is that token
  bool whole_newlines = false;                 // the same of a piece of line feeds alone
  bool keep_unknown = false;                   // unknown characters keep their neighbours apart while these merge; with
                                               // byte_fallback they then become their bytes' tokens, each that is there
  std::string continuing_subword_prefix = {};  // spelled before each character of a piece but the first
  std::string end_of_word_suffix = {};         // and after the last
};

/// The pairs that merge, their order and what they become.
class MergeTable {
 public:
  struct Merge {
    std::int32_t rank = kNoRank;
    std::int32_t result = -1;
  };
  static constexpr std::int32_t kNoRank = 0x7FFFFFFF;

  void reserve(std::size_t merges);
  /// A pair that is there already takes the new rank if `replace`, else keeps its own.
  void add(std::int32_t left, std::int32_t right, Merge merge, bool replace);
  Merge find(std::int32_t left, std::int32_t right) const {
    if (slots_.empty()) return {};
    const std::uint64_t pair = pack(left, right);
    const Slot& slot = slots_[probe(pair)];
    return slot.pair == pair ? slot.merge : Merge{};
  }
  void prefetch(std::int32_t left, std::int32_t right) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hashing::of(pack(left, right), key_) & (slots_.size() - 1)]);
  }
  /// One more than the largest rank.
  std::int32_t ranks() const noexcept { return ranks_; }
  /// Calls `visit(left, right, merge)` for each, in no order.
  template <typename Visit>
  void each(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.pair == kEmpty) continue;
      visit(static_cast<std::int32_t>(slot.pair >> 32), static_cast<std::int32_t>(slot.pair), slot.merge);
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t pair = kEmpty;
    Merge merge;
  };
  static std::uint64_t pack(std::int32_t left, std::int32_t right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t probe(std::uint64_t pair) const {
    std::size_t at = hashing::of(pair, key_) & (slots_.size() - 1);
    while (slots_[at].pair != pair && slots_[at].pair != kEmpty) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<Slot> slots_;
  std::uint64_t key_ = hashing::key();
  std::size_t count_ = 0;
  std::int32_t ranks_ = 0;
};

/// Builds a MergeTable from pairs of texts in the order of their ranks. Works in batches, whose look-ups overlap.
class MergeLoader {
 public:
  enum class Repeated { first_wins, last_wins };

  MergeLoader(const Vocabulary& vocabulary, std::size_t merges, Repeated repeated);
  /// Error{format} naming the merge where the vocabulary lacks a half or the whole; it may come with a later call.
  void add(std::string_view left, std::string_view right);
  /// The same from "left right". Error{format} where there is no such blank.
  void add(std::string_view pair);
  MergeTable take();

 private:
  struct Pending {
    std::size_t start = 0, middle = 0, end = 0;     // of the two halves in `texts_`
    std::uint64_t left = 0, right = 0, joined = 0;  // hashes
  };
  void flush();
  [[noreturn]] void refuse(std::string_view message, std::string_view found) const;

  const Vocabulary& vocabulary_;
  Repeated repeated_;
  MergeTable table_;
  std::vector<Pending> batch_;
  std::string texts_;
  std::int32_t next_rank_ = 0;
};

class Bpe {
 public:
  /// `vocabulary` must outlive this.
  Bpe(const Vocabulary& vocabulary, MergeTable merges, BpeOptions options);

  const BpeOptions& options() const noexcept { return options_; }
  const MergeTable& merges() const noexcept { return merges_; }
  /// Whether encode_bytes() may stand for spelling the bytes: affixes belong to characters.
  bool takes_bytes() const noexcept {
    return options_.continuing_subword_prefix.empty() && options_.end_of_word_suffix.empty();
  }
  /// Appends the ids of a piece spelled as the vocabulary is.
  void encode_characters(std::string_view piece, std::vector<std::int64_t>& out) const;
  void encode(std::string_view piece, std::vector<std::int64_t>& out) const { encode_characters(piece, out); }
  /// The same with the bytes that each token stands for.
  void encode_spans(std::string_view piece, std::vector<TokenSpan>& out) const;
  /// Appends the ids of raw bytes, each of which stands for its character of the byte-level alphabet.
  void encode_bytes(std::string_view piece, std::vector<std::int64_t>& out) const;

 private:
  struct Scratch;
  static Scratch& scratch();
  void add_unknown(std::string_view character, std::vector<std::int32_t>& ids, bool& pending) const;
  std::optional<std::int32_t> whole_token(std::string_view piece) const;
  bool falls_back(std::string_view character) const;
  template <typename Add>
  void each_symbol(std::string_view piece, Add add) const;
  void finish(std::vector<std::int32_t>& ids, std::vector<std::int64_t>& out) const;
  void merge(std::vector<std::int32_t>& ids, std::vector<std::int64_t>& out) const;
  std::int64_t final_id(std::int64_t id) const;
  bool merge_bytes(std::string_view piece, std::vector<std::int64_t>& out) const;
  bool has_short_ranks() const;
  void merge_short(const std::vector<std::int32_t>& ids, std::vector<std::int64_t>& out) const;
  void merge_long(const std::vector<std::int32_t>& ids, std::vector<std::int64_t>& out) const;
  void find_byte_pairs();

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  BpeOptions options_;
  std::array<std::int32_t, 256> alphabet_{};  // the id of each byte's character, -1 where the vocabulary lacks it
  std::array<std::int32_t, 256> fallback_{};  // the id of <0xNN>, likewise
  // What each two bytes make, by 256 * first + second; empty where encode_bytes() must look at more than merges.
  std::vector<MergeTable::Merge> byte_pairs_;
};

}  // namespace powerhouse
