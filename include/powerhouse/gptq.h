// GPTQ (Frantar et al. 2023, arXiv 2210.17323): weights in 2 to 8 bits that answer each other's rounding errors.
//
//     auto report = powerhouse::quantize_gptq("SmolLM2-135M", "SmolLM2-135M-GPTQ", text, {.bits = 4, .group_size =
//     64});
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "powerhouse/calibration.h"
#include "powerhouse/export.h"

namespace powerhouse {

/// Names and meanings are those of quantize_config.json.
struct GptqOptions {
  int bits = 4;                   ///< 2, 3, 4 or 8
  std::int64_t group_size = 128;  ///< inputs that share a scale; -1: all of a row
  bool sym = true;                ///< zero in the middle of the codes
  bool desc_act = false;          ///< columns of large inputs are rounded first
  bool static_groups = false;     ///< with desc_act: groups of neighbours, as without it
  double damp_percent = 0.05;     ///< of the Hessian's mean diagonal, added to it
  /// How much of a group's range its codes are spread over: "hessian", the share of the least error in the Hessian's
  /// measure, "mse", the one of least |error|^2.4, which is AutoGPTQ's `mse`, or "none", all of it, its default.
  std::string scale_search = "hessian";
  std::int64_t block_size = 128;  ///< columns between two updates of those behind
  bool true_sequential = true;    ///< each linear layer sees what the quantized ones before it make
  /// "gptq" (zeros less one, what every reader takes), "gptq_v2" (zeros as they are), or "dense": the values that the
  /// codes say, as a plain folder, to measure with.
  std::string checkpoint_format = "gptq";
};

/// Quantizes the linear layers of a model's decoder layers, one layer in memory at a time, and writes a folder that
/// transformers, vLLM and this library load. Embeddings, head, norms and routers stay as they are; of a mixture of
/// experts each expert has its own Hessian, and those that no token reached are rounded to nearest, with a note.
///
/// Works in `<output>.partial`, which keeps every finished layer: the same call after a kill goes on where it ended.
/// The folder gets its name when all of it is there. Error{usage} where `output` is there and not empty, and where
/// `.partial` is of another model, text or config, or another process is at it; Error{range} for a text shorter than
/// one sequence; Error{unsupported} where `group_size` does not divide a layer's inputs; Error{numeric} for weights or
/// activations that are not finite.
POWERHOUSE_API QuantizationReport quantize_gptq(const std::string& model, const std::string& output,
                                                std::string_view calibration_text, const GptqOptions& config = {},
                                                const CalibrationOptions& options = {},
                                                const QuantizationCallbacks& callbacks = {});

}  // namespace powerhouse
