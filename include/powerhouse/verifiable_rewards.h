// Rewards that need no model: TRL's, exactly (trl.rewards). Functions for online.h.
//
//     Trainer(model, prompts, GrpoOptions{}, {think_format_reward(), soft_overlong_punishment_reward(512, 128)}, ...)
#pragma once

#include <cstdint>

#include "powerhouse/online.h"

namespace powerhouse {

/// 1 for a completion that opens with "<think>", closes it by "</think>" and has no other "<think>"; else 0.
POWERHOUSE_API RewardFunction think_format_reward();

/// 0 up to max_completion_len - soft_punish_cache tokens, from there down to -1 at max_completion_len, and -1 beyond:
/// DAPO (arXiv 2503.14476), equation 13. Error{range} for negative numbers.
POWERHOUSE_API RewardFunction soft_overlong_punishment_reward(std::int64_t max_completion_len,
                                                              std::int64_t soft_punish_cache);

/// max_penalty times the share of n-grams of a completion's tokens that stand there again (2502.03373, C.2); 0 for
/// completions of fewer tokens. Error{range} for ngram_size below 1 and max_penalty above 0.
POWERHOUSE_API RewardFunction repetition_penalty_reward(std::int64_t ngram_size = 3, double max_penalty = -1);

}  // namespace powerhouse
