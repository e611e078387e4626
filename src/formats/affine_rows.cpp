#include "formats/affine_rows.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/common/float16.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kRows = RowSource::kRows;

using Codes = std::uint8_t[32 * kRows];  // of 32 columns

// Codes of 32 columns as blocks have them, for each row a run of `bytes`.
void pack_part(int bits, const std::uint8_t* codes, std::uint8_t* packed) {
  constexpr std::int64_t kHalf = 16 * kRows;
  if (bits == 8) {  // signed
    for (std::int64_t i = 0; i < 32 * kRows; ++i) packed[i] = static_cast<std::uint8_t>(codes[i] ^ 0x80);
    return;
  }
  for (std::int64_t i = 0; i < kHalf; ++i) {
    packed[i] = static_cast<std::uint8_t>((codes[i] & 15) | codes[i + kHalf] << 4);
  }
  if (bits == 4) return;
  for (std::int64_t byte = 0; byte < 8; ++byte) {
    const std::uint8_t* const first = codes + (byte / 4 * 16 + byte % 4) * kRows;
    for (std::int64_t r = 0; r < kRows; ++r) {
      int bit_pairs = 0;
      for (int i = 0; i < 4; ++i) bit_pairs |= first[4 * i * kRows + r] >> 4 << 2 * i;
      packed[kHalf + byte * kRows + r] = static_cast<std::uint8_t>(bit_pairs);
    }
  }
}

}  // namespace

BlockFormat AffineShape::format() const {
  const int wide = bits == 4 ? 0 : bits == 6 ? 3 : 6;
  const int longer = unit == 32 ? 0 : unit == 64 ? 1 : 2;
  return static_cast<BlockFormat>(static_cast<int>(BlockFormat::affine4_32) + wide + longer);
}

AffineShape affine_shape(std::int64_t outputs, std::int64_t inputs, int bits, const std::vector<std::int32_t>& group_of,
                         const std::string& module, const std::string& file) {
  AffineShape shape{.outputs = outputs, .inputs = inputs, .bits = bits <= 4 ? 4 : bits <= 6 ? 6 : 8};
  if (!std::is_sorted(group_of.begin(), group_of.end())) {
    std::vector<std::int32_t> order(group_of.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      return group_of[static_cast<std::size_t>(a)] < group_of[static_cast<std::size_t>(b)];
    });
    shape.order = std::make_shared<const std::vector<std::int32_t>>(std::move(order));
  }
  const auto group_at = [&](std::int64_t at) { return group_of[static_cast<std::size_t>(shape.column(at))]; };
  for (std::int64_t begin = 0, end = 0; begin < inputs; begin = end) {
    while (end < inputs && group_at(end) == group_at(begin)) ++end;
    while (shape.unit > 1 && (end - begin) % shape.unit != 0) shape.unit /= 2;
  }
  if (shape.unit < 32) {
    throw Error(ErrorKind::unsupported, "groups of inputs that 32 does not divide", {.file = file, .field = module});
  }
  for (std::int64_t at = 0; at < inputs; at += shape.unit) shape.group.push_back(group_at(at));
  return shape;
}

void AffineRows::read(std::int64_t first, std::int64_t count, std::byte* blocks) const noexcept {
  const std::int64_t unit = shape_.unit;
  const std::int64_t part_bytes = 4 * shape_.bits;  // of 32 elements
  const std::int64_t block_bytes = 4 + unit / 32 * part_bytes;
  const std::int64_t row_bytes = shape_.inputs / unit * block_bytes;
  std::uint8_t codes[128 * kRows] = {};
  Codes packed;
  std::uint16_t scales[kRows];
  float zeros[kRows];
  for (std::int64_t at = 0; at < count; at += kRows) {
    const std::int64_t rows = std::min(kRows, count - at);
    for (std::int64_t block = 0; block < shape_.inputs / unit; ++block) {
      std::byte* const to = blocks + at * row_bytes + block * block_bytes;
      read_levels(first + at, rows, shape_.group[static_cast<std::size_t>(block)], scales, zeros);
      for (std::int64_t r = 0; r < rows; ++r) {
        const auto as_float = rounded<float16>(zeros[r] - (shape_.bits == 8 ? 128.0f : 0.0f));
        std::memcpy(to + r * row_bytes, &scales[r], 2);
        std::memcpy(to + r * row_bytes + 2, &as_float, 2);
      }
      read_codes(first + at, rows, block * unit, codes);
      for (std::int64_t part = 0; part < unit / 32; ++part) {
        pack_part(shape_.bits, codes + part * 32 * kRows, packed);
        for (std::int64_t r = 0; r < rows; ++r) {
          std::byte* const row = to + r * row_bytes + 4 + part * part_bytes;
          for (std::int64_t i = 0; i < part_bytes; ++i) row[i] = static_cast<std::byte>(packed[i * kRows + r]);
        }
      }
    }
  }
}

TensorView affine_view(std::string name, std::shared_ptr<const AffineRows> rows) {
  TensorView view{.name = std::move(name),
                  .format = rows->shape().format(),
                  .shape = {rows->shape().outputs, rows->shape().inputs},
                  .file = rows->parts().front().file};
  for (const TensorView& part : rows->parts()) view.bytes += part.bytes;
  view.rows = std::move(rows);
  return view;
}

}  // namespace powerhouse
