// The best mix for a size: types by what each tensor's error costs the logits.
#pragma once

#include <vector>

#include "calibration/importance_collector.h"
#include "powerhouse/quantization.h"
#include "quantization/importance.h"
#include "quantization/source_model.h"

namespace powerhouse {

struct BudgetedMix {
  std::vector<BlockFormat> formats{};  ///< of the source's tensors
  std::vector<double> costs{};         ///< what each adds to the mean KL divergence of the logits, as expected
  int file_type = 0;                   ///< of the mix that has the type of most weights
};

/// Error{usage} without a size.
void check_budget(const BudgetOptions& budget);

/// `header_bytes` is what a file has beside its tensors. Error{range} for a size that nothing fits.
BudgetedMix budgeted_mix(const SourceModel& source, const TokenSequences& sequences, const ImportanceMatrix& importance,
                         std::uint64_t header_bytes, const QuantizationOptions& options);

}  // namespace powerhouse
