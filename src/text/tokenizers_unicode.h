// What the parts of Hugging Face's `tokenizers` make of each code point, from tables read off the package itself
// (scripts/make_tokenizers_tables.py): its parts mix several versions of Unicode.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace powerhouse::tokenizers_unicode {

struct Lower {
  std::uint32_t code_point, lower;
};
struct Script {
  std::uint32_t first, last, number;
};
struct Range {
  std::uint32_t first, last;
};

extern const std::uint16_t kBlockOfCodePoint[8704];
extern const std::uint8_t kBlocks[23680];
extern const Lower kLower[];
extern const std::size_t kLowerCount;
extern const Script kScripts[];
extern const std::size_t kScriptCount;
extern const Range kUnknownToNormalization[];
extern const std::size_t kUnknownToNormalizationCount;

/// Bits 5-7 of the table.
enum class Kind : std::uint8_t { none, punctuation, control, spacing_mark, bert_mark, mark };

/// Bits 0-4: how code points join into grapheme clusters (UAX 29).
enum class Cluster : std::uint8_t {
  other,
  cr,
  lf,
  control,
  extend,
  zwj,
  spacing_mark,
  prepend,
  l,
  v,
  t,
  lv,
  lvt,
  regional,
  pictographic,
  consonant,     // of a conjunct
  linker,        // an extend that links consonants
  plain_extend,  // an extend that does not go on with a conjunct
};

inline std::uint8_t entry(char32_t code_point) {
  if (code_point > 0x10FFFF) return 0;
  return kBlocks[kBlockOfCodePoint[code_point >> 7] * 128u + (code_point & 127)];
}
inline Kind kind(char32_t code_point) { return static_cast<Kind>(entry(code_point) >> 5); }
inline Cluster cluster(char32_t code_point) { return static_cast<Cluster>(entry(code_point) & 31); }

/// Punctuation of Punctuation and BertPreTokenizer.
inline bool is_punctuation(char32_t code_point) { return kind(code_point) == Kind::punctuation; }
/// What BertNormalizer's clean_text drops.
inline bool is_control(char32_t code_point) { return kind(code_point) == Kind::control; }
/// What BertNormalizer's strip_accents drops after decomposition.
inline bool is_bert_mark(char32_t code_point) {
  return kind(code_point) == Kind::mark || kind(code_point) == Kind::bert_mark;
}
/// What StripAccents drops.
inline bool is_mark(char32_t code_point) {
  return kind(code_point) == Kind::mark || kind(code_point) == Kind::spacing_mark;
}

/// CJK ideographs of BertNormalizer. The sixth range begins at U+2B920, not at U+2B820.
inline bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/// The lower case of a code point. U+0130 becomes `i` and a U+0307 that the caller adds.
inline char32_t to_lower(char32_t code_point) {
  if (code_point < 0x80) return code_point >= 'A' && code_point <= 'Z' ? code_point + 32 : code_point;
  const Lower* end = kLower + kLowerCount;
  const Lower* found = std::lower_bound(kLower, end, static_cast<std::uint32_t>(code_point),
                                        [](const Lower& row, std::uint32_t code) { return row.code_point < code; });
  return found != end && found->code_point == code_point ? static_cast<char32_t>(found->lower) : code_point;
}

/// A number for the script of a code point; 0 for none.
inline std::uint32_t script(char32_t code_point) {
  const Script* end = kScripts + kScriptCount;
  const Script* found = std::lower_bound(kScripts, end, static_cast<std::uint32_t>(code_point),
                                         [](const Script& row, std::uint32_t code) { return row.last < code; });
  return found != end && found->first <= code_point ? found->number : 0;
}

/// Whether the normalization forms treat it as unassigned.
inline bool is_unknown_to_normalization(char32_t code_point) {
  const Range* end = kUnknownToNormalization + kUnknownToNormalizationCount;
  const Range* found = std::lower_bound(kUnknownToNormalization, end, static_cast<std::uint32_t>(code_point),
                                        [](const Range& row, std::uint32_t code) { return row.last < code; });
  return found != end && found->first <= code_point;
}

}  // namespace powerhouse::tokenizers_unicode
