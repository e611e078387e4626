// HQQLinear's state in safetensors, as the hqq package and transformers save it. A module [outputs, inputs] is cut
// along its rows into groups, in all `rows` = outputs * inputs / group_size:
//
//   W_q     uint8 [rows * bits / 8, group_size]; 5 and 6 bits take a byte each; 3 bits int32 [rows / 10 rounded up,
//           group_size]. An element holds one code of each of its equal parts of the rows, the first part's in the
//           highest bits.
//   scale, zero    [rows, 1] in the compute type; zeros are no integers. value = (code - zero) * scale
//   shape   int64 [2]
//   nbits, group_size, axis, view_as_float, quant_scale, quant_zero and more    numbers; texts as their letters' codes
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/grouped_codes.h"
#include "powerhouse/hqq.h"
#include "support/json.h"

namespace powerhouse {

/// How codes share an element of W_q.
struct HqqPacking {
  int bits = 4;           ///< of a code
  std::int64_t part = 2;  ///< codes of an element
  std::int64_t bytes = 1;
  const char* name = "4bit_u8";  ///< the package's
};
/// Of 1 to 6 and 8 bits.
std::optional<HqqPacking> hqq_packing(std::int64_t bits);

/// Scales and zeros become numbers that float16 holds, which is what is written; zeros of 8 bits such that it holds
/// them less 128 too, as our reader keeps them (at most 1/32 of a step off where they lie within the codes).
/// Error{numeric} naming `module` where one leaves float16.
void round_levels(HqqMatrix& matrix, const std::string& module);

/// What the package would say of a matrix: all tensors of `module` but its bias, scales and zeros in float16. Error
/// {unsupported} where the package has no packing: rows of groups that the codes of an element do not divide (3 bits
/// aside).
std::vector<PackedTensor> pack_hqq(const HqqMatrix& matrix, const std::string& module, const HqqOptions& options);
/// That check by itself.
void check_hqq_packing(std::int64_t rows, std::int64_t columns, const std::string& module, const HqqOptions& options);

/// transformers' word, in `skip_modules`, for a module that is not quantized: its name without numbers and the parts
/// "model" and "layers".
std::string hqq_module_tag(const std::string& module);

/// config.json's `quantization_config`.
Json hqq_config(const HqqOptions& options, const std::vector<std::string>& skip_modules);

}  // namespace powerhouse
