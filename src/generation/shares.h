// Distributions over a vocabulary in float64, and draws from them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "powerhouse/model_config.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// softmax(logits). Error{numeric} where every token is forbidden.
std::vector<double> shares_of(std::span<const float> logits);

/// The token in whose share of [0, sum) `number` * sum falls; number in [0, 1).
std::int64_t draw_share(std::span<const double> shares, double number);

/// Whether a token that was drawn with the probability `drafted` stays one of a text whose tokens have `wanted`;
/// number in [0, 1).
inline bool is_accepted(double wanted, double drafted, double number) { return number * drafted < wanted; }

/// What stands in the place of a token that was drawn from `drafted` and not accepted as one of `wanted`: a draw from
/// max(wanted - drafted, 0).
std::int64_t draw_instead(std::span<const double> wanted, std::span<const double> drafted, double number);

/// Error{unsupported} naming `other` where two models do not mean the same tokens by the same ids, or the heads differ
/// in more than the rows behind all tokens that fill them up to a round number.
void require_same_vocabulary(const ModelConfig& config, const Tokenizer& tokenizer, const ModelConfig& other_config,
                             const Tokenizer& other_tokenizer, const std::string& other);

/// Logits [1, rows] of another model of the same vocabulary as [1, size]: tokens that it has no row for are forbidden.
at::Tensor fit_logits(const at::Tensor& logits, std::int64_t size);

}  // namespace powerhouse
