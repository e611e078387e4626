// A folder quantized layer by layer, by a method that looks at calibration text: opens the model, takes the text
// through it, keeps what is done, and writes the folder.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "calibration/layerwise.h"
#include "calibration/quantized_modules.h"
#include "formats/grouped_codes.h"
#include "powerhouse/calibration.h"
#include "support/json.h"

namespace powerhouse {

struct LayerMethod {
  /// All that the result depends on beside model and text; what is resumed must have the same.
  Json options{};
  /// Throws for a module that can't be quantized; asked of all before anything is done.
  std::function<void(const LinearTarget& target)> check{};
  /// Quantizes a layer whose weights are in a DenseLayer: what else it changes there is written too. The run's states
  /// become what the next layer reads.
  std::function<std::vector<QuantizedTarget>(Model& model, LayerwiseRun& run, std::int64_t layer)> quantize{};
  /// Bytes that `quantize` needs beside the run.
  std::function<std::size_t(const Model& model)> memory{};
  /// A module's tensors; empty: the weights that `quantize` left are written as a plain folder in float32.
  std::function<std::vector<PackedTensor>(const GroupedCodes& codes, const std::string& module)> pack{};
  /// config.json's quantization_config; null for none.
  Json config{};
  /// Of what is not quantized; the model's own where none is given.
  std::optional<at::ScalarType> type{};
};

QuantizationReport quantize_layer_by_layer(const std::string& model, const std::string& output, std::string_view text,
                                           const LayerMethod& method, const CalibrationOptions& options,
                                           const QuantizationCallbacks& callbacks);

}  // namespace powerhouse
