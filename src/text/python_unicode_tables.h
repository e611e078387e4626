// The shapes of the generated tables of python_unicode_tables.cpp: sorted ranges, searched by halving.
#pragma once

#include <cstddef>
#include <cstdint>

namespace powerhouse::python_unicode {

struct CodePointRange {
  std::uint32_t first, last;
};
/// Each `stride`-th code point of first..last maps to itself plus `delta`.
struct CaseRange {
  std::uint32_t first, last;
  std::int32_t stride, delta;
};
/// One letter that becomes two or three (the rest are 0).
struct CaseExpansion {
  std::uint32_t from;
  std::uint32_t to[3];
};

extern const CodePointRange kAlphabetic[], kDecimal[], kDigit[], kNumeric[], kUnprintable[], kUpper[], kLower[],
    kTitle[], kCased[], kCaseIgnorable[];
extern const std::size_t kAlphabeticSize, kDecimalSize, kDigitSize, kNumericSize, kUnprintableSize, kUpperSize,
    kLowerSize, kTitleSize, kCasedSize, kCaseIgnorableSize;
extern const CaseRange kToUpper[], kToLower[], kToTitle[];
extern const std::size_t kToUpperSize, kToLowerSize, kToTitleSize;
extern const CaseExpansion kToUpperExpansions[], kToLowerExpansions[], kToTitleExpansions[];
extern const std::size_t kToUpperExpansionsSize, kToLowerExpansionsSize, kToTitleExpansionsSize;

}  // namespace powerhouse::python_unicode
