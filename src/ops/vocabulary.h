// Passes over a row of logits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/kernels.h"

namespace powerhouse::ops {

/// The first place of the largest value; of the first NaN where there is one. The row is not empty.
std::int64_t argmax(std::span<const float> row);

/// The largest value; NaN with any NaN.
float maximum(std::span<const float> row);

/// Of what is not -infinity: how many, and the sums of value - shift and its square.
cpu::Moments moments(std::span<const float> row, float shift = 0.0f);

/// The sums of exp(value - pivot) and of it times value - pivot; pivot is the largest value, and finite.
cpu::ExpMoments exp_moments(std::span<const float> row, float pivot);

/// Calls visit(place) for each value of at least `bound`, which is not -infinity, from the first to the last.
template <typename Visit>
void for_each_at_least(std::span<const float> row, float bound, Visit visit) {
  constexpr std::size_t kStretch = 1024;
  std::int32_t places[kStretch];
  for (std::size_t first = 0; first < row.size(); first += kStretch) {
    const auto count = static_cast<std::int64_t>(std::min(kStretch, row.size() - first));
    const std::int64_t found = cpu::kernels().places_at_least_f32(row.data() + first, count, bound, places);
    for (std::int64_t i = 0; i < found; ++i) visit(first + static_cast<std::size_t>(places[i]));
  }
}

/// log(sum(exp(row))).
float log_sum_exp(std::span<const float> row);

/// exp(row) over its sum, into `probabilities` of the same size. NaN where no value is finite.
void softmax(std::span<const float> row, std::span<float> probabilities);

}  // namespace powerhouse::ops
