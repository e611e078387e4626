// A teacher that is a file: rows are found by their content, and its k tokens stand for the distribution.
#include <ATen/core/Tensor.h>

#include "ops/tensors.h"
#include "powerhouse/data_loader.h"
#include "powerhouse/error.h"
#include "training/teacher_source.h"
#include "training/teacher_store.h"

namespace powerhouse {
namespace {

class StoredTeacher final : public TeacherSource {
 public:
  explicit StoredTeacher(const TeacherStore& store) : store_(store) {}

  std::string fingerprint() const override { return store_.impl().fingerprint; }
  std::string description() const override {
    return "the " + std::to_string(store_.top_k()) + " most likely tokens, " + store_.path();
  }

  void prepare(const Dataset& data) override {
    DataLoader loader(data, {.shuffle = false});
    while (const auto batch = loader.next()) {
      if (store_.impl().missing(*batch) < 0) continue;
      const std::vector<RowPlace> places = loader.last_rows();
      throw Error(ErrorKind::usage, "the store has no such row: it was made of other data, or by another tokenizer",
                  {.file = places.empty() ? "" : places.front().file,
                   .field = "teacher",
                   .expected = "a row of " + store_.path(),
                   .found = places.empty() ? "" : "line " + std::to_string(places.front().line)});
    }
  }

  at::Tensor loss(const StudentPass& student) override {
    const at::Device device = student.rows.hidden.device();
    const TopTokens stored = store_.impl().of(student.batch);
    const TopTokens teacher{stored.ids.to(device), stored.log_probs.to(device), stored.rest.to(device)};
    const at::Tensor targets = index_tensor(student.rows.ids, device);
    const DistillationRows losses(student.options, student.weights, student.sums);
    return student_loss(student.model, student.rows, student.rows.hidden,
                        [&](std::int64_t first, const at::Tensor& logits, bool gradient) {
                          const auto part = [&](const at::Tensor& x) { return x.narrow(0, first, logits.size(0)); };
                          return losses.top_tokens(logits,
                                                   {part(teacher.ids), part(teacher.log_probs), part(teacher.rest)},
                                                   part(targets), gradient);
                        });
  }

 private:
  TeacherStore store_;
};

}  // namespace

std::unique_ptr<TeacherSource> stored_teacher(const CausalLM& student, const TeacherStore& store,
                                              const DistillOptions& options) {
  if (store.vocab_size() != student.config().vocab_size) {
    throw Error(ErrorKind::usage, "the store's teacher and the student have different vocabularies",
                {.file = store.path(),
                 .field = "teacher",
                 .expected = std::to_string(student.config().vocab_size),
                 .found = std::to_string(store.vocab_size())});
  }
  if (store.temperature() != options.temperature) {
    throw Error(ErrorKind::usage, "the store was made at another temperature",
                {.file = store.path(),
                 .field = "temperature",
                 .expected = std::to_string(store.temperature()),
                 .found = std::to_string(options.temperature)});
  }
  return std::make_unique<StoredTeacher>(store);
}

}  // namespace powerhouse
