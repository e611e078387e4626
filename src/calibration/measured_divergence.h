// What a quantized checkpoint's logits are worth against its source's, on a text; both a layer in memory at a time.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "powerhouse/quantization.h"

namespace powerhouse {

/// What can be said before anything is quantized: Error{range} for a text of less than one sequence, Error{usage} where
/// it shares a run of 32 tokens with what the model was calibrated on (empty: nothing), which would praise it.
void check_divergence_text(const std::string& source, const std::string& text, const std::string& calibration_text);

/// Over the first tokens of `text`, at most 16 sequences of 512. `memory` as in CalibrationOptions. Error{range} for a
/// text of less than one sequence, Error{usage} where the vocabularies differ in size.
LogitDivergence measured_divergence(const std::string& source, const std::string& quantized, const std::string& text,
                                    std::size_t memory, const std::stop_token& cancel);

}  // namespace powerhouse
