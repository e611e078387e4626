// A teacher known by its k most likely tokens: they are k outcomes, and all other tokens together are one more.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <limits>

#include "training/losses/common.h"
#include "training/losses/divergence.h"

namespace powerhouse {

using at::Tensor;

namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();
// exp of it is 0, and a product with 0 stays 0.
constexpr double kAsGoodAsNothing = -1e4;

Tensor log_rest(const Tensor& log_probs, const Tensor& ids) {
  return log_probs.scatter(-1, ids, kNothing).logsumexp({-1});
}

}  // namespace

namespace losses {

Tensor merge_others(const Tensor& log_probs, const Tensor& ids) {
  const Tensor places = ids.to(at::kLong);
  Tensor kept = log_probs.gather(-1, places);
  if (ids.size(1) == log_probs.size(1)) return kept;
  Tensor out = kept.new_empty({kept.size(0), kept.size(1) + 1});
  out.narrow(1, 0, kept.size(1)).copy_(kept);
  out.select(1, kept.size(1)).copy_(log_rest(log_probs, places));
  return out;
}

Tensor merged(const TopTokens& teacher, std::int64_t vocabulary, at::ScalarType type) {
  Tensor kept = teacher.log_probs.detach().to(type);
  const std::int64_t k = kept.size(1);
  if (k == vocabulary) return kept;
  Tensor out = kept.new_empty({kept.size(0), k + 1});
  out.narrow(1, 0, k).copy_(kept);
  out.select(1, k).copy_(teacher.rest.detach().clamp_min(kAsGoodAsNothing));
  return out;
}

}  // namespace losses

TopTokens top_tokens(const Tensor& logits, std::int64_t k, double temperature) {
  losses::check_matrix(logits, "logits", "[rows, vocabulary]");
  losses::check_range(k >= 1 && k <= logits.size(1), "k", "1 to the vocabulary", static_cast<double>(k));
  losses::check_range(temperature > 0, "temperature", "above 0", temperature);
  const Tensor log_probs = losses::wide(logits.detach()).div(temperature).log_softmax(-1);
  const auto [values, ids] = log_probs.topk(k, -1, true, true);
  const Tensor rest = k < logits.size(1) ? log_rest(log_probs, ids) : log_probs.new_full({log_probs.size(0)}, kNothing);
  return {ids.to(at::kInt), values, rest};
}

LossResult top_token_distillation_loss(const Tensor& student_logits, const TopTokens& teacher,
                                       const DistillOptions& options, std::int64_t num_items_in_batch) {
  check(options);
  losses::check_matrix(student_logits, "student_logits", "[rows, vocabulary]");
  losses::check_matrix(teacher.log_probs, "teacher.log_probs", "[rows, k]");
  losses::check_vector(teacher.rest, student_logits.size(0), "teacher.rest");
  if (!teacher.ids.defined() || teacher.ids.sizes() != teacher.log_probs.sizes()) {
    throw Error(ErrorKind::usage, "an id for each log-probability", {.field = "teacher.ids"});
  }
  const std::int64_t rows = student_logits.size(0), vocabulary = student_logits.size(1);
  if (teacher.ids.size(0) != rows) losses::refuse_shapes("rows", rows, teacher.ids.size(0));
  if (teacher.ids.size(1) > vocabulary) losses::refuse_shapes("vocabulary", vocabulary, teacher.ids.size(1));
  const bool inside = teacher.ids.numel() == 0 || (teacher.ids.min().item<std::int64_t>() >= 0 &&
                                                   teacher.ids.max().item<std::int64_t>() < vocabulary);
  if (!inside) throw Error(ErrorKind::range, "a token outside the student's vocabulary", {.field = "teacher.ids"});
  const Tensor log_q = losses::wide(student_logits).div(options.temperature).log_softmax(-1);
  Tensor total = losses::generalized_jsd(losses::merged(teacher, vocabulary, log_q.scalar_type()),
                                         losses::merge_others(log_q, teacher.ids), options.beta)
                     .sum();
  if (options.scale_by_temperature_squared) total = total.mul(options.temperature * options.temperature);
  Metrics metrics;
  const Tensor detached = log_q.detach();
  losses::add_metric(metrics, "entropy", detached.exp().mul(detached).sum(-1).neg());
  const auto items = static_cast<double>(std::max<std::int64_t>(1, num_items_in_batch > 0 ? num_items_in_batch : rows));
  return losses::finish(total.div(items), std::move(metrics), "top_token_distillation_loss");
}

}  // namespace powerhouse
