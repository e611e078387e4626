// A matrix as whole numbers with a scale and a zero for each group of inputs, value = scale * (code - zero): what the
// packings of GPTQ (formats/gptq.h), AWQ (formats/awq.h) and compressed-tensors hold, and what their writers take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/common/blocks.h"

namespace powerhouse {

struct GroupedCodes {
  int bits = 4;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  std::int64_t group = 128;              ///< inputs that share a scale, the last ones may be fewer; -1: all
  std::vector<std::uint8_t> codes{};     ///< [outputs, inputs], 0 to 2^bits - 1, columns as the model has them
  std::vector<float> scales{};           ///< [outputs, groups()], written as float16
  std::vector<std::int32_t> zeros{};     ///< [outputs, groups()], the true ones: 8 for symmetric codes of 4 bits
  std::vector<std::int32_t> group_of{};  ///< [inputs], the group of each input; empty: input / group

  std::int64_t group_size() const { return group == -1 ? inputs : group; }
  std::int64_t groups() const { return (inputs + group_size() - 1) / group_size(); }
  std::int64_t group_at(std::int64_t input) const {
    return group_of.empty() ? input / group_size() : group_of[static_cast<std::size_t>(input)];
  }
};

/// Error{usage} naming `module` where sizes, codes, zeros or groups are not what the struct says; scales that are not
/// finite, or leave float16, are Error{numeric}. `zeros_from` and `zeros_to` (included) are what a format has room for.
void check(const GroupedCodes& matrix, const std::string& module, std::int32_t zeros_from, std::int32_t zeros_to);

/// scale * (code - zero) in float32, which holds it exactly for scales of float16: [outputs, inputs].
std::vector<float> dequantized(const GroupedCodes& matrix);

/// A tensor of a file in memory.
struct PackedTensor {
  std::string name;
  BlockFormat format = BlockFormat::i32;
  std::vector<std::int64_t> shape{};
  std::vector<std::byte> bytes{};
};

/// Codes one behind the other in 32-bit words, the lowest bits first; a code may cross words. `at` counts codes,
/// `stride` is between a row's words.
void put_code(std::uint32_t* words, std::int64_t stride, std::int64_t at, int bits, std::uint32_t code);
std::uint32_t get_code(const std::uint32_t* words, std::int64_t stride, std::int64_t at, int bits);

/// [outputs, groups] as a float16 tensor; turned to [groups, outputs] where `by_group`, each row padded with zeros to
/// `width`.
PackedTensor float16_tensor(std::string name, const GroupedCodes& matrix, bool by_group, std::int64_t width);
/// A tensor of zeros in 32-bit words.
PackedTensor word_tensor(std::string name, std::vector<std::int64_t> shape);
std::uint32_t* words_of(PackedTensor& tensor);

}  // namespace powerhouse
