#include "text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

utf8proc_option_t options_of(NormalizationForm form) {
  const bool compatible = form == NormalizationForm::nfkc || form == NormalizationForm::nfkd;
  return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
}

bool composes(NormalizationForm form) { return form == NormalizationForm::nfc || form == NormalizationForm::nfkc; }

[[noreturn]] void refuse(utf8proc_ssize_t code) {
  throw Error(ErrorKind::format, "Unicode normalization failed", {.found = utf8proc_errmsg(code)});
}

CodePoints decompose(std::string_view text, NormalizationForm form) {
  CodePoints out;
  out.reserve(text.size());
  const utf8proc_option_t options = options_of(form);
  int boundary = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto [code_point, length] = unicode::character_at(text, at);
    at += length;
    utf8proc_int32_t parts[32];  // the longest decomposition, U+FDFA's, has 18
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), parts, 32, options, &boundary);
    if (count < 0 || count > 32) refuse(count < 0 ? count : UTF8PROC_ERROR_OVERFLOW);
    out.insert(out.end(), parts, parts + count);
  }
  return out;
}

// Canonical ordering: each run of marks sorted by combining class, equal classes in their order.
void order_marks(CodePoints& text) {
  const auto combining = [](utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; };
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (combining(text[at]) == 0) continue;
    std::size_t end = at + 1;
    while (end < text.size() && combining(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + static_cast<std::ptrdiff_t>(at), text.begin() + static_cast<std::ptrdiff_t>(end),
                     [&](auto a, auto b) { return combining(a) < combining(b); });
    at = end;
  }
}

std::string normalize(std::string_view text, NormalizationForm form) {
  CodePoints codes = decompose(text, form);
  order_marks(codes);
  if (composes(form)) {
    const auto count = utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()),
                                                static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (count < 0) refuse(count);
    codes.resize(static_cast<std::size_t>(count));
  }
  std::string out;
  out.reserve(text.size());
  for (const utf8proc_int32_t code : codes) append_utf8(out, static_cast<char32_t>(code));
  return out;
}

}  // namespace

std::string_view Normalizer::apply(std::string_view text, std::string& storage) const {
  // ASCII is its own normal form in all four.
  const bool ascii =
      std::all_of(text.begin(), text.end(), [](char byte) { return static_cast<signed char>(byte) >= 0; });
  if (ascii || forms_.empty()) return text;
  std::string_view now = text;
  for (const NormalizationForm form : forms_) {
    std::string next = normalize(now, form);
    storage = std::move(next);
    now = storage;
  }
  return now;
}

}  // namespace powerhouse
