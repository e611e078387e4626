// Logits processors, one function each, with transformers' semantics. A forbidden token's logit is -infinity.
#pragma once

#include <cstdint>
#include <span>

#include "powerhouse/generation.h"

namespace powerhouse {

/// Logits of every id seen are divided by `penalty` where positive, multiplied where negative; each id once.
void apply_repetition_penalty(std::span<float> logits, std::span<const std::int64_t> ids, float penalty);

void apply_temperature(std::span<float> logits, float temperature);

/// Keeps the k largest; ties with the k-th stay.
void apply_top_k(std::span<float> logits, std::int64_t k);

/// Drops the least probable tokens while their probabilities sum to at most 1 - p. At least one stays.
void apply_top_p(std::span<float> logits, float p);

/// Drops tokens whose probability is below min_p times the largest.
void apply_min_p(std::span<float> logits, float min_p);

/// Error{usage} naming the first option outside its bounds.
void check_options(const GenerationOptions& options);

/// Repetition penalty and the user's own processors: what greedy decoding takes too. Error{numeric} where they leave
/// NaN or infinity.
void apply_penalties(std::span<float> logits, const GenerationOptions& options, const LogitsContext& context);

/// Whether a token is drawn by temperature, top_k, top_p and min_p alone, which a device can do.
bool draws_by_warpers_alone(const GenerationOptions& options);

/// Temperature (not 0), top_k, top_p, min_p.
void apply_warpers(std::span<float> logits, const GenerationOptions& options);

/// The whole chain of `options` in transformers' order. Greedy decoding takes the penalties and the user's own only.
void process_logits(std::span<float> logits, const GenerationOptions& options, const LogitsContext& context);

}  // namespace powerhouse
