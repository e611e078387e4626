// AWQ's packings, as AutoAWQ writes them and transformers and vLLM read them: 4 bits, zeros as they are, no act-order.
//
//   gemm   qweight int32 [inputs, outputs / 8]   nibble i of a word is output 0 2 4 6 1 3 5 7 [i] of its eight
//          qzeros  int32 [groups, outputs / 8]   likewise
//          scales  f16   [groups, outputs]
//   gemv   qweight int32 [outputs, inputs / 8]   nibbles in order
//          qzeros  int32 [outputs, width]        zeros along groups; width is groups / 8, rounded up to what 128 /
//          group scales  f16   [outputs, 8 width]      groups need (to 1, 2 or 4 words); zeros behind the last group
//
// gemv_fast and llm-awq (the same) store the product of zero and scale in f16 and are read only.
#pragma once

#include <string>
#include <vector>

#include "formats/grouped_codes.h"
#include "support/json.h"

namespace powerhouse {

enum class AwqVersion { gemm, gemv };

/// What config.json says beside the tensors. Names are those of transformers' AwqConfig.
struct AwqConfig {
  std::int64_t group_size = 128;  ///< -1: a column
  bool zero_point = true;
  AwqVersion version = AwqVersion::gemm;
  std::vector<std::string> dense_modules{};  ///< parts of names of linear modules that are not quantized
};

/// The three tensors of `module`. 4 bits; groups divide inputs (gemv: of 32, 64, 128 and more), outputs are a multiple
/// of 8; no `group_of`. Error{usage} for what does not fit.
std::vector<PackedTensor> pack_awq(const GroupedCodes& matrix, const std::string& module, AwqVersion version);

/// config.json's `quantization_config`.
Json awq_config(const AwqConfig& config);

}  // namespace powerhouse
