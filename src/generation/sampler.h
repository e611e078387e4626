// Chooses a token from processed logits.
#pragma once

#include <cstdint>
#include <span>

#include "support/philox.h"

namespace powerhouse {

/// The first of the largest logits. Error{numeric} where every token is forbidden.
std::int64_t greedy_token(std::span<const float> logits);

/// Draws from softmax(logits) with the random number at `counter`: the same seed, lane and counter give the same token
/// whatever else happens. Error{numeric} where every token is forbidden.
std::int64_t sample_token(std::span<const float> logits, const Random& random, std::uint64_t counter);

}  // namespace powerhouse
