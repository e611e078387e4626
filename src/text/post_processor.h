// PostProcessor: the tokens that a template puts around one text or a pair, and offsets without the spaces at their
// ends. All post-processors of tokenizer.json are such templates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "text/aligned_text.h"

namespace powerhouse {

/// A token of a text on its way out.
struct EncodedToken {
  std::int64_t id = -1;
  Origin bytes{};                 // what it stands for
  std::size_t spaces_before = 0;  // white space (or its byte-level spelling) at the ends of the token's own text
  std::size_t spaces_after = 0;
};

struct TemplatePiece {
  enum class Kind { first, second, token } kind = Kind::token;
  std::int64_t id = -1;  // of a token
  std::int64_t type_id = 0;
};

struct PostProcessor {
  std::vector<TemplatePiece> single{{TemplatePiece::Kind::first, -1, 0}};
  // empty where the file's template for pairs does not hold both texts
  std::vector<TemplatePiece> pair{{TemplatePiece::Kind::first, -1, 0}, {TemplatePiece::Kind::second, -1, 1}};
  /// Whether offsets leave out the spaces at the ends of tokens, and if so whether a blank was put before the text.
  struct Trim {
    bool add_prefix_space = true;
  };
  std::vector<Trim> trims{};

  /// The tokens that a template adds.
  static std::size_t added(const std::vector<TemplatePiece>& pieces);
};

/// Offsets in characters from begin to end, with the spaces trimmed; `first` is the first token of its text.
void trim_offsets(Origin& offsets, const EncodedToken& token, bool first, bool add_prefix_space);

}  // namespace powerhouse
