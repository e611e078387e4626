#include "text/marked_text.h"

#include <algorithm>

#include "powerhouse/error.h"

namespace powerhouse {

void MarkedText::fail(const std::string& what, std::size_t at) const {
  throw Error(
      ErrorKind::format, what,
      {.field = "byte " + std::to_string(at), .found = std::string(text_.substr(std::min(at, text_.size()), 40))});
}

std::size_t MarkedText::skip_blanks(std::size_t at) const {
  while (at < text_.size() && is_blank(text_[at])) ++at;
  return at;
}

std::size_t MarkedText::skip_word(std::size_t at) const {
  while (at < text_.size() && is_word(text_[at])) ++at;
  return at;
}

std::size_t MarkedText::after(std::string_view mark, std::size_t at) {
  for (std::size_t i = 0; i < mark.size(); ++i) {
    if (is_blank(mark[i])) continue;
    at = skip_blanks(at);
    if (mark[i] == kIdHole || mark[i] == kCounterHole || mark[i] == kNameHole) {
      const std::size_t begin = at;
      at = skip_word(at);
      if (at == begin) return kNone;
      if (mark[i] == kIdHole) id_ = text_.substr(begin, at - begin);
    } else {
      if (at >= text_.size() || text_[at] != mark[i]) return kNone;
      ++at;
    }
  }
  return at;
}

}  // namespace powerhouse
