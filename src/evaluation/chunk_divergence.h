// `divergence` over a text that is cut already.
#pragma once

#include "evaluation/text_chunks.h"
#include "powerhouse/evaluation.h"
#include "powerhouse/session.h"

namespace powerhouse {

/// Error{unsupported} where the models' logits have different widths.
DivergenceResult chunk_divergence(const CausalLM& reference, const SessionOptions& reference_options,
                                  const CausalLM& model, const SessionOptions& options, const TextChunks& chunks,
                                  const std::function<void(std::int64_t, std::int64_t, double)>& on_progress);

}  // namespace powerhouse
