// The tensors that stand beside each other for one quantized module, found by name and checked.
#pragma once

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "formats/tensor_view.h"
#include "powerhouse/error.h"

namespace powerhouse {

/// All tensors of a folder, by name.
using ViewsByName = std::unordered_map<std::string_view, const TensorView*>;

class PackedParts {
 public:
  PackedParts(const ViewsByName& tensors, std::string module) : tensors_(tensors), module_(std::move(module)) {}

  const std::string& module() const { return module_; }
  /// Null where there is none.
  const TensorView* find(std::string_view ending) const;
  /// Error{format} where it is missing, or of another format or number of dimensions.
  const TensorView& require(std::string_view ending, BlockFormat format, std::size_t dimensions) const;
  /// Throws Error{format} naming the tensor.
  [[noreturn]] void refuse(const TensorView& view, const std::string& expected, const std::string& found) const;
  void check_shape(const TensorView& view, const std::vector<std::int64_t>& shape) const;
  const std::string& file() const;

 private:
  const ViewsByName& tensors_;
  std::string module_;
};

/// All integers of a view of int32, or of int64.
std::vector<std::int32_t> integers_of(const TensorView& view);

/// Unaligned 32-bit words and float16 of a view.
inline std::uint32_t word_at(const std::byte* data, std::int64_t at) {
  std::uint32_t word;
  std::memcpy(&word, data + 4 * at, sizeof word);
  return word;
}
inline std::uint16_t half_at(const std::byte* data, std::int64_t at) {
  std::uint16_t bits;
  std::memcpy(&bits, data + 2 * at, sizeof bits);
  return bits;
}
/// A code of `bits` bits from a run of words, the lowest bits first.
inline std::uint32_t code_at(const std::byte* words, std::int64_t at, int bits) {
  const std::int64_t bit = at * bits;
  const auto* const byte = reinterpret_cast<const unsigned char*>(words) + bit / 8;
  std::uint32_t value = *byte;
  if (bit % 8 + bits > 8) value |= std::uint32_t{byte[1]} << 8;
  return value >> (bit % 8) & ((1u << bits) - 1);
}

/// Scales in float16: of a view of f16 as it lies; of bf16 and f32 a copy in memory, whose parts are of `view`'s name.
/// Error{unsupported} where float16 can't hold one.
TensorView as_float16(const TensorView& view);

}  // namespace powerhouse
