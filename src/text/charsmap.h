// Charsmap: SentencePiece's precompiled_charsmap, a table of texts and what they become (nmt_nfkc), and Precompiled,
// the normalizer of `tokenizers` that applies it.
//
// The blob is the size of a double array (Darts: 32-bit units), the array, and the replacements, each ended by a NUL.
// Precompiled replaces grapheme clusters below six bytes as wholes, by what the shortest key that begins them becomes,
// and other text character by character: not what SentencePiece does, but what the package does.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/aligned_text.h"

namespace powerhouse {

class Charsmap {
 public:
  /// Error{format} for a blob that is cut short or whose replacements are no UTF-8.
  explicit Charsmap(std::string_view blob);
  /// What the shortest key that begins `text` becomes.
  std::optional<std::string_view> shortest(std::string_view text) const;

  struct Prefix {
    std::size_t size = 0;  // of the key; 0 where none begins the text
    std::string_view replacement;
  };
  /// The longest key that begins `text`, as SentencePiece replaces.
  Prefix longest(std::string_view text) const;
  /// Whether some key begins with all of `text`.
  bool begins_key(std::string_view text) const;
  /// Error{format} where a walk may leave the table, or find more than 32 keys one inside the other, as SentencePiece
  /// itself takes for granted.
  void require_sound() const;

 private:
  template <typename Visit>
  void walk(std::string_view text, Visit visit) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

class PrecompiledStep final : public RewriteStep {
 public:
  explicit PrecompiledStep(Charsmap map);
  bool rewrite(const AlignedText& text, TextBuffer& out) const override;

 private:
  Charsmap map_;
  std::array<bool, 128> changes_{};  // ASCII characters that a cluster of their own changes
};

/// The bytes that base64 spells. Error{format} naming `field`.
std::string decode_base64(std::string_view text, std::string_view field);

}  // namespace powerhouse
