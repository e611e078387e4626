#include "text/aligned_text.h"

#include <algorithm>
#include <limits>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/unicode.h"

namespace powerhouse {

Origin AlignedText::origin_of_byte(std::size_t at) const {
  if (origins != nullptr) return origins[at];
  // The whole character that the byte belongs to.
  std::size_t begin = at;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return {start + begin, start + begin + unicode::sequence_length(text[begin])};
}

Origin AlignedText::origin_of(std::size_t begin, std::size_t end) const {
  if (begin == end) return {start + begin, start + begin};
  if (end > text.size()) return {begin, end};
  return {origin_of_byte(begin).begin, origin_of_byte(end - 1).end};
}

AlignedText AlignedText::slice(std::size_t begin, std::size_t end) const {
  AlignedText out{text.substr(begin, end - begin), tracked, nullptr, start + begin, budget};
  if (tracked && origins != nullptr) {
    out.origins = origins + begin;
    if (begin < end) out.start = origins[begin].begin;
  }
  return out;
}

TextBuilder::TextBuilder(const AlignedText& old, TextBuffer& out)
    : old_(old), out_(out), limit_(old.budget == nullptr ? std::numeric_limits<std::size_t>::max() / 2 : *old.budget) {
  out.text.clear();
  out.origins.clear();
  out.text.reserve(old.text.size() + old.text.size() / 8 + 8);
  if (old.tracked) out.origins.reserve(out.text.capacity());
}

TextBuilder::~TextBuilder() {
  constexpr std::size_t kStepItself = 16;  // small pieces cost time too
  if (old_.budget != nullptr) *old_.budget -= std::min(*old_.budget, out_.text.size() + kStepItself);
}

void TextBuilder::refuse() const {
  throw Error(ErrorKind::range, "a tokenizer's steps make a text too large", {.field = "normalizer or pre_tokenizer"});
}

void TextBuilder::append(char32_t code_point, Origin origin) {
  require_room(4);
  append_utf8(out_.text, code_point);
  if (old_.tracked) out_.origins.resize(out_.text.size(), origin);
}

void TextBuilder::put(char32_t code_point, std::size_t at) {
  append(code_point, old_.tracked ? old_.origin_of_byte(at) : Origin{});
}

void TextBuilder::insert(char32_t code_point, std::size_t next) {
  Origin origin{old_.start, old_.start};
  if (old_.tracked && next > 0) origin = old_.origin_of_byte(next - 1);
  append(code_point, origin);
}

void TextBuilder::insert(std::string_view text, std::size_t next) {
  Origin origin{old_.start, old_.start};
  if (old_.tracked && next > 0) origin = old_.origin_of_byte(next - 1);
  require_room(text.size());
  out_.text.append(text);
  if (old_.tracked) out_.origins.resize(out_.text.size(), origin);
}

void TextBuilder::copy(std::size_t begin, std::size_t end) {
  require_room(end - begin);
  out_.text.append(old_.text, begin, end - begin);
  if (!old_.tracked) return;
  for (std::size_t at = begin; at < end; ++at) out_.origins.push_back(old_.origin_of_byte(at));
}

void TextBuilder::skip(std::size_t characters) {
  for (; characters > 0 && at_ < old_.text.size(); --characters) at_ += unicode::sequence_length(old_.text[at_]);
}

void TextBuilder::edit(char32_t code_point, std::ptrdiff_t change) {
  if (!old_.tracked) return append(code_point, {});
  if (change > 0 || at_ >= old_.text.size()) return insert(code_point, at_);
  put(code_point, at_);
  skip(static_cast<std::size_t>(1 - change));
}

}  // namespace powerhouse
