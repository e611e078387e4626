// A teacher with another tokenizer: it reads the same rows as its own tokenizer cuts them, and is compared with the
// student where both cut the trained text at the same byte (TRL's GOLD, extended ULD with the "bayesian" merge).
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <map>
#include <unordered_map>

#include "model/model_fingerprint.h"
#include "ops/linear_cross_entropy.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "training/data/dataset_view.h"
#include "training/span_alignment.h"
#include "training/teacher_source.h"
#include "training/teacher_store.h"

namespace powerhouse {
namespace {

// TRL's smallest probability of a token inside a span.
constexpr double kLeastProbability = 1e-8;

// Rows of one side, numbered among the targets of its batch: the last of each span, and those before with their span.
struct SpanRows {
  std::vector<std::int64_t> last{}, before{}, span_of{};

  void add(const std::vector<std::int64_t>& targets, std::int64_t first) {
    const auto span = static_cast<std::int64_t>(last.size());
    for (std::size_t i = 0; i + 1 < targets.size(); ++i) {
      before.push_back(first + targets[i]);
      span_of.push_back(span);
    }
    last.push_back(first + targets.back());
  }
};

at::Tensor log_probs_at(const CausalLM& model, const TargetRows& rows, const std::vector<std::int64_t>& places,
                        double temperature) {
  const at::Tensor hidden = rows.at(places);
  const at::Tensor targets = index_tensor(rows.ids).index_select(0, index_tensor(places)).to(hidden.device());
  if (rows.head && (temperature == 1 || !rows.head->softcap)) {
    ops::VocabularyHead head = *rows.head;
    head.logit_scale = static_cast<float>(head.logit_scale / temperature);
    return ops::linear_log_probs(hidden, head, targets).log_probs;
  }
  const at::Tensor logits = model.impl().model->decoder.logits(hidden, rows.arithmetic);
  return logits.div(temperature).log_softmax(-1).gather(-1, targets.unsqueeze(1)).squeeze(1);
}

// The probability of each span's tokens but its last one, [spans]; undefined where all spans are single tokens.
at::Tensor factors_of(const CausalLM& model, const TargetRows& rows, const SpanRows& spans, double temperature) {
  if (spans.before.empty()) return {};
  const at::Tensor logs = log_probs_at(model, rows, spans.before, temperature).clamp_min(std::log(kLeastProbability));
  return logs.new_zeros({static_cast<std::int64_t>(spans.last.size())})
      .index_add(0, index_tensor(spans.span_of, logs.device()), logs)
      .exp();
}

class OtherVocabularyTeacher final : public TeacherSource {
 public:
  OtherVocabularyTeacher(const CausalLM& teacher, const Dataset& student_data, Dataset teacher_data)
      : teacher_(teacher),
        teacher_data_(std::move(teacher_data)),
        student_tokenizer_(student_data.impl().corpus->tokenizer()),
        teacher_tokenizer_(teacher_data_.impl().corpus->tokenizer()) {
    for (std::int64_t row = 0; row < teacher_data_.size(); ++row) {
      const RowPlace place = teacher_data_.place(row);
      rows_by_place_.emplace(std::pair(place.file, place.line), row);
    }
  }

  std::string fingerprint() const override {
    return model_fingerprint(*teacher_.impl().model) + " " + teacher_data_.fingerprint();
  }
  std::string description() const override {
    return teacher_.config().architecture + ", another vocabulary; " + std::to_string(compared_) + " of " +
           std::to_string(rows_) + " rows are compared";
  }

  void prepare(const Dataset& data) override {
    const auto side = datasets_.size();
    datasets_.push_back(data);
    std::int64_t found = 0, spans = 0;
    for (std::int64_t row = 0; row < data.size(); ++row) {
      const RowPlace place = data.place(row);
      const auto same = rows_by_place_.find(std::pair(place.file, place.line));
      if (same == rows_by_place_.end()) continue;
      const Alignment alignment = aligned(data, row, same->second);
      if (!alignment.same_text) {
        throw Error(ErrorKind::usage, "what is trained of a row is another text for teacher and student",
                    {.file = place.file, .field = "teacher", .found = "line " + std::to_string(place.line)});
      }
      spans += std::ssize(alignment.spans);
      entries_.emplace(hash(data.example(row)), Entry{side, row, same->second, std::ssize(alignment.spans)});
      ++found;
    }
    rows_ += data.size();
    compared_ += found;
    if (spans == 0) {
      throw Error(ErrorKind::usage, "no row of the teacher's data has a span in common with the student's",
                  {.field = "teacher"});
    }
    if (found < data.size()) {
      log(LogLevel::warning, std::to_string(data.size() - found) +
                                 " rows are not in the teacher's data: cross entropy "
                                 "alone");
    }
  }

