#include "calibration/divergence_sums.h"

#include <algorithm>

namespace powerhouse {
namespace {

constexpr std::int64_t kLogitRowsAtOnce = 64;  // of logits in float64

}  // namespace

void DivergenceSums::add(const at::Tensor& reference, const at::Tensor& logits) {
  for (std::int64_t row = 0; row < reference.size(0); row += kLogitRowsAtOnce) {
    const std::int64_t rows = std::min(kLogitRowsAtOnce, reference.size(0) - row);
    const at::Tensor p = reference.narrow(0, row, rows).to(at::kDouble).log_softmax(-1);
    const at::Tensor q = logits.narrow(0, row, rows).to(at::kDouble).log_softmax(-1);
    divergence += p.exp().mul(p.sub(q)).sum().item<double>();
    same += p.argmax(-1).eq(q.argmax(-1)).sum().item<std::int64_t>();
    tokens += rows;
  }
}

}  // namespace powerhouse
