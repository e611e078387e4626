// Two rows of logits held against each other, in float64: differences of models that are nearly the same would drown in
// float32's rounding.
#pragma once

#include <cstdint>

namespace powerhouse {

struct RowDivergence {
  double divergence = 0;              // sum of p log(p / q), p the reference's; never negative
  double reference_nll = 0, nll = 0;  // of the target
  bool same_top = false;              // of equal ones the first counts
};

RowDivergence row_divergence(const float* reference, const float* logits, std::int64_t count, std::int64_t target);

}  // namespace powerhouse
