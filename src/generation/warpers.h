// Temperature, top_k, top_p and min_p, with transformers' semantics: the ones that all generations share. A forbidden
// token's logit is -infinity.
#pragma once

#include <cstdint>
#include <span>

#include "powerhouse/generation.h"

namespace powerhouse {

void apply_temperature(std::span<float> logits, float temperature);

/// Keeps the k largest; ties with the k-th stay.
void apply_top_k(std::span<float> logits, std::int64_t k);

/// Drops the least probable tokens while their probabilities sum to at most 1 - p. At least one stays.
void apply_top_p(std::span<float> logits, float p);

/// Drops tokens whose probability is below min_p times the largest.
void apply_min_p(std::span<float> logits, float min_p);

/// All but those below `bound`.
void keep_from(std::span<float> logits, float bound);

/// Temperature (not 0), top_k, top_p, min_p.
void apply_warpers(std::span<float> logits, const GenerationOptions& options);

}  // namespace powerhouse
