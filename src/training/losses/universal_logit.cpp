// Universal Logit Distillation (arXiv 2402.12030): which token has a probability does not matter, only how large the
// probabilities are, in falling order.
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "training/losses/common.h"
#include "training/losses/divergence.h"

namespace powerhouse {

using at::Tensor;

namespace {

Tensor falling(const Tensor& logits, const Tensor& factors, double temperature) {
  const Tensor sorted = std::get<0>(logits.div(temperature).softmax(-1).sort(-1, true));
  return factors.defined() ? sorted.mul(factors.to(sorted.scalar_type()).unsqueeze(1)) : sorted;
}

}  // namespace

Tensor losses::universal_logit_rows(const Tensor& student, const Tensor& student_factors, const Tensor& teacher,
                                    const Tensor& teacher_factors, double temperature) {
  const Tensor a = falling(student, student_factors, temperature);
  const Tensor b = falling(teacher, teacher_factors, temperature);
  const std::int64_t both = std::min(a.size(1), b.size(1));
  const Tensor& longer = a.size(1) > both ? a : b;
  return a.narrow(1, 0, both)
      .sub(b.narrow(1, 0, both))
      .abs()
      .sum(-1)
      .add(longer.narrow(1, both, longer.size(1) - both).sum(-1));
}

LossResult universal_logit_loss(const Tensor& student_logits, const Tensor& student_factors,
                                const Tensor& teacher_logits, const Tensor& teacher_factors,
                                const DistillOptions& options, std::int64_t num_items_in_batch) {
  check(options);
  losses::check_matrix(student_logits, "student_logits", "[rows, vocabulary]");
  losses::check_matrix(teacher_logits, "teacher_logits", "[rows, vocabulary]");
  const std::int64_t rows = student_logits.size(0);
  if (teacher_logits.size(0) != rows) losses::refuse_shapes("rows", rows, teacher_logits.size(0));
  if (student_factors.defined()) losses::check_vector(student_factors, rows, "student_factors");
  if (teacher_factors.defined()) losses::check_vector(teacher_factors, rows, "teacher_factors");
  const Tensor student = losses::wide(student_logits);
  const Tensor fixed = teacher_factors.defined() ? teacher_factors.detach() : teacher_factors;
  Tensor total =
      losses::universal_logit_rows(student, student_factors, teacher_logits.detach().to(student.scalar_type()), fixed,
                                   options.temperature)
          .sum();
  if (options.scale_by_temperature_squared) total = total.mul(options.temperature * options.temperature);
  const auto items = static_cast<double>(std::max<std::int64_t>(1, num_items_in_batch > 0 ? num_items_in_batch : rows));
  return losses::finish(total.div(items), {}, "universal_logit_loss");
}

}  // namespace powerhouse
