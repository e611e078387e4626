// HTML escaping of the filters `escape` and `forceescape`, and of text that meets Markup.
#pragma once

#include <algorithm>
#include <string_view>

#include "text/jinja_budget.h"

namespace powerhouse::jinja {

/// & < > ' " as markupsafe writes them.
inline void append_escaped(TextBuilder& out, std::string_view text) {
  constexpr std::string_view kSpecial = "&<>'\"";
  constexpr std::string_view kEscapes[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  out.budget().step_characters(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t special = std::min(text.find_first_of(kSpecial, at), text.size());
    out.append(text.substr(at, special - at));
    if (special < text.size()) out.append(kEscapes[kSpecial.find(text[special])]);
    at = special + 1;
  }
}

}  // namespace powerhouse::jinja
