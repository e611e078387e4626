// One layer of a model by AWQ: the scales that lessen the error of its outputs, the ranges that lessen it further, and
// the codes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "calibration/group_grid.h"
#include "calibration/layerwise.h"
#include "calibration/quantized_modules.h"
#include "powerhouse/awq.h"

namespace powerhouse {

/// Where the weights of each group of an output are cut, [groups, outputs].
struct Ranges {
  at::Tensor low, high;
  at::Tensor cut(const at::Tensor& matrix) const;
};

/// Those that leave the least error of a map's outputs. `hessian` as in hessian.h, of the map's inputs.
Ranges best_ranges(const at::Tensor& matrix, const at::Tensor& hessian, const AwqOptions& options);

/// As quantize_layer (gptq_layer.h). Norms and rows that carry scales are changed where they stand, and are what `type`
/// holds. The run's states become what the layer made before it was changed.
std::vector<QuantizedTarget> quantize_layer_awq(Model& model, LayerwiseRun& run, std::int64_t layer,
                                                const AwqOptions& options, at::ScalarType type);

/// Bytes that a layer takes beside the run: a Hessian a map that has inputs of its own.
std::size_t awq_bytes(const Model& model, const AwqOptions& options);

}  // namespace powerhouse
