#include "training/distillation_rows.h"

#include <cmath>

#include "training/losses/divergence.h"

namespace powerhouse {
namespace {

using at::Tensor;

double sum_of(const Tensor& values) { return values.sum(at::kDouble).item<double>(); }

// The sum of the divergence, and its gradient by the student's logits / T. With c the factor of the student's share and
// r = log q - log m, that of sum(q r) is q (r - sum(q r)): the terms of m cancel.
struct Divergence {
  Tensor sum, gradient;
};

Divergence divergence_of(const Tensor& log_p, const Tensor& log_q, double beta, bool gradient) {
  const Tensor q = log_q.exp();
  if (beta == 0) {
    const Tensor p = log_p.exp();
    Divergence out{.sum = log_p.sub(log_q).mul_(p).sum(at::kDouble), .gradient = {}};
    if (gradient) out.gradient = q.sub(p);
    return out;
  }
  if (beta == 1) {
    Tensor ratio = log_q.sub(log_p);
    const Tensor kl = q.mul(ratio).sum(-1, true);
    return {kl.sum(at::kDouble), gradient ? ratio.sub_(kl).mul_(q) : Tensor()};
  }
  const Tensor log_m = log_p.add(std::log(beta)).logaddexp(log_q.add(std::log1p(-beta)));
  const Tensor teacher = log_p.sub(log_m).mul_(log_p.exp()).sum(at::kDouble);
  Tensor ratio = log_q.sub(log_m);
  const Tensor kl = q.mul(ratio).sum(-1, true);
  return {teacher.mul(beta).add(kl.sum(at::kDouble).mul(1 - beta)),
          gradient ? ratio.sub_(kl).mul_(q).mul_(1 - beta) : Tensor()};
}

}  // namespace

double DistillationRows::divergence_weight() const {
  const double t = options_.temperature;
  return weights_.divergence * (options_.scale_by_temperature_squared ? t * t : 1);
}

void DistillationRows::add_cross_entropy(ops::ChunkLoss& chunk, const Tensor& log_q, const Tensor& targets,
                                         bool gradient) const {
  const Tensor places = targets.unsqueeze(1);
  const Tensor loss = log_q.gather(-1, places).sum(at::kDouble).neg();
  sums_.cross_entropy += loss.item<double>();
  if (weights_.cross_entropy == 0) return;
  chunk.loss = chunk.loss.add(loss, weights_.cross_entropy);
  if (!gradient) return;
  chunk.gradient.add_(log_q.exp(), weights_.cross_entropy);
  chunk.gradient.scatter_add_(1, places, chunk.gradient.new_full(places.sizes(), -weights_.cross_entropy));
}

ops::ChunkLoss DistillationRows::dense(const Tensor& logits, const Tensor& teacher_logits, const Tensor& targets,
                                       bool gradient) const {
  const double t = options_.temperature;
  const Tensor teacher = teacher_logits.to(logits.scalar_type());
  const Tensor log_p = (t == 1 ? teacher : teacher.div(t)).log_softmax(-1);
  const Tensor log_q = (t == 1 ? logits : logits.div(t)).log_softmax(-1);
  Divergence found = divergence_of(log_p, log_q, options_.beta, gradient);
  sums_.divergence += found.sum.item<double>();
  sums_.entropy -= sum_of(log_q.exp().mul_(log_q));
  ops::ChunkLoss chunk{.loss = found.sum.mul(divergence_weight()), .gradient = found.gradient};
  if (gradient) chunk.gradient.mul_(divergence_weight() / t);
  add_cross_entropy(chunk, t == 1 ? log_q : logits.log_softmax(-1), targets, gradient);
  return chunk;
}

ops::ChunkLoss DistillationRows::top_tokens(const Tensor& logits, const TopTokens& teacher, const Tensor& targets,
                                            bool gradient) const {
  const double t = options_.temperature;
  const Tensor log_p = losses::merged(teacher, logits.size(1), logits.scalar_type());
  Tensor warm;  // the student's log-probabilities at the temperature
  ops::ChunkLoss chunk =
      ops::chunk_loss_by_autograd(logits, {}, gradient, [&](const Tensor& leaf, const Tensor& /*factors*/) {
        const Tensor log_q = leaf.div(t).log_softmax(-1);
        warm = log_q.detach();
        return losses::generalized_jsd(log_p, losses::merge_others(log_q, teacher.ids), options_.beta).sum();
      });
  chunk.loss = chunk.loss.to(at::kDouble);
  sums_.divergence += chunk.loss.item<double>();
  sums_.entropy -= sum_of(warm.exp().mul_(warm));
  chunk.loss = chunk.loss.mul(divergence_weight());
  if (gradient) chunk.gradient.mul_(divergence_weight());
  add_cross_entropy(chunk, t == 1 ? warm : logits.log_softmax(-1), targets, gradient);
  return chunk;
}

ops::ChunkLoss DistillationRows::universal(const Tensor& logits, const Tensor& factors, const Tensor& teacher_logits,
                                           const Tensor& teacher_factors, bool gradient) const {
  ops::ChunkLoss chunk =
      ops::chunk_loss_by_autograd(logits, factors, gradient, [&](const Tensor& leaf, const Tensor& scales) {
        return losses::universal_logit_rows(leaf, scales, teacher_logits.to(leaf.scalar_type()), teacher_factors,
                                            options_.temperature)
            .sum();
      });
  chunk.loss = chunk.loss.to(at::kDouble);
  sums_.divergence += chunk.loss.item<double>();
  chunk.loss = chunk.loss.mul(divergence_weight());
  if (!gradient) return chunk;
  chunk.gradient.mul_(divergence_weight());
  if (chunk.factor_gradient.defined()) chunk.factor_gradient.mul_(divergence_weight());
  return chunk;
}

}  // namespace powerhouse
