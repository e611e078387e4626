// A teacher of the student's vocabulary: it reads the same batch, and the two heads go through the same chunks of rows.
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "model/model_fingerprint.h"
#include "ops/dequantize.h"
#include "ops/head_pass.h"
#include "ops/tensors.h"
#include "powerhouse/adapter.h"
#include "powerhouse/error.h"
#include "training/teacher_source.h"

namespace powerhouse {
namespace {

class LiveTeacher final : public TeacherSource {
 public:
  explicit LiveTeacher(const CausalLM& teacher) : teacher_(teacher) {}

  std::string fingerprint() const override {
    std::string adapters;
    for (const std::string& name : adapter_names(teacher_)) adapters += " " + name;
    return model_fingerprint(*teacher_.impl().model) + adapters;
  }
  std::string description() const override { return teacher_.config().architecture; }

  at::Tensor loss(const StudentPass& student) override {
    const TeacherLogits teacher(teacher_, student.batch);
    const at::Tensor targets = index_tensor(student.rows.ids, student.rows.hidden.device());
    const DistillationRows losses(student.options, student.weights, student.sums);
    at::Tensor loss =
        student_loss(student.model, student.rows, student.rows.hidden,
                     [&](std::int64_t first, const at::Tensor& logits, bool gradient) {
                       const std::int64_t count = logits.size(0);
                       return losses.dense(logits, teacher.logits(teacher.rows().hidden.narrow(0, first, count)),
                                           targets.narrow(0, first, count), gradient);
                     });
    if (student.weights.hidden > 0) loss = loss.add(hidden_loss(student, teacher.rows().hidden));
    return loss;
  }

 private:
  // hidden_state_loss, times the rows; a loss that is no number is the loop's to see.
  static at::Tensor hidden_loss(const StudentPass& student, const at::Tensor& teacher) {
    at::Tensor hidden = student.rows.hidden.to(at::kFloat);
    if (student.projection.defined()) hidden = hidden.matmul(student.projection.t());
    const at::Tensor sum = hidden.sub(teacher.to(at::kFloat)).square().mean(1).sum();
    student.sums.hidden += sum.item<double>();
    return sum.mul(student.weights.hidden);
  }

  const CausalLM& teacher_;
};

bool any_requires_grad(const CausalLM& model) {
  for (const ParameterSpec& spec : model.impl().model->weights.specs()) {
    if (model.impl().model->weights.weight(spec).requires_grad()) return true;
  }
  return false;
}

}  // namespace

void check_apart(const CausalLM& student, const CausalLM& teacher) {
  const bool one = &student == &teacher || &student.impl() == &teacher.impl();
  if (one || (student.impl().model == teacher.impl().model && any_requires_grad(student))) {
    throw Error(ErrorKind::usage, "teacher and student are one model: the teacher would move with every step",
                {.field = "teacher"});
  }
}

std::unique_ptr<TeacherSource> live_teacher(const CausalLM& student, const CausalLM& teacher) {
  check_apart(student, teacher);
  if (teacher.config().vocab_size != student.config().vocab_size) {
    throw Error(ErrorKind::usage,
                "teacher and student have different vocabularies: Teacher::data compares them over bytes",
                {.field = "teacher",
                 .expected = std::to_string(student.config().vocab_size),
                 .found = std::to_string(teacher.config().vocab_size)});
  }
  return std::make_unique<LiveTeacher>(teacher);
}

at::Tensor student_loss(const CausalLM& student, const TargetRows& rows, const at::Tensor& hidden,
                        const ops::ChunkLossFunction& loss, const at::Tensor& factors) {
  if (rows.head) return ops::head_loss(hidden, *rows.head, loss, factors);
  return ops::logits_loss(student.impl().model->decoder.logits(hidden, rows.arithmetic), loss, factors);
}

TeacherLogits::TeacherLogits(const CausalLM& teacher, const TokenBatch& batch) : teacher_(teacher) {
  const c10::AutoGradMode no_gradients(false);
  rows_ = target_rows(teacher, batch, {});
  if (!rows_.head || rows_.head->matrix.defined()) return;
  rows_.head->matrix = dequantized(rows_.head->blocks, rows_.hidden.scalar_type());  // once for all chunks
  rows_.head->blocks = Weight();
}

at::Tensor TeacherLogits::logits(const at::Tensor& hidden) const {
  const c10::AutoGradMode no_gradients(false);
  if (!rows_.head) return teacher_.impl().model->decoder.logits(hidden, rows_.arithmetic);
  ops::HeadGradients none;
  at::Tensor out;
  const std::int64_t bytes = hidden.size(0) * teacher_.config().vocab_size * 8;
  ops::visit_head_chunks(hidden, *rows_.head, bytes, none,
                         [&](std::int64_t, at::Tensor& logits) { out = logits.contiguous(); });
  return out;
}

}  // namespace powerhouse
