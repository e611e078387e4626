// Passes over a row of logits.
#pragma once

#include <cstdint>
#include <span>

namespace powerhouse::ops {

/// The first place of the largest value; of the first NaN where there is one. The row is not empty.
std::int64_t argmax(std::span<const float> row);

/// log(sum(exp(row))).
float log_sum_exp(std::span<const float> row);

/// exp(row) over its sum, into `probabilities` of the same size. NaN where no value is finite.
void softmax(std::span<const float> row, std::span<float> probabilities);

}  // namespace powerhouse::ops
