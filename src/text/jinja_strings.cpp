#include "text/jinja_strings.h"

#include <cstring>

#include "support/utf8.h"
#include "text/python_unicode.h"

namespace powerhouse::jinja {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The beginning of the code point that ends before byte offset `end` (> 0).
std::size_t previous(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && continues(text[at])) --at;
  return at;
}

}  // namespace

std::size_t code_point_bytes(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && continues(text[end])) ++end;
  return end - at;
}

std::size_t byte_offset(const Text& text, std::size_t index) {
  if (text.ascii() || index == 0) return index;
  if (index >= text.length) return text.bytes.size();
  std::size_t at = 0;
  for (; index > 0; --index) at += code_point_bytes(text.bytes, at);
  return at;
}

std::size_t code_point_index(const Text& text, std::size_t offset) {
  if (text.ascii()) return offset;
  std::size_t index = 0;
  for (std::size_t at = 0; at < offset; ++at) index += continues(text.bytes[at]) ? 0 : 1;
  return index;
}

std::vector<std::size_t> code_point_offsets(Budget& budget, const Text& text) {
  budget.step_characters(text.bytes.size());
  budget.expect_room(text.length + 1, sizeof(std::size_t));
  std::vector<std::size_t> out;
  out.reserve(text.length + 1);
  for (std::size_t at = 0; at < text.bytes.size(); ++at) {
    if (!continues(text.bytes[at])) out.push_back(at);
  }
  out.push_back(text.bytes.size());
  return out;
}

std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (wanted.empty()) return from;
  // memmem is two-way search: a hostile pattern can't make it quadratic.
  const void* found = memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::string_view strip(Budget& budget, std::string_view text, Side side, const Text* characters) {
  const auto strippable = [&](std::string_view piece) {
    budget.step_bytes(characters == nullptr ? 0 : characters->bytes.size());
    if (characters == nullptr) return python_unicode::is_space(decode_utf8(piece).code_point);
    return find_text(characters->bytes, piece, 0) != std::string_view::npos;
  };
  if (side != Side::right) {
    while (!text.empty()) {
      const std::size_t length = code_point_bytes(text, 0);
      if (!strippable(text.substr(0, length))) break;
      text.remove_prefix(length);
    }
  }
  if (side != Side::left) {
    while (!text.empty()) {
      const std::size_t last = previous(text, text.size());
      if (!strippable(text.substr(last))) break;
      text = text.substr(0, last);
    }
  }
  return text;
}

std::vector<std::string_view> split_lines(Budget& budget, std::string_view text, bool keep_ends) {
  budget.step_characters(text.size());
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = code_point_bytes(text, at);
    if (!python_unicode::is_line_break(decode_utf8(text.substr(at)).code_point)) {
      at += length;
      continue;
    }
    budget.step();
    if (lines.size() == lines.capacity()) budget.expect_room(2 * lines.size() + 1, sizeof(std::string_view));
    const std::size_t end = at;
    at += text.substr(at).starts_with("\r\n") ? 2 : length;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

bool is_lower_case(Budget& budget, std::string_view text) {
  budget.step_characters(text.size());
  bool any = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text.substr(at));
    at += step.length;
    if (python_unicode::is_upper(step.code_point) || python_unicode::is_title(step.code_point)) return false;
    any = any || python_unicode::is_lower(step.code_point);
  }
  return any;
}

bool is_upper_case(Budget& budget, std::string_view text) {
  budget.step_characters(text.size());
  bool any = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text.substr(at));
    at += step.length;
    if (python_unicode::is_lower(step.code_point) || python_unicode::is_title(step.code_point)) return false;
    any = any || python_unicode::is_upper(step.code_point);
  }
  return any;
}

}  // namespace powerhouse::jinja
