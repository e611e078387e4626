// Sampling over a large vocabulary without passing over it again and again: the token that apply_warpers and
// sample_token choose (processors.h, sampler.h), from the few candidates that can matter.
#pragma once

#include <cstdint>
#include <span>

#include "powerhouse/generation.h"
#include "support/philox.h"

namespace powerhouse {

/// As sample_token behind apply_warpers, for any row and options: where candidates do not decide with certainty, it
/// asks them. May change the row.
std::int64_t sample_row(std::span<float> logits, const GenerationOptions& options, const Random& random,
                        std::uint64_t counter);

/// The token behind context.ids, by all of the options, `matcher` where they have a constraint; its random number is
/// that of its place behind the prompt. May change the row.
std::int64_t choose_token(std::span<float> logits, const GenerationOptions& options, const LogitsContext& context,
                          const Random& random, ConstraintMatcher* matcher = nullptr);

}  // namespace powerhouse
