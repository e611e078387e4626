#include "evaluation/row_divergence.h"

#include <algorithm>
#include <cmath>

namespace powerhouse {

RowDivergence row_divergence(const float* reference, const float* logits, std::int64_t count, std::int64_t target) {
  const float* const top_reference = std::max_element(reference, reference + count);
  const float* const top = std::max_element(logits, logits + count);
  const double high_reference = *top_reference, high = *top;
  double sum_reference = 0, sum = 0, weighted = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = double{reference[i]} - high_reference, y = double{logits[i]} - high;
    const double e = std::exp(x);
    sum_reference += e;
    sum += std::exp(y);
    weighted += e * (x - y);
  }
  const double log_reference = std::log(sum_reference), log_sum = std::log(sum);
  return {.divergence = std::max(0.0, weighted / sum_reference - log_reference + log_sum),
          .reference_nll = log_reference + high_reference - double{reference[target]},
          .nll = log_sum + high - double{logits[target]},
          .same_top = top_reference - reference == top - logits};
}

}  // namespace powerhouse
