// How much a tensor's error costs: the mean KL divergence of the logits where one tensor alone is replaced by a coarse
// copy of itself, over that copy's importance-weighted error.
//
// Divergence is quadratic in small errors and errors of different tensors hardly meet, so that a tensor's cost in any
// type is about this number times the type's weighted error.
#pragma once

#include <functional>
#include <map>
#include <stop_token>
#include <string>

#include "calibration/importance_collector.h"
#include "quantization/importance.h"

namespace powerhouse {

/// By GGUF's names of tensors that quantize. `importance` may lack entries (of embeddings); a weight's columns then
/// weigh alike. The model is held a layer at a time, beside what is outside layers; all its parameters get a pass each.
std::map<std::string, double> divergence_per_error(const std::string& model, const TokenSequences& sequences,
                                                   const ImportanceMatrix& importance,
                                                   const std::function<void(double share)>& on_progress,
                                                   const std::stop_token& cancel);

}  // namespace powerhouse
