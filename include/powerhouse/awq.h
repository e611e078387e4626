// AWQ (Lin et al. 2023, arXiv 2306.00978): channels that activations make important are scaled up before weights are
// rounded to 4 bits, and what feeds them is scaled down.
//
//     auto report = powerhouse::quantize_awq("SmolLM2-135M", "SmolLM2-135M-AWQ", text, {.group_size = 64});
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "powerhouse/calibration.h"
#include "powerhouse/export.h"

namespace powerhouse {

/// Names are those of AutoAWQ's quant_config.
struct AwqOptions {
  std::int64_t group_size = 128;  ///< inputs that share a scale and a zero; -1: all of a row
  /// "gemm", "gemv", or "dense": the values that the codes say, as a plain folder, to measure with.
  std::string version = "gemm";
  int n_grid = 20;          ///< scales that are tried: mean |x|^r / mean |w|^(1 - r), r = i / n_grid
  bool duo_scaling = true;  ///< false: mean |x|^r alone
  bool apply_clip = true;   ///< cuts each group's range, then each of its ends; not of queries and keys
  double max_shrink = 0.5;  ///< of the range, in steps of 1 / n_grid
  /// Tokens that outputs of a whole attention or MLP are compared on, in whole sequences. All tokens count for means
  /// of activations, and for maps that are looked at alone.
  std::int64_t search_tokens = 8192;
};

/// As quantize_gptq (gptq.h) works, resumes and fails. Scales go into the norm before attention or MLP, into the rows
/// of values for the output projection where each head has values of its own, and into the rows of `up` for the down
/// projection; where a family's wiring leaves no place for them (no norm in front, another reader of its result, an
/// activation that is not linear) a map is rounded without. Plain tensors are written in float16, as AutoAWQ has them.
POWERHOUSE_API QuantizationReport quantize_awq(const std::string& model, const std::string& output,
                                               std::string_view calibration_text, const AwqOptions& options = {},
                                               const CalibrationOptions& calibration = {},
                                               const QuantizationCallbacks& callbacks = {});

}  // namespace powerhouse
