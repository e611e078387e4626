#include "calibration/group_grid.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/float16.h"

namespace powerhouse {
namespace {

constexpr int kMseTrials = 80;  // of a hundredth of the range each
constexpr float kMseNorm = 2.4f;
constexpr int kWeightedTrials = 17;
constexpr float kWeightedStep = 0.05f;

// To nearest even, where compilers know no instruction for it; |x| is far below 2^22 behind the clamp.
float to_nearest(float x) {
  constexpr float kShift = 12582912.0f;
  return (x + kShift) - kShift;
}

struct Grid {
  float scale;
  float zero;
};

Grid grid_of(const GridRule& rule, float low, float high) {
  const auto largest = static_cast<float>(rule.largest());
  Grid grid{(high - low) / largest, 0.0f};
  const auto rounded_scale = [&] {
    if (!rule.round_scales) return;
    grid.scale = to_float(rounded<float16>(grid.scale));
    if (grid.scale == 0.0f) grid.scale = 0x1.0p-24f;  // the smallest there is: codes of such weights are the zero's
  };
  rounded_scale();
  if (rule.symmetric) {
    grid.zero = (largest + 1) / 2;
    return grid;
  }
  grid.zero = std::clamp(std::nearbyint(-low / grid.scale), 0.0f, largest);
  if (grid.zero < static_cast<float>(rule.least_zero)) {
    grid.zero = static_cast<float>(rule.least_zero);
    grid.scale = high / (largest - grid.zero);
    rounded_scale();
  }
  return grid;
}

void quantize(float largest, const float* weights, std::int64_t count, const float* scales, const float* zeros,
              float* codes, float* values) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float steps = std::min(std::max(weights[i] / scales[i], -65536.0f), 65536.0f);
    const float code = std::min(std::max(to_nearest(steps) + zeros[i], 0.0f), largest);
    codes[i] = code;
    values[i] = scales[i] * (code - zeros[i]);
  }
}

// RowRanges of `count` rows, and the least error that each was found to have.
struct RowRanges {
  std::vector<float> low, high, least;
};

RowRanges whole_ranges(const GridRule& rule, const float* weights, std::int64_t columns, std::int64_t stride,
                       std::int64_t count) {
  const auto size = static_cast<std::size_t>(count);
  RowRanges out{
      .low = std::vector<float>(size), .high = std::vector<float>(size), .least = std::vector<float>(size, INFINITY)};
  for (std::int64_t c = 0; c < columns; ++c) {
    const float* const column = weights + c * stride;
    for (std::size_t r = 0; r < size; ++r) {
      out.low[r] = std::min(out.low[r], column[r]);
      out.high[r] = std::max(out.high[r], column[r]);
    }
  }
  for (std::size_t r = 0; r < size; ++r) {
    if (rule.symmetric) {
      out.high[r] = std::max(-out.low[r], out.high[r]);
      out.low[r] = -out.high[r];
    }
    if (out.low[r] == 0.0f && out.high[r] == 0.0f) {
      out.low[r] = -1.0f;
      out.high[r] = 1.0f;
    }
  }
  return out;
}

struct ToPower {
  float operator()(float error) const { return std::pow(std::abs(error), kMseNorm); }
};
struct Squared {
  float operator()(float error) const { return error * error; }
};

// Grids of a share of the ranges, where their errors are the least so far.
template <typename Measure>
void try_share(const GridRule& rule, float share, const float* weights, std::int64_t columns, std::int64_t stride,
               const float* costs, Measure measure, RowRanges& ranges, float* scales, float* zeros) {
  const auto count = static_cast<std::int64_t>(ranges.least.size());
  std::vector<float> trial_scales(ranges.least.size()), trial_zeros(trial_scales), sums(trial_scales);
  for (std::size_t r = 0; r < sums.size(); ++r) {
    const Grid grid = grid_of(rule, share * ranges.low[r], share * ranges.high[r]);
    trial_scales[r] = grid.scale;
    trial_zeros[r] = grid.zero;
  }
  std::vector<float> codes(sums), values(sums);
  for (std::int64_t c = 0; c < columns; ++c) {
    const float* const column = weights + c * stride;
    const float cost = costs == nullptr ? 1.0f : costs[c];
    quantize(static_cast<float>(rule.largest()), column, count, trial_scales.data(), trial_zeros.data(), codes.data(),
             values.data());
    for (std::size_t r = 0; r < sums.size(); ++r) sums[r] += cost * measure(values[r] - column[r]);
  }
  for (std::size_t r = 0; r < sums.size(); ++r) {
    if (!(sums[r] < ranges.least[r])) continue;
    ranges.least[r] = sums[r];
    scales[r] = trial_scales[r];
    zeros[r] = trial_zeros[r];
  }
}

}  // namespace

void find_grids(const GridRule& rule, const float* weights, std::int64_t columns, std::int64_t stride,
                std::int64_t count, const float* costs, float* scales, float* zeros) {
  RowRanges ranges = whole_ranges(rule, weights, columns, stride, count);
  for (std::size_t r = 0; r < ranges.least.size(); ++r) {  // what stays where no trial has a finite error
    const Grid grid = grid_of(rule, ranges.low[r], ranges.high[r]);
    scales[r] = grid.scale;
    zeros[r] = grid.zero;
  }
  if (rule.search == GridSearch::mse) {
    for (int trial = 0; trial < kMseTrials; ++trial) {
      const float share = 1.0f - static_cast<float>(trial) / 100.0f;
      try_share(rule, share, weights, columns, stride, nullptr, ToPower{}, ranges, scales, zeros);
    }
  } else if (rule.search == GridSearch::weighted) {
    for (int trial = 0; trial < kWeightedTrials; ++trial) {
      const float share = 1.0f - static_cast<float>(trial) * kWeightedStep;
      try_share(rule, share, weights, columns, stride, costs, Squared{}, ranges, scales, zeros);
    }
  }
}

void round_to_grids(int largest, const float* weights, const float* scales, const float* zeros, std::int64_t count,
                    float* codes, float* values) {
  quantize(static_cast<float>(largest), weights, count, scales, zeros, codes, values);
}

}  // namespace powerhouse
