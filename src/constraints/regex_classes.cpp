#include "constraints/regex_classes.h"

#include "text/python_unicode.h"
#include "text/unicode.h"

namespace powerhouse::constraints {
namespace {

const CodePoints& python_digits() {
  static const CodePoints set = CodePoints::where(python_unicode::is_decimal);
  return set;
}

const CodePoints& python_words() {
  static const CodePoints set = CodePoints::where([](char32_t c) {
    return c == '_' || python_unicode::is_alphabetic(c) || python_unicode::is_decimal(c) ||
           python_unicode::is_digit(c) || python_unicode::is_numeric(c);
  });
  return set;
}

const CodePoints& python_spaces() {
  static const CodePoints set = CodePoints::where(python_unicode::is_space);
  return set;
}

CodePoints positive(char name, RegexDialect dialect, bool beyond) {
  const bool python = dialect == RegexDialect::python;
  switch (name) {
    case 'd': return python || beyond ? python_digits() : CodePoints{{'0', '9'}};
    case 'w': return python || beyond ? python_words() : CodePoints{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    default: break;
  }
  if (python) return python_spaces();
  return beyond ? python_spaces().united({{0xFEFF, 0xFEFF}}) : CodePoints{{'\t', '\r'}, {' ', ' '}};
}

}  // namespace

CodePoints shorthand(char name, RegexDialect dialect, bool beyond) {
  const bool negated = name >= 'A' && name <= 'Z';
  const CodePoints set = positive(static_cast<char>(name | 0x20), dialect, beyond != negated);
  return negated ? set.complement() : set;
}

CodePoints any_but_line_ends(RegexDialect dialect) {
  if (dialect == RegexDialect::within) {
    return CodePoints{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}.complement();
  }
  return CodePoints::of('\n').complement();
}

std::optional<CodePoints> category_set(std::string_view name) {
  // In the order of unicode::Category.
  constexpr std::string_view kNames[] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                         "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                         "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"};
  std::uint32_t wanted = 0;
  for (std::uint32_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name || (name.size() == 1 && kNames[i].starts_with(name))) wanted |= std::uint32_t{1} << i;
  }
  if (wanted == 0) return {};
  return CodePoints::where([&](char32_t c) { return (wanted >> unicode::category(c) & 1) != 0; });
}

}  // namespace powerhouse::constraints
