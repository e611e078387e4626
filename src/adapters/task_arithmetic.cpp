#include "adapters/task_arithmetic.h"

#include <cmath>

#include "ops/dropout.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// The largest share of the values, others zero.
at::Tensor trimmed(const at::Tensor& tensor, double density) {
  const auto kept = static_cast<std::int64_t>(density * static_cast<double>(tensor.numel()));
  const at::Tensor places = std::get<1>(tensor.abs().flatten().topk(kept));
  at::Tensor mask = tensor.new_zeros({tensor.numel()});
  return tensor.mul(mask.index_fill_(0, places, 1).view(tensor.sizes()));
}

}  // namespace

bool is_by_svd(Combination combination) {
  switch (combination) {
    case Combination::svd:
    case Combination::ties_svd:
    case Combination::dare_linear_svd:
    case Combination::dare_ties_svd:
    case Combination::magnitude_prune_svd: return true;
    default: return false;
  }
}

void check_density(const CombineOptions& options) {
  const bool none = options.combination == Combination::linear || options.combination == Combination::cat ||
                    options.combination == Combination::svd;
  if (none == options.density.has_value()) {
    throw Error(ErrorKind::usage, none ? "has no effect: this combination prunes nothing" : "missing: what is kept",
                {.field = "density", .expected = none ? "none" : "a share from 0 to 1"});
  }
  if (none) return;
  const double density = *options.density;
  const bool drops = options.combination == Combination::dare_linear || options.combination == Combination::dare_ties ||
                     options.combination == Combination::dare_linear_svd ||
                     options.combination == Combination::dare_ties_svd;
  if (density <= 1 && (drops ? density > 0 : density >= 0)) return;
  throw Error(
      ErrorKind::range, "not a share that can be kept",
      {.field = "density", .expected = drops ? "above 0, at most 1" : "0 to 1", .found = std::to_string(density)});
}

TaskArithmetic::TaskArithmetic(const CombineOptions& options)
    : density_(options.density.value_or(1)), majority_sign_(options.majority_sign), seed_(options.seed) {
  switch (options.combination) {
    case Combination::linear:
    case Combination::cat:
    case Combination::svd: break;
    case Combination::ties:
    case Combination::ties_svd: trims_ = elects_ = true; break;
    case Combination::dare_linear:
    case Combination::dare_linear_svd: drops_ = true; break;
    case Combination::dare_ties:
    case Combination::dare_ties_svd: drops_ = elects_ = true; break;
    case Combination::magnitude_prune:
    case Combination::magnitude_prune_svd: trims_ = true; break;
  }
}

at::Tensor TaskArithmetic::pruned(const at::Tensor& tensor) {
  if (density_ >= 1) return tensor;
  if (trims_) return trimmed(tensor, density_);
  if (!drops_) return tensor;
  return ops::dropped(tensor, {.rate = static_cast<float>(1 - density_), .seed = seed_, .lane = lane_++});
}

at::Tensor TaskArithmetic::combine(const std::vector<at::Tensor>& tensors, const std::vector<double>& weights) {
  std::vector<at::Tensor> kept;
  at::Tensor votes;
  for (const at::Tensor& tensor : tensors) {
    kept.push_back(pruned(tensor));
    if (!elects_) continue;
    const at::Tensor vote = majority_sign_ == MajoritySign::total ? kept.back() : kept.back().sign();
    votes = votes.defined() ? votes.add(vote) : vote;
  }
  const at::Tensor elected = elects_ ? votes.ge(0).to(votes.scalar_type()).mul(2).sub(1) : at::Tensor();
  at::Tensor sum, counts;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    at::Tensor part = kept[i].mul(weights[i]);
    if (elects_) {
      const at::Tensor agrees = kept[i].sign().eq(elected).to(part.scalar_type());
      part = part.mul(agrees);
      counts = counts.defined() ? counts.add(agrees) : agrees;
    }
    sum = sum.defined() ? sum.add(part) : part;
  }
  return elects_ ? sum.div(counts.clamp_min(1)) : sum;
}

}  // namespace powerhouse
