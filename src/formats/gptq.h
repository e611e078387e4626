// GPTQ's packing, as AutoGPTQ and GPTQModel write it and transformers and vLLM read it. Of a module [outputs, inputs]:
//
//   qweight int32 [inputs * bits / 32, outputs]   codes along inputs, the lowest bits first; 3 bits cross words
//   qzeros  int32 [groups, outputs * bits / 32]   zeros along outputs likewise
//   scales  f16   [groups, outputs]
//   g_idx   int32 [inputs]                        each input's group; with act-order not in order
//
// Checkpoint format "gptq" (v1) stores zeros less one, which leaves no place for a zero of 0; "gptq_v2" stores them as
// they are.
#pragma once

#include <string>
#include <vector>

#include "formats/grouped_codes.h"
#include "support/json.h"

namespace powerhouse {

enum class GptqFormat { v1, v2 };

/// What config.json says beside the tensors. Names are those of transformers' GPTQConfig.
struct GptqConfig {
  int bits = 4;
  std::int64_t group_size = 128;  ///< -1: a column
  bool sym = true;
  bool desc_act = false;
  bool static_groups = false;
  bool true_sequential = true;
  double damp_percent = 0.01;
  GptqFormat checkpoint_format = GptqFormat::v1;
  std::vector<std::string> dense_modules{};  ///< full names of linear modules (beside lm_head) that are not quantized
};

/// The four tensors of `module` ("model.layers.0.mlp.up_proj"). Bits are 2, 3, 4 or 8; inputs and outputs are multiples
/// of 32. g_idx is written always. Error{usage} for what does not fit, v1 for a zero of 0.
std::vector<PackedTensor> pack_gptq(const GroupedCodes& matrix, const std::string& module, GptqFormat format);

/// GPTQModel's and vLLM's word, a key of `dynamic`, for a module that is not quantized.
std::string gptq_dense_pattern(const std::string& module);

/// config.json's `quantization_config`.
Json gptq_config(const GptqConfig& config);

}  // namespace powerhouse
