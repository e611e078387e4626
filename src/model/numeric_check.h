// Logits that are not finite: found at once, and traced to where they begin.
#pragma once

#include "model/causal_lm_impl.h"

namespace powerhouse {

/// Whether every element is finite. Float32 and float64, contiguous.
bool all_finite(const at::Tensor& logits);

/// Runs the pass once more with a look at every activation, and throws Error{numeric} naming the first point that is
/// not finite. A pass of the plan (`planned`, with the adapters `terms`) is run by the plan: the decoder would make
/// its weights dense. The cache's
/// reserved room is written again with the same values.
[[noreturn]] void report_not_finite(const Model& model, const PackedBatch& batch, KvCache* cache,
                                    const HookTable& hooks, const Arithmetic& arithmetic, bool planned,
                                    const PlanAdapters* terms);

}  // namespace powerhouse
