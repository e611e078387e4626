// Folders whose config.json names a packing of quantized weights: what stands beside each other for a module becomes
// one tensor "<module>.weight" of AFFINE rows (formats/affine_rows.h), as if the file held rows of blocks.
#pragma once

#include <string>
#include <vector>

#include "formats/tensor_view.h"
#include "support/json.h"

namespace powerhouse {

struct JoinedTensors {
  std::vector<TensorView> tensors{};  ///< what is not quantized as it was
  Json config{};                      ///< `quantization_config`, null where nothing was packed
};

/// `quantization_config` of a config.json (or its older spelling `compression_config`); where there is none, what
/// AutoGPTQ and AutoAWQ once wrote beside it (quantize_config.json, quant_config.json), with its `quant_method`; else
/// null.
Json quantization_of(const Json& config, const std::string& folder);

/// gptq (both checkpoint formats), awq (gemm, gemv, gemv_fast, llm-awq), compressed-tensors (pack-quantized), exl2,
/// hqq. Zeros of GPTQ that are stored otherwise than the config says are put right, with a warning. Tensors come back
/// as they are for other methods. Error{unsupported} for what a config asks for and is not read, Error{format} for
/// tensors that are missing or of the wrong shape. Where the folder is not `complete`, modules that lack a tensor are
/// left as they are.
JoinedTensors join_quantized(std::vector<TensorView> tensors, const Json& quantization, const std::string& folder,
                             bool complete = true);

}  // namespace powerhouse
