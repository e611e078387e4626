// BlankWords: words of a text whose blanks are spelled U+2581, cut so that no token reaches from one into the next. A
// model that merges characters may then merge each word by itself.
//
// Most vocabularies hold blanks at the beginning of tokens (a word is the blanks and what follows), some at their ends.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "text/spellings.h"

namespace powerhouse {

class BlankWords {
 public:
  /// Notes a token that merging can give.
  void add(std::string_view token) {
    for (std::size_t at = 0; at < token.size();) {
      const std::size_t first = skip(token, at);
      const std::size_t next = std::min(token.find(kBlank, first), token.size());
      if (first > at && next > first) ends_with_blanks_ = false;             // blanks, then something else
      if (next > first && next < token.size()) begins_with_blanks_ = false;  // something, then blanks
      at = next;
    }
  }

  /// Calls `visit(begin, end)` for the words of `text` in their order; the whole text where tokens reach everywhere.
  template <typename Visit>
  void each(std::string_view text, Visit visit) const {
    std::size_t begin = 0;
    while (begin < text.size()) {
      std::size_t end = text.size();
      if (begins_with_blanks_) {
        end = std::min(text.find(kBlank, skip(text, begin)), text.size());
      } else if (ends_with_blanks_) {
        end = skip(text, std::min(text.find(kBlank, begin), text.size()));
      }
      visit(begin, end);
      begin = end;
    }
  }

 private:
  static std::size_t skip(std::string_view text, std::size_t at) {
    while (text.substr(at).starts_with(kBlank)) at += kBlank.size();
    return at;
  }

  bool begins_with_blanks_ = true;
  bool ends_with_blanks_ = true;
};

}  // namespace powerhouse
