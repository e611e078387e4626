#include "kernels/cuda/flash_forward_case.h"

#include <cmath>
#include <sstream>

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;

cuda_on_host::LaunchReport FlashProblem::run(const cuda_on_host::LaunchOptions& options, Run kernel) {
  memory_ = std::make_unique<GlobalMemory>();
  inputs_.add_inputs(*memory_);
  memory_->add(inputs_.out.data(), inputs_.out.bytes(), "out", Contents::output);
  memory_->add(inputs_.lse.data(), inputs_.lse.bytes(), "lse", Contents::output);
  return kernel(inputs_.params(), *memory_, options);
}

/// A weight w becomes w (1 + d), |d| <= u: half a unit in the last place is 2^-8 of the number in bf16 (8 significant
/// bits), 2^-11 in f16. With values of at most 1 that is u times the sum of the weights, S. The output is rounded once
/// more, by u times itself: to first order |found - wanted| <= u S + u |wanted|, the second at most the first. Without
/// dropout each row is held to u S alone: the roundings of many weights even out, which leaves room for the output's.
/// Of the few weights that dropout leaves, a single one can be off by all of u, and both terms count.
///
/// Weights of f16 below 2^-14 are coarser, and scores are sums in float32.
std::string FlashProblem::wrong_row(int document, int head, int query) const {
  const FlashCase& one = inputs_.one;
  const auto part = static_cast<std::size_t>(document);
  const FlashWeights row = inputs_.weights(document, head, query);
  const double lse = inputs_.lse[inputs_.lse_index(document, head, query)];
  const bool same = std::isinf(row.lse) ? lse == row.lse : std::abs(lse - row.lse) <= 4e-6 * (1 + row.largest);
  std::ostringstream out;
  if (!same) {
    out << "lse of document " << document << " head " << head << " query " << query << ": " << lse << ", expected "
        << row.lse;
    return out.str();
  }
  const double rounding = one.type == Element::bf16 ? 0x1p-8 : 0x1p-11;
  double spread = 0;  // values are at most 1
  for (std::size_t i = 0; i < row.weight.size(); ++i) spread += row.weight[i] * row.kept[i];
  const double bound = rounding * spread + (one.type == Element::f16 ? 2e-5 : 0) + 4e-6 * row.largest;
  for (int d = 0; d < one.head_dim; ++d) {
    double wanted = 0;
    for (std::size_t i = 0; i < row.weight.size() && !std::isinf(row.lse); ++i) {
      const std::int64_t key = inputs_.k_starts[part] + row.begin + static_cast<std::int64_t>(i);
      wanted += row.weight[i] * row.kept[i] * inputs_.v.at(key, inputs_.kv_head(head), d);
    }
    const double found = inputs_.out.at(inputs_.q_starts[part] + query, head, d);
    const double own = one.dropout > 0 ? rounding * std::abs(wanted) : 0;
    if (std::abs(found - wanted) <= (std::isinf(row.lse) ? 0 : bound + own)) continue;
    out << "out of document " << document << " head " << head << " query " << query << " at " << d << ": " << found
        << ", expected " << wanted << " within " << bound + own;
    return out.str();
  }
  return {};
}

int FlashProblem::wrong_masks() const {
  int wrong = 0;
  for (int head = 0; head < inputs_.one.heads; ++head) {
    for (int query = 0; query < inputs_.queries(0); ++query) {
      const FlashWeights row = inputs_.weights(0, head, query);
      for (std::size_t i = 0; i < row.kept.size(); ++i) {
        wrong += (inputs_.out.at(query, head, row.begin + static_cast<int>(i)) == 0) != (row.kept[i] == 0);
      }
    }
  }
  return wrong;
}

std::string FlashProblem::wrong() const {
  for (int document = 0; document < static_cast<int>(inputs_.one.queries.size()); ++document) {
    for (int head = 0; head < inputs_.one.heads; ++head) {
      for (int query = 0; query < inputs_.queries(document); ++query) {
        const std::string said = wrong_row(document, head, query);
        if (!said.empty()) return said;
      }
    }
  }
  const bool none = inputs_.q_starts.back() == 0;
  if (memory_->named("lse").shadow.unwritten() != (none ? inputs_.lse.bytes() : 0)) return "lse has holes";
  if (memory_->named("out").shadow.unwritten() != (none ? inputs_.out.bytes() : inputs_.out.gap_bytes())) {
    return "out has holes, or its gaps were written";
  }
  return {};
}

}  // namespace powerhouse::testing
