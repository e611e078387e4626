#include "training/state_codes.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include "kernels/common/float16.h"
#include "kernels/reference/four_bit.h"

namespace powerhouse {
namespace {

struct CodeTables {
  std::array<float, 256> values;
  std::array<float, 256> bounds;
  std::array<std::uint8_t, 65536> first;
  cpu::CodeSegments segments;
  cpu::StateCodes codes;
};

/// A decade is a segment; what lies nearest to 0, and nearest to 1, are two more.
cpu::CodeSegments make_segments(const CodeTables& tables, bool with_sign) {
  cpu::CodeSegments segments{};
  const int zero = with_sign ? 127 : 0;
  segments.zero = static_cast<float>(zero);
  double decade = 1e-6;
  int parts = with_sign ? 1 : 2, base = 1;
  for (int i = 1; i <= 7; ++i, decade *= 10) {
    segments.threshold[i - 1] = tables.bounds[static_cast<std::size_t>(zero + base - 1)];
    segments.slope[i] = static_cast<float>(parts / (0.9 * decade));
    segments.offset[i] = static_cast<float>(-0.1 * parts / 0.9);
    segments.last[i] = static_cast<float>(parts - 1);
    segments.base[i] = static_cast<float>(base);
    base += parts;
    parts *= 2;
  }
  segments.threshold[7] = tables.bounds[254];
  segments.base[8] = static_cast<float>(base);
  segments.offset[0] = segments.offset[8] = 0.5f;  // part 0, far from a bound
  return segments;
}

/// A code is how many bounds lie below x. Numbers that share their upper 16 bits have at most one bound among them, so
/// that the table's count for the smallest of them and one comparison give it.
std::unique_ptr<const CodeTables> make_tables(bool with_sign) {
  auto tables = std::make_unique<CodeTables>();
  dynamic_map(tables->values.data(), with_sign);
  for (std::size_t i = 0; i < 255; ++i) tables->bounds[i] = (tables->values[i] + tables->values[i + 1]) / 2.0f;
  tables->bounds[255] = std::numeric_limits<float>::infinity();
  for (std::uint32_t upper = 0; upper < 65536; ++upper) {
    // The smallest number: of negative ones that with the largest magnitude.
    const float smallest = bits_float(upper << 16 | (upper >> 15 != 0 ? 0xFFFFu : 0u));
    const auto* const bounds = tables->bounds.data();
    const auto below = smallest == smallest ? std::lower_bound(bounds, bounds + 255, smallest) - bounds : 0;
    tables->first[upper] = static_cast<std::uint8_t>(below);
  }
  tables->segments = make_segments(*tables, with_sign);
  tables->codes = {.values = tables->values.data(),
                   .bounds = tables->bounds.data(),
                   .first = tables->first.data(),
                   .segments = &tables->segments};
  return tables;
}

}  // namespace

const cpu::StateCodes& signed_state_codes() {
  static const std::unique_ptr<const CodeTables> tables = make_tables(true);
  return tables->codes;
}

const cpu::StateCodes& unsigned_state_codes() {
  static const std::unique_ptr<const CodeTables> tables = make_tables(false);
  return tables->codes;
}

}  // namespace powerhouse
