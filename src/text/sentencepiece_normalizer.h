// SentencePieceNormalizer: what SentencePiece makes of a text before it cuts it: the charsmap's replacements, blanks
// trimmed and spelled U+2581, one more before the text (or after it). User-defined pieces stand as they are. Bytes that
// are no UTF-8 become U+FFFD, one each.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/charsmap.h"
#include "text/sentencepiece_file.h"

namespace powerhouse {

class SentencePieceNormalizer {
 public:
  /// `user_defined` must outlive this. Error{format} for a charsmap that is broken.
  SentencePieceNormalizer(const SentencePieceFile& file, const ByteTrie& user_defined);

  /// Writes the normalized text, and if `origins` is given for each byte of it, and for its end, the byte of `text`
  /// that it came from. `prefix`: whether a blank may be put before it. Error{range} for a text that is, or grows, too
  /// large.
  void normalize(std::string_view text, bool prefix, std::string& out, std::vector<std::uint32_t>* origins) const;

 private:
  class Writer;
  Charsmap::Prefix prefix_of(std::string_view text) const;

  const ByteTrie& user_defined_;
  std::optional<Charsmap> map_{};
  bool adds_blank_;
  bool blank_is_suffix_;
  bool trims_;
  std::string_view blank_;         // as it is spelled here
  std::array<bool, 256> plain_{};  // ASCII characters that stand for themselves before another of ASCII
};

}  // namespace powerhouse
