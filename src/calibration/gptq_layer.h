// One layer of a model by GPTQ: Hessians of its linear maps' inputs, and the codes that they lead to.
#pragma once

#include <cstdint>
#include <vector>

#include "calibration/gptq_solver.h"
#include "calibration/layerwise.h"
#include "calibration/quantized_modules.h"

namespace powerhouse {

/// Quantizes a layer whose weights are in a DenseLayer: the values that the codes say stand in their place, and the
/// run's states become what the layer makes of them. Where all sequences go through in one part, and
/// `true_sequential`, each map is quantized as the pass comes to it, and the layer runs once; else once for every step
/// of maps that do not feed each other, and a last time.
std::vector<QuantizedTarget> quantize_layer(Model& model, LayerwiseRun& run, std::int64_t layer, const GptqRule& rule,
                                            bool true_sequential);

/// Bytes that the Hessians of a layer's maps take at once, with what is made of one of them.
std::size_t hessian_bytes(const Model& model);

}  // namespace powerhouse
