#include "calibration/group_grid.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/float16.h"

namespace powerhouse {
namespace {

constexpr int kTrials = 80;  // of a hundredth of the range each
constexpr float kNorm = 2.4f;

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

float error_of(const GridRule& rule, const Grid& grid, const float* weights, std::int64_t columns,
               std::int64_t stride) {
  const auto largest = static_cast<float>(rule.largest());
  float sum = 0.0f;
  for (std::int64_t c = 0; c < columns; ++c) {
    float code, value;
    quantize(largest, weights + c * stride, 1, &grid.scale, &grid.zero, &code, &value);
    sum += std::pow(std::abs(value - weights[c * stride]), kNorm);
  }
  return sum;
}

}  // namespace

void find_grids(const GridRule& rule, const float* weights, std::int64_t columns, std::int64_t stride,
                std::int64_t count, float* scales, float* zeros) {
  std::vector<float> lows(static_cast<std::size_t>(count)), highs(lows);
  for (std::int64_t c = 0; c < columns; ++c) {
    const float* const column = weights + c * stride;
    for (std::int64_t r = 0; r < count; ++r) {
      const auto at = static_cast<std::size_t>(r);
      lows[at] = std::min(lows[at], column[r]);
      highs[at] = std::max(highs[at], column[r]);
    }
  }
  for (std::int64_t r = 0; r < count; ++r) {
    float low = lows[static_cast<std::size_t>(r)];
    float high = highs[static_cast<std::size_t>(r)];
    if (rule.symmetric) {
      high = std::max(-low, high);
      low = -high;
    }
    if (low == 0.0f && high == 0.0f) {
      low = -1.0f;
      high = 1.0f;
    }
    Grid best = grid_of(rule, low, high);
    if (rule.search) {
      float least = INFINITY;
      for (int trial = 0; trial < kTrials; ++trial) {
        const float share = 1.0f - static_cast<float>(trial) / 100.0f;
        const Grid grid = grid_of(rule, share * low, share * high);
        const float error = error_of(rule, grid, weights + r, columns, stride);
        if (error < least) {
          least = error;
          best = grid;
        }
      }
    }
    scales[r] = best.scale;
    zeros[r] = best.zero;
  }
}

void round_to_grids(int largest, const float* weights, const float* scales, const float* zeros, std::int64_t count,
                    float* codes, float* values) {
  quantize(static_cast<float>(largest), weights, count, scales, zeros, codes, values);
}

}  // namespace powerhouse
