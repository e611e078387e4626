#include "kernels/reference/packed_bf16.h"

#include <algorithm>
#include <cstring>

namespace powerhouse {
namespace {

constexpr int kCodes = 15;  // exponents above the base; code 0 is the number zero
constexpr int kUnit = static_cast<int>(kBf16Unit);

/// The codes and fractions of one row's unit. Loops without branches: packing is what loading such a model costs.
struct UnitCodes {
  std::uint8_t code[kUnit];
  std::uint8_t fraction[kUnit];  // with the sign
  std::uint8_t base;
  bool outliers;
};

UnitCodes codes_of(const std::uint16_t* unit) {
  UnitCodes out;
  std::uint16_t top = 0;
  for (int i = 0; i < kUnit; ++i) top = std::max<std::uint16_t>(top, unit[i] & 0x7F80);
  out.base = static_cast<std::uint8_t>(std::max(0, (top >> 7) - kCodes));
  const auto limit = static_cast<std::uint16_t>((out.base + 1) << 7);
  std::uint16_t apart = 0;
  for (int i = 0; i < kUnit; ++i) {
    const auto magnitude = static_cast<std::uint16_t>(unit[i] & 0x7FFF);
    const std::uint16_t kept = magnitude >= limit ? 0xFFFF : 0;
    apart = static_cast<std::uint16_t>(apart | (magnitude & ~kept));
    out.code[i] = static_cast<std::uint8_t>(((magnitude >> 7) - out.base) & kept);
    const bool there = kept != 0 || magnitude == 0;
    out.fraction[i] = static_cast<std::uint8_t>(there ? (unit[i] >> 8 & 0x80) | (magnitude & 0x7F) : 0);
  }
  out.outliers = apart != 0;
  return out;
}

void place_unit(const UnitCodes& codes, std::int64_t row, std::uint8_t* unit) {
  for (int i = 0; i < kUnit; i += 8) {
    const std::uint8_t* const c = codes.code + i;
    const std::uint16_t words[] = {static_cast<std::uint16_t>(c[0] | c[2] << 4 | c[4] << 8 | c[6] << 12),
                                   static_cast<std::uint16_t>(c[1] | c[3] << 4 | c[5] << 8 | c[7] << 12)};
    std::memcpy(unit + i * 8 + row * 4, words, sizeof words);
  }
  std::uint8_t* const fractions = unit + kUnit * 8;
  for (int i = 0; i < kUnit; i += 2) std::memcpy(fractions + i * 16 + row * 2, codes.fraction + i, 2);
}

}  // namespace

void pack_bf16_panel(const std::uint16_t* const* rows, std::int64_t inputs, void* panel,
                     std::vector<Bf16Outlier>& outliers) {
  const std::size_t begin = outliers.size();
  std::memset(panel, 0, static_cast<std::size_t>(bf16_panel_bytes(inputs)));
  auto* const bases = static_cast<std::uint8_t*>(panel);
  std::uint8_t* unit = bases + bf16_base_bytes(inputs);
  for (std::int64_t k = 0; k < inputs; k += kBf16Unit, unit += kBf16UnitBytes) {
    for (std::int64_t row = 0; row < 16; ++row) {
      if (rows[row] == nullptr) continue;
      const std::uint16_t* const from = rows[row] + k;
      const UnitCodes codes = codes_of(from);
      bases[k / kBf16Unit * 16 + row] = codes.base;
      place_unit(codes, row, unit);
      for (int i = 0; codes.outliers && i < kUnit; ++i) {
        if (codes.code[i] != 0 || (from[i] & 0x7FFF) == 0) continue;
        outliers.push_back({static_cast<std::uint32_t>((k + i) * 16 + row), from[i]});
      }
    }
  }
  std::sort(outliers.begin() + static_cast<std::ptrdiff_t>(begin), outliers.end(),
            [](const Bf16Outlier& a, const Bf16Outlier& b) { return a.place < b.place; });
}

void unpack_bf16_row(const Bf16Panels& matrix, std::int64_t panel, std::int64_t row, std::int64_t inputs,
                     std::uint16_t* bits) {
  const auto* const bases = static_cast<const std::uint8_t*>(matrix.panels) + panel * bf16_panel_bytes(inputs);
  const std::uint8_t* unit = bases + bf16_base_bytes(inputs);
  for (std::int64_t k = 0; k < inputs; k += kBf16Unit, unit += kBf16UnitBytes) {
    for (std::int64_t i = 0; i < kBf16Unit; ++i) {
      const std::int64_t pair = i / 2;
      const std::int64_t word = row * 2 + i % 2;
      const int code = unit[pair / 4 * 64 + word * 2 + pair % 4 / 2] >> pair % 2 * 4 & 15;
      const int byte = unit[kBf16Unit * 8 + pair * 32 + word];
      const int exponent = code == 0 ? 0 : bases[k / kBf16Unit * 16 + row] + code;
      bits[k + i] = static_cast<std::uint16_t>((byte & 0x80) << 8 | exponent << 7 | (byte & 0x7F));
    }
  }
  for (std::int64_t i = matrix.first_outlier[panel]; i < matrix.first_outlier[panel + 1]; ++i) {
    const Bf16Outlier& outlier = matrix.outliers[i];
    if (outlier.place % 16 == row) bits[outlier.place / 16] = outlier.bits;
  }
}

}  // namespace powerhouse
