#include "text/token_pieces.h"

#include <charconv>

#include "text/byte_level.h"
#include "text/decoder.h"
#include "text/spellings.h"

namespace powerhouse {

std::string TokenPieces::bytes(std::size_t id, std::string_view text, bool first) const {
  std::string out;
  switch (id < kinds.size() ? kinds[id] : Kind::verbatim) {  // beyond: added tokens
    case Kind::nothing: break;
    case Kind::verbatim: out = text; break;
    case Kind::alphabet: append_from_byte_level(out, text); break;
    case Kind::blanks: out = replace_all(text, kBlank, " "); break;
    case Kind::byte: {
      unsigned value = 0;
      const std::string_view digits = text.substr(text.size() < 3 ? text.size() : 3, 2);
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
      out = static_cast<char>(value);
      break;
    }
  }
  if (first && drops_first && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

}  // namespace powerhouse
