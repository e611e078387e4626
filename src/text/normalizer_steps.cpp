#include "text/normalizer_steps.h"

#include <algorithm>

#include "support/utf8.h"
#include "text/byte_level.h"
#include "text/tokenizers_unicode.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

constexpr char32_t kNothing = 0xFFFFFFFF;

// Each character on its own: `map` gives the new one, the old one, or kNothing.
template <typename Map>
bool map_characters(const AlignedText& text, TextBuffer& out, Map map) {
  TextBuilder builder(text, out);
  bool changed = false;
  for (std::size_t at = 0; at < text.text.size();) {
    const auto [code_point, length] = unicode::character_at(text.text, at);
    const char32_t mapped = map(code_point);
    changed = changed || mapped != code_point;
    if (mapped != kNothing) builder.put(mapped, at);
    at += length;
  }
  return changed;
}

char32_t nmt(char32_t c) {
  if ((c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) {
    return kNothing;
  }
  const bool blank = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  return blank ? U' ' : c;
}

char32_t clean(char32_t c) {
  if (c == 0 || c == 0xFFFD || tokenizers_unicode::is_control(c)) return kNothing;
  return unicode::is_space(c) ? U' ' : c;
}

}  // namespace

bool LowercaseStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  constexpr char32_t kDottedI = 0x130;  // the one whose lower case is two characters
  TextBuilder builder(text, out);
  bool changed = false;
  for (std::size_t at = 0; at < text.text.size();) {
    const auto [code_point, length] = unicode::character_at(text.text, at);
    const char32_t lower = code_point == kDottedI ? U'i' : tokenizers_unicode::to_lower(code_point);
    changed = changed || lower != code_point;
    builder.put(lower, at);
    if (code_point == kDottedI) builder.put(0x307, at);
    at += length;
  }
  return changed;
}

bool DropStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  return map_characters(text, out, [&](char32_t c) {
    if (c < 0x300) return c;
    const bool drops =
        dropped_ == Dropped::marks ? tokenizers_unicode::is_mark(c) : tokenizers_unicode::is_bert_mark(c);
    return drops ? kNothing : c;
  });
}

bool NmtStep::rewrite(const AlignedText& text, TextBuffer& out) const { return map_characters(text, out, nmt); }

bool CleanStep::rewrite(const AlignedText& text, TextBuffer& out) const { return map_characters(text, out, clean); }

bool SpaceIdeographsStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  constexpr char kFirstLead = '\xE3';  // of U+3400
  if (std::none_of(text.text.begin(), text.text.end(), [](char byte) {
        return static_cast<unsigned char>(byte) >= static_cast<unsigned char>(kFirstLead);
      })) {
    return false;
  }
  TextBuilder builder(text, out);
  for (std::size_t at = 0; at < text.text.size();) {
    const auto [code_point, length] = unicode::character_at(text.text, at);
    const bool spaced = tokenizers_unicode::is_ideograph(code_point);
    if (spaced) builder.put(U' ', at);
    builder.put(code_point, at);
    if (spaced) builder.put(U' ', at);
    at += length;
  }
  return true;
}

bool TrimStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  std::size_t begin = 0;
  std::size_t end = text.text.size();
  while (left_ && begin < end) {
    const auto [code_point, length] = unicode::character_at(text.text, begin);
    if (!unicode::is_space(code_point)) break;
    begin += length;
  }
  while (right_ && begin < end) {
    const std::size_t before = unicode::previous_boundary(text.text, end);
    if (!unicode::is_space(unicode::character_at(text.text, before).code_point)) break;
    end = before;
  }
  if (begin == 0 && end == text.text.size()) return false;
  TextBuilder(text, out).copy(begin, end);
  return true;
}

bool PrependStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  if (prefix_.empty() || (unless_ && text.text.starts_with(prefix_))) return false;
  TextBuilder builder(text, out);
  // The prefix stands for the first character, as if it had been spelled with it.
  for (std::size_t at = 0; at < prefix_.size();) {
    const auto [code_point, length] = unicode::character_at(prefix_, at);
    builder.put(code_point, 0);
    at += length;
  }
  builder.copy(0, text.text.size());
  return true;
}

ReplaceStep::ReplaceStep(Pattern pattern, std::string content)
    : pattern_(std::move(pattern)), content_(std::move(content)) {
  const auto& literal = pattern_.literal();
  keeps_start_ =
      literal && !literal->empty() && literal->size() == unicode::sequence_length((*literal)[0]) && !content_.empty();
}

bool ReplaceStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  const std::vector<MatchRange> matches = pattern_.find_all(text.text);
  if (matches.empty()) return false;
  TextBuilder builder(text, out);
  std::size_t done = 0;
  for (const MatchRange& match : matches) {
    builder.copy(done, match.start);
    builder.insert(content_, match.end);
    done = match.end;
  }
  builder.copy(done, text.text.size());
  return true;
}

MetaspaceStep::MetaspaceStep(char32_t replacement, PrependScheme scheme) : replacement_(replacement), scheme_(scheme) {
  append_utf8(spelling_, replacement);
}

bool MetaspaceStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  const bool begins = text.text.starts_with(' ') || text.text.starts_with(spelling_);
  const bool prepends =
      !begins && (scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && text.start == 0));
  if (!prepends && text.text.find(' ') == std::string_view::npos) return false;
  TextBuilder builder(text, out);
  if (prepends) builder.put(replacement_, 0);
  std::size_t done = 0;
  for (std::size_t at = text.text.find(' '); at != std::string_view::npos; at = text.text.find(' ', done)) {
    builder.copy(done, at);
    builder.put(replacement_, at);
    done = at + 1;
  }
  builder.copy(done, text.text.size());
  return true;
}

bool SpellBytesStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  TextBuilder builder(text, out);
  for (std::size_t at = 0; at < text.text.size(); ++at) {
    builder.put(kByteAlphabet[static_cast<unsigned char>(text.text[at])], at);
  }
  return true;
}

}  // namespace powerhouse
