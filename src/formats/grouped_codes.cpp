#include "formats/grouped_codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/common/float16.h"
#include "powerhouse/error.h"

namespace powerhouse {

void check(const GroupedCodes& matrix, const std::string& module, std::int32_t zeros_from, std::int32_t zeros_to) {
  const auto refuse = [&](const char* what, const std::string& expected, const std::string& found) {
    throw Error(ErrorKind::usage, what, {.field = module, .expected = expected, .found = found});
  };
  const auto size = [](const auto& values) { return static_cast<std::int64_t>(values.size()); };
  if (matrix.bits < 2 || matrix.bits > 8)
    refuse("codes of these bits are not packed", "2 to 8", std::to_string(matrix.bits));
  if (matrix.outputs < 1 || matrix.inputs < 1 || matrix.group_size() < 1) refuse("an empty matrix", "", "");
  const std::int64_t levels = matrix.outputs * matrix.groups();
  if (size(matrix.codes) != matrix.outputs * matrix.inputs) {
    refuse("codes of another size", std::to_string(matrix.outputs * matrix.inputs),
           std::to_string(matrix.codes.size()));
  }
  if (size(matrix.scales) != levels || size(matrix.zeros) != levels) {
    refuse("scales or zeros of another size", std::to_string(levels),
           std::to_string(matrix.scales.size()) + ", " + std::to_string(matrix.zeros.size()));
  }
  const int most = (1 << matrix.bits) - 1;
  for (const std::uint8_t code : matrix.codes) {
    if (code > most) refuse("a code beyond its bits", "0 to " + std::to_string(most), std::to_string(code));
  }
  for (const std::int32_t zero : matrix.zeros) {
    if (zero >= zeros_from && zero <= zeros_to) continue;
    refuse("a zero that the format has no room for", std::to_string(zeros_from) + " to " + std::to_string(zeros_to),
           std::to_string(zero));
  }
  for (const float scale : matrix.scales) {
    if (std::abs(scale) <= 65504.0f) continue;
    throw Error(ErrorKind::numeric, "a scale that float16 can't hold",
                {.field = module, .found = std::to_string(scale)});
  }
  if (!matrix.group_of.empty() && size(matrix.group_of) != matrix.inputs) {
    refuse("groups of inputs of another size", std::to_string(matrix.inputs), std::to_string(matrix.group_of.size()));
  }
  for (const std::int32_t group : matrix.group_of) {
    if (group < 0 || group >= matrix.groups()) {
      refuse("a group that is not there", "below " + std::to_string(matrix.groups()), std::to_string(group));
    }
  }
}

std::vector<float> dequantized(const GroupedCodes& matrix) {
  std::vector<float> values(matrix.codes.size());
  const std::int64_t groups = matrix.groups();
  for (std::int64_t row = 0, at = 0; row < matrix.outputs; ++row) {
    for (std::int64_t k = 0; k < matrix.inputs; ++k, ++at) {
      const auto level = static_cast<std::size_t>(row * groups + matrix.group_at(k));
      const int code = matrix.codes[static_cast<std::size_t>(at)];
      values[static_cast<std::size_t>(at)] = matrix.scales[level] * static_cast<float>(code - matrix.zeros[level]);
    }
  }
  return values;
}

void put_code(std::uint32_t* words, std::int64_t stride, std::int64_t at, int bits, std::uint32_t code) {
  const std::int64_t bit = at * bits;
  const int shift = static_cast<int>(bit % 32);
  words[bit / 32 * stride] |= code << shift;
  if (shift + bits > 32) words[(bit / 32 + 1) * stride] |= code >> (32 - shift);
}

std::uint32_t get_code(const std::uint32_t* words, std::int64_t stride, std::int64_t at, int bits) {
  const std::int64_t bit = at * bits;
  const int shift = static_cast<int>(bit % 32);
  std::uint32_t code = words[bit / 32 * stride] >> shift;
  if (shift + bits > 32) code |= words[(bit / 32 + 1) * stride] << (32 - shift);
  return code & ((1u << bits) - 1);
}

PackedTensor float16_tensor(std::string name, const GroupedCodes& matrix, bool by_group, std::int64_t width) {
  const std::int64_t groups = matrix.groups();
  const std::int64_t rows = by_group ? groups : matrix.outputs;
  PackedTensor tensor{.name = std::move(name), .format = BlockFormat::f16, .shape = {rows, width}};
  tensor.bytes.resize(static_cast<std::size_t>(rows * width) * sizeof(float16));
  for (std::int64_t output = 0; output < matrix.outputs; ++output) {
    for (std::int64_t group = 0; group < groups; ++group) {
      const auto scale = rounded<float16>(matrix.scales[static_cast<std::size_t>(output * groups + group)]);
      const std::int64_t at = by_group ? group * width + output : output * width + group;
      std::memcpy(tensor.bytes.data() + static_cast<std::size_t>(at) * sizeof scale, &scale, sizeof scale);
    }
  }
  return tensor;
}

PackedTensor word_tensor(std::string name, std::vector<std::int64_t> shape) {
  PackedTensor tensor{.name = std::move(name), .format = BlockFormat::i32, .shape = std::move(shape)};
  tensor.bytes.resize(static_cast<std::size_t>(tensor.shape[0] * tensor.shape[1]) * sizeof(std::uint32_t));
  return tensor;
}

std::uint32_t* words_of(PackedTensor& tensor) { return reinterpret_cast<std::uint32_t*>(tensor.bytes.data()); }

}  // namespace powerhouse
