// Divergences of a student's distribution Q from a teacher's P over the vocabulary, row by row: KL(P|Q), KL(Q|P), or
// the generalized Jensen-Shannon divergence β KL(P|M) + (1-β) KL(Q|M), M = βP + (1-β)Q (GKD, arXiv 2306.13649).
#include "powerhouse/distillation_losses.h"

#include <cmath>

#include "training/losses/common.h"
#include "training/losses/divergence.h"

namespace powerhouse {
namespace {

using at::Tensor;

/// KL(a|b) of rows of log-probabilities, [rows].
Tensor divergence(const Tensor& log_a, const Tensor& log_b) { return log_a.exp().mul(log_a.sub(log_b)).sum(-1); }

}  // namespace

namespace losses {

Tensor generalized_jsd(const Tensor& teacher, const Tensor& student, double beta) {
  if (beta == 0) return divergence(teacher, student);
  if (beta == 1) return divergence(student, teacher);
  const Tensor mixture = teacher.add(std::log(beta)).logaddexp(student.add(std::log1p(-beta)));
  return divergence(teacher, mixture).mul(beta).add(divergence(student, mixture).mul(1 - beta));
}

void check_matrix(const Tensor& tensor, const std::string& field, const std::string& expected) {
  if (tensor.defined() && tensor.dim() == 2 && tensor.is_floating_point()) return;
  throw Error(ErrorKind::usage, "a tensor is missing, or of another shape or type",
              {.field = field, .expected = "floating " + expected});
}

void refuse_shapes(const std::string& field, std::int64_t expected, std::int64_t found) {
  throw Error(ErrorKind::usage, "student and teacher have different shapes",
              {.field = field, .expected = std::to_string(expected), .found = std::to_string(found)});
}

}  // namespace losses

using losses::check_matrix;
using losses::refuse_shapes;

void check(const DistillOptions& options) {
  losses::check_range(options.beta >= 0 && options.beta <= 1, "beta", "0 to 1", options.beta);
  losses::check_range(options.temperature > 0 && std::isfinite(options.temperature), "temperature", "above 0",
                      options.temperature);
}

LossResult distillation_loss(const at::Tensor& student_logits, const at::Tensor& teacher_logits,
                             const DistillOptions& options, std::int64_t num_items_in_batch) {
  check(options);
  check_matrix(student_logits, "student_logits", "[rows, vocabulary]");
  check_matrix(teacher_logits, "teacher_logits", "[rows, vocabulary]");
  for (const int dimension : {0, 1}) {
    if (student_logits.size(dimension) != teacher_logits.size(dimension)) {
      refuse_shapes(dimension == 0 ? "rows" : "vocabulary", student_logits.size(dimension),
                    teacher_logits.size(dimension));
    }
  }
  losses::check_range(num_items_in_batch >= 0, "num_items_in_batch", "at least 0",
                      static_cast<double>(num_items_in_batch));
  const Tensor student = losses::wide(student_logits).div(options.temperature);
  const Tensor log_q = student.log_softmax(-1);
  const Tensor teacher = teacher_logits.detach().to(student.scalar_type()).div(options.temperature);
  Tensor total = losses::generalized_jsd(teacher.log_softmax(-1), log_q, options.beta).sum();
  if (options.scale_by_temperature_squared) total = total.mul(options.temperature * options.temperature);
  const std::int64_t rows = student.size(0);
  Metrics metrics;
  const Tensor detached = log_q.detach();
  losses::add_metric(metrics, "entropy", detached.exp().mul(detached).sum(-1).neg());
  const auto items = static_cast<double>(std::max<std::int64_t>(1, num_items_in_batch > 0 ? num_items_in_batch : rows));
  return losses::finish(total.div(items), std::move(metrics), "distillation_loss");
}

at::Tensor hidden_state_loss(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& projection) {
  check_matrix(student, "student", "[rows, student_hidden]");
  check_matrix(teacher, "teacher", "[rows, teacher_hidden]");
  Tensor mapped = losses::wide(student);
  if (projection.defined()) {
    check_matrix(projection, "projection", "[teacher_hidden, student_hidden]");
    if (projection.size(1) != mapped.size(1)) refuse_shapes("projection", mapped.size(1), projection.size(1));
    mapped = mapped.matmul(projection.to(mapped.scalar_type()).t());
  }
  if (mapped.size(0) != teacher.size(0)) refuse_shapes("rows", mapped.size(0), teacher.size(0));
  if (mapped.size(1) != teacher.size(1)) refuse_shapes("hidden", mapped.size(1), teacher.size(1));
  if (mapped.size(0) == 0) throw Error(ErrorKind::usage, "no rows", {.field = "student"});
  const Tensor loss = mapped.sub(teacher.detach().to(mapped.scalar_type())).square().mean();
  return losses::finish(loss, {}, "hidden_state_loss").loss;
}

}  // namespace powerhouse
