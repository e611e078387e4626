// Locally typical sampling (Meister et al. 2022), as TypicalP has it, for what must keep several tokens.
#pragma once

#include <cstddef>
#include <span>

#include "powerhouse/logits_processors.h"

namespace powerhouse {

/// Keeps the tokens whose -log p is nearest to the entropy until they hold `p`, and `min_tokens_to_keep` of them at
/// least.
void apply_typical_p(std::span<float> logits, float p, processors::Ties ties, std::size_t min_tokens_to_keep);

}  // namespace powerhouse
