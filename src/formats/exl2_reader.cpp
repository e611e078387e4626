// EXL2 as rows of blocks. Of a module [outputs, inputs], whose inputs stand in an order of importance:
//
//   q_weight     int32 [words, outputs]      codes along inputs, the lowest bits first; each group has its own bits
//   q_groups     int16 [2 groups]            bits, and the row of q_weight where the group begins
//   q_scale      int32 [groups, outputs / 8] four bits an output, less one
//   q_scale_max  f16   [groups]
//   q_invperm    int32 [inputs]              where each input stands in that order
//
// value = (code - 2^(bits - 1)) * scale with scale = (q_scale + 1)^2 * (q_scale_max / 256), rounded to float16 as
// exllamav2's kernels do. Codes of up to 4 bits are held in 4, of 5 and 6 in 6, of 8 in 8, by the widest of a weight.
#include <algorithm>

#include "formats/affine_rows.h"
#include "formats/packed_methods.h"
#include "kernels/common/float16.h"

namespace powerhouse {
namespace {

struct Exl2Group {
  int bits = 0;
  std::int64_t first_word = 0;    // row of q_weight
  std::int64_t first_column = 0;  // in q_weight's order
};

class Exl2Rows final : public AffineRows {
 public:
  Exl2Rows(AffineShape shape, std::vector<TensorView> parts, std::vector<Exl2Group> groups)
      : AffineRows(std::move(shape), std::move(parts)), groups_(std::move(groups)) {}

 protected:
  void read_codes(std::int64_t first, std::int64_t rows, std::int64_t column,
                  std::uint8_t* codes) const noexcept override {
    const Exl2Group& group = group_at(shape().group[static_cast<std::size_t>(column / shape().unit)]);
    const std::int64_t outputs = shape().outputs;
    const std::uint32_t mask = (1u << group.bits) - 1;
    for (std::int64_t i = 0; i < shape().unit; ++i) {
      const std::int64_t bit = (column + i - group.first_column) * group.bits;
      const int shift = static_cast<int>(bit % 32);
      const std::int64_t at = (group.first_word + bit / 32) * outputs + first;
      for (std::int64_t r = 0; r < rows; ++r) {
        std::uint32_t code = word_at(parts()[0].data, at + r) >> shift;
        if (shift + group.bits > 32) code |= word_at(parts()[0].data, at + outputs + r) << (32 - shift);
        codes[i * kRows + r] = static_cast<std::uint8_t>(code & mask);
      }
    }
  }

  void read_levels(std::int64_t first, std::int64_t rows, std::int64_t group, std::uint16_t* scales,
                   float* zeros) const noexcept override {
    const float largest = to_float(float16{half_at(parts()[3].data, group)});
    const float unit = to_float(rounded<float16>(largest / 256.0f));
    const std::byte* const words = parts()[2].data + group * (shape().outputs / 8) * 4;
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto root = static_cast<float>(code_at(words, first + r, 4) + 1);
      scales[r] = rounded<float16>(root * root * unit).bits;
      zeros[r] = 1 << (group_at(static_cast<std::int32_t>(group)).bits - 1);
    }
  }

 private:
  const Exl2Group& group_at(std::int32_t group) const noexcept { return groups_[static_cast<std::size_t>(group)]; }

  std::vector<Exl2Group> groups_;
};

std::vector<Exl2Group> groups_of(const PackedParts& parts, const TensorView& view, std::int64_t words,
                                 std::int64_t inputs) {
  std::vector<Exl2Group> groups;
  std::int64_t columns = 0;
  const auto number = [&](std::int64_t at) { return static_cast<std::int64_t>(half_at(view.data, at)); };
  for (std::int64_t i = 0; i < view.elements() / 2; ++i) {
    const std::int64_t bits = number(2 * i), first = number(2 * i + 1);
    const std::int64_t end = i + 1 < view.elements() / 2 ? number(2 * i + 3) : words;
    const bool known = (bits >= 2 && bits <= 6) || bits == 8;
    if (!known || end <= first || end > words || (end - first) * 32 % bits != 0) {
      parts.refuse(view, "groups of 2 to 6 or 8 bits in order",
                   std::to_string(bits) + " bits, words " + std::to_string(first) + " to " + std::to_string(end));
    }
    groups.push_back({static_cast<int>(bits), first, columns});
    columns += (end - first) * 32 / bits;
  }
  if (groups.empty() || groups.front().first_word != 0 || columns != inputs) {
    parts.refuse(view, "groups of " + std::to_string(inputs) + " inputs", std::to_string(columns));
  }
  return groups;
}

}  // namespace

void check_exl2(const Json&, const std::string&) {}

TensorView join_exl2(const PackedParts& parts, const Json&, std::vector<std::string>&) {
  const TensorView& weight = parts.require("q_weight", BlockFormat::i32, 2);
  const TensorView& group_view = parts.require("q_groups", BlockFormat::i16, 1);
  const TensorView& scale = parts.require("q_scale", BlockFormat::i32, 2);
  const TensorView& largest = parts.require("q_scale_max", BlockFormat::f16, 1);
  const TensorView& inverse = parts.require("q_invperm", BlockFormat::i32, 1);
  const std::int64_t outputs = weight.shape[1];
  const std::int64_t inputs = inverse.shape[0];
  if (outputs % 8 != 0 || inputs % 32 != 0 || inputs == 0) {
    parts.refuse(weight, "outputs that 8 and inputs that 32 divides",
                 std::to_string(outputs) + " x " + std::to_string(inputs));
  }
  const std::vector<Exl2Group> groups = groups_of(parts, group_view, weight.shape[0], inputs);
  const auto count = static_cast<std::int64_t>(groups.size());
  parts.check_shape(scale, {count, outputs / 8});
  parts.check_shape(largest, {count});

  std::vector<std::int32_t> order(static_cast<std::size_t>(inputs), -1);
  const std::vector<std::int32_t> places = integers_of(inverse);
  for (std::int64_t k = 0; k < inputs; ++k) {
    const std::int32_t place = places[static_cast<std::size_t>(k)];
    if (place < 0 || place >= inputs || order[static_cast<std::size_t>(place)] != -1) {
      parts.refuse(inverse, "a permutation", std::to_string(place));
    }
    order[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(k);
  }
  std::vector<std::int32_t> group_of(static_cast<std::size_t>(inputs));
  int bits = 0;
  for (std::int64_t g = 0; g < count; ++g) {
    const std::int64_t end = g + 1 < count ? groups[static_cast<std::size_t>(g + 1)].first_column : inputs;
    for (std::int64_t k = groups[static_cast<std::size_t>(g)].first_column; k < end; ++k) {
      group_of[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(g);
    }
    bits = std::max(bits, groups[static_cast<std::size_t>(g)].bits);
  }
  AffineShape shape = affine_shape(outputs, inputs, bits, group_of, parts.module(), weight.file->path());
  if (!std::is_sorted(order.begin(), order.end())) {
    shape.order = std::make_shared<const std::vector<std::int32_t>>(std::move(order));
  }
  return affine_view(parts.module() + ".weight",
                     std::make_shared<const Exl2Rows>(
                         std::move(shape), std::vector{weight, group_view, scale, largest, inverse}, groups));
}

}  // namespace powerhouse
