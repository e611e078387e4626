#include "text/normal_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <optional>

#include "powerhouse/error.h"
#include "text/tokenizers_unicode.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

// A character of the new text and how it stands to the old one (TextBuilder::edit).
struct Edit {
  char32_t code_point;
  std::int32_t change;
  std::uint8_t combining_class;
};
using Edits = std::vector<Edit>;

// Characters before this one are their own composed forms, and nothing composes with them as the second of a pair.
constexpr char32_t kFirstCombining = 0x300;

std::uint8_t combining_class(char32_t code_point) {
  if (code_point < kFirstCombining) return 0;
  const auto found = utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point))->combining_class;
  if (found == 0 || tokenizers_unicode::is_unknown_to_normalization(code_point)) return 0;
  return static_cast<std::uint8_t>(found);
}

void append_decomposition(Edits& out, char32_t code_point, bool compatible) {
  if (code_point < 0x80 || tokenizers_unicode::is_unknown_to_normalization(code_point)) {
    out.push_back({code_point, 0, 0});
    return;
  }
  utf8proc_int32_t parts[32];  // the longest decomposition, U+FDFA's, has 18
  int boundary = 0;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts, 32, options, &boundary);
  if (count < 0 || count > 32) {
    throw Error(ErrorKind::format, "Unicode normalization failed",
                {.found = utf8proc_errmsg(count < 0 ? count : UTF8PROC_ERROR_OVERFLOW)});
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    const auto part = static_cast<char32_t>(parts[i]);
    out.push_back({part, i == 0 ? 0 : 1, combining_class(part)});
  }
}

Edits decompose(std::string_view text, bool compatible) {
  Edits out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::character_at(text, at);
    append_decomposition(out, code_point, compatible);
    at += length;
  }
  // Canonical ordering: each run of marks by combining class, equal classes in their order.
  for (std::size_t at = 0; at < out.size(); ++at) {
    if (out[at].combining_class == 0) continue;
    std::size_t end = at + 1;
    while (end < out.size() && out[end].combining_class != 0) ++end;
    std::stable_sort(out.begin() + static_cast<std::ptrdiff_t>(at), out.begin() + static_cast<std::ptrdiff_t>(end),
                     [](const Edit& a, const Edit& b) { return a.combining_class < b.combining_class; });
    at = end;
  }
  return out;
}

std::optional<char32_t> compose_pair(char32_t first, char32_t second) {
  if (second < kFirstCombining) return std::nullopt;
  utf8proc_int32_t pair[3] = {static_cast<utf8proc_int32_t>(first), static_cast<utf8proc_int32_t>(second), 0};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return std::nullopt;
  const auto composed = static_cast<char32_t>(pair[0]);
  if (tokenizers_unicode::is_unknown_to_normalization(composed)) return std::nullopt;
  return composed;
}

// Composition (UAX 15): a starter takes the marks after it that no mark of the same or a higher class holds off.
Edits compose(const Edits& text) {
  Edits out;
  out.reserve(text.size());
  std::optional<Edit> starter;
  Edits marks;                  // after the starter, not composed
  std::uint8_t last_class = 0;  // of the last of them
  const auto give = [&] {
    if (starter) out.push_back(*starter);
    out.insert(out.end(), marks.begin(), marks.end());
    marks.clear();
  };
  for (const Edit& next : text) {
    if (!starter) {
      if (next.combining_class == 0) {
        starter = next;
      } else {
        out.push_back(next);
      }
      continue;
    }
    const bool held_off = !marks.empty() && last_class >= next.combining_class;
    if (!held_off) {
      if (const auto composed = compose_pair(starter->code_point, next.code_point)) {
        *starter = {*composed, starter->change + next.change - 1, 0};
        continue;
      }
    }
    if (next.combining_class == 0) {
      give();
      starter = next;
    } else {
      marks.push_back(next);
      last_class = next.combining_class;
    }
  }
  give();
  return out;
}

}  // namespace

bool NormalFormStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  const bool composes = form_ == NormalizationForm::nfc || form_ == NormalizationForm::nfkc;
  const bool compatible = form_ == NormalizationForm::nfkc || form_ == NormalizationForm::nfkd;
  // ASCII is its own normal form in all four, and what begins below U+0300 (the lead byte CC) its own NFC.
  const unsigned char limit = form_ == NormalizationForm::nfc ? 0xCC : 0x80;
  if (std::all_of(text.text.begin(), text.text.end(),
                  [&](char byte) { return static_cast<unsigned char>(byte) < limit; })) {
    return false;
  }
  Edits edits = decompose(text.text, compatible);
  if (composes) edits = compose(edits);
  TextBuilder builder(text, out);
  for (const Edit& edit : edits) builder.edit(edit.code_point, edit.change);
  return true;
}

}  // namespace powerhouse