  std::int64_t comparisons(const TokenBatch& batch) override {
    std::int64_t spans = 0;
    for (std::int64_t document = 0; document < batch.documents(); ++document) {
      if (const Entry* entry = find(batch, document)) spans += entry->spans;
    }
    return spans;
  }

  at::Tensor loss(const StudentPass& student) override {
    at::Tensor loss = cross_entropy(student);
    TokenBatch batch;
    SpanRows ours, theirs;
    std::int64_t our_targets = 0, their_targets = 0;
    for (std::int64_t document = 0; document < student.batch.documents(); ++document) {
      const std::int64_t first = our_targets;
      our_targets += target_count(student.batch, document);
      const Entry* entry = find(student.batch, document);
      if (entry == nullptr) continue;
      const Alignment alignment = aligned(datasets_[entry->side], entry->row, entry->teacher);
      if (alignment.spans.empty()) continue;
      for (const Span& span : alignment.spans) {
        ours.add(span.student, first);
        theirs.add(span.teacher, their_targets);
      }
      const TrainingExample example = teacher_data_.example(entry->teacher);
      batch.add(example.input_ids, example.labels);
      their_targets = batch.target_count();
    }
    return ours.last.empty() ? loss : loss.add(divergence(student, ours, batch, theirs));
  }

 private:
  struct Entry {
    std::size_t side;  // of datasets_
    std::int64_t row, teacher, spans;
  };

  static std::int64_t hash(const TrainingExample& example) {
    TokenBatch batch;
    batch.add(example.input_ids, example.labels);
    return document_hash(batch, 0);
  }
  const Entry* find(const TokenBatch& batch, std::int64_t document) const {
    const auto found = entries_.find(document_hash(batch, document));
    return found == entries_.end() ? nullptr : &found->second;
  }
  Alignment aligned(const Dataset& data, std::int64_t row, std::int64_t teacher_row) const {
    return align(trained_text(student_tokenizer_, data.example(row)),
                 trained_text(teacher_tokenizer_, teacher_data_.example(teacher_row)));
  }

  static at::Tensor cross_entropy(const StudentPass& student) {
    const TargetRows& rows = student.rows;
    if (student.weights.cross_entropy == 0) return rows.hidden.sum().mul(0).to(at::kFloat);
    const at::Tensor targets = index_tensor(rows.ids, rows.hidden.device());
    at::Tensor sum;
    if (rows.head) {
      const at::Tensor ones = empty_tensor({targets.size(0)}, at::kFloat).fill_(1);
      sum = ops::linear_cross_entropy(rows.hidden, *rows.head, targets, ones).loss;
    } else {
      const at::Tensor logits = student.model.impl().model->decoder.logits(rows.hidden, rows.arithmetic);
      sum = logits.log_softmax(-1).gather(-1, targets.unsqueeze(1)).sum().neg();
    }
    student.sums.cross_entropy += sum.item<double>();
    return sum.mul(student.weights.cross_entropy);
  }

  at::Tensor divergence(const StudentPass& student, const SpanRows& ours, const TokenBatch& batch,
                        const SpanRows& theirs) const {
    const double temperature = student.options.temperature;
    const TeacherLogits teacher(teacher_, batch);
    at::Tensor teacher_factors;
    {
      const c10::AutoGradMode no_gradients(false);
      teacher_factors = factors_of(teacher_, teacher.rows(), theirs, temperature);
    }
    const at::Tensor teacher_hidden = teacher.rows().at(theirs.last);
    const at::Tensor factors = factors_of(student.model, student.rows, ours, temperature);
    const DistillationRows losses(student.options, student.weights, student.sums);
    return student_loss(
        student.model, student.rows, student.rows.at(ours.last),
        [&](std::int64_t first, const at::Tensor& logits, bool gradient) {
          const auto part = [&](const at::Tensor& x) { return x.defined() ? x.narrow(0, first, logits.size(0)) : x; };
          return losses.universal(logits, part(factors), teacher.logits(part(teacher_hidden)), part(teacher_factors),
                                  gradient);
        },
        factors);
  }

  const CausalLM& teacher_;
  Dataset teacher_data_;
  Tokenizer student_tokenizer_, teacher_tokenizer_;
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> rows_by_place_{};
  std::vector<Dataset> datasets_{};
  std::unordered_map<std::int64_t, Entry> entries_{};  // by the hash of the student's document
  std::int64_t rows_ = 0, compared_ = 0;
};

}  // namespace

std::unique_ptr<TeacherSource> other_vocabulary_teacher(const CausalLM& student, const Dataset& student_data,
                                                        const CausalLM& teacher, const Dataset& teacher_data) {
  check_apart(student, teacher);
  return std::make_unique<OtherVocabularyTeacher>(teacher, student_data, teacher_data);
}

}  // namespace powerhouse
