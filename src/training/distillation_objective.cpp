#include "training/distillation_objective.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "model/target_rows.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/number_text.h"
#include "support/philox.h"
#include "support/refuse_usage.h"
#include "training/dataset_objective.h"
#include "training/model_state.h"
#include "training/teacher_source.h"

namespace powerhouse {
namespace {

constexpr const char* kProjectionFile = "/distillation.safetensors";
constexpr const char* kProjection = "distillation.projection.weight";

double ce_alpha(const DistillationOptions& method) { return method.ce_alpha.value_or(1 - method.alpha); }

// Uniform within 1 / sqrt(width), as torch.nn.Linear begins.
at::Tensor new_projection(std::int64_t teacher, std::int64_t student, std::uint64_t seed) {
  at::Tensor projection = empty_tensor({teacher, student}, at::kFloat);
  const Random random(seed, RandomStream::initialization);
  const double bound = 1 / std::sqrt(static_cast<double>(student));
  auto* const values = projection.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < projection.numel(); ++i) {
    values[i] = static_cast<float>((2 * random.uniform(static_cast<std::uint64_t>(i)) - 1) * bound);
  }
  return projection.set_requires_grad(true);
}

class DistillationObjective final : public DatasetObjective {
 public:
  DistillationObjective(CausalLM& student, std::unique_ptr<TeacherSource> teacher, Dataset train,
                        std::optional<Dataset> validation, const DistillationOptions& method, at::Tensor projection,
                        const TrainingOptions& options)
      : DatasetObjective(std::move(train), std::move(validation), options),
        student_(student),
        teacher_(std::move(teacher)),
        method_(method),
        projection_(std::move(projection)) {
    teacher_->prepare(this->train());
    if (this->validation()) teacher_->prepare(*this->validation());
  }

  std::string data_fingerprint() const override {
    return DatasetObjective::data_fingerprint() + " " + teacher_->fingerprint();
  }
  Facts facts() const override {
    const DistillOptions& divergence = method_.divergence;
    Facts all = {{"method", "distillation, beta " + number_text(divergence.beta) + ", temperature " +
                                number_text(divergence.temperature) + ", weights " + number_text(method_.alpha) +
                                " and " + number_text(ce_alpha(method_))},
                 {"teacher", teacher_->description()}};
    for (auto& fact : DatasetObjective::facts()) all.push_back(std::move(fact));
    return all;
  }

  StepData load(std::int64_t micro_batches) override {
    StepData data = DatasetObjective::load(micro_batches);
    comparisons_ = 0;
    for (const TokenBatch& batch : batches()) comparisons_ += teacher_->comparisons(batch);
    if (data.target_tokens > 0 && comparisons_ == 0 && ce_alpha(method_) == 0) data.nothing = "no span has a teacher";
    return data;
  }

  StepLoss forward_and_backward(const StepContext& context) override {
    DistillationSums sums;
    double loss = 0;
    for (std::size_t pass = 0; pass < batches().size(); ++pass) {
      const TokenBatch& batch = batches()[pass];
      if (batch.target_count() == 0) continue;  // a piece of a cut row
      ScoreOptions options = context.score_options(pass, batch.rows());
      if (method_.disable_dropout) options.dropout_key.reset();
      const at::Tensor part = loss_of(batch, options, weights(target_tokens(), comparisons_), sums);
      part.backward();
      loss += part.item<double>();
    }
    return {loss, metrics(sums, target_tokens(), comparisons_)};
  }

  Evaluation evaluate() override {
    DataLoader loader = validation_loader();
    const c10::AutoGradMode no_gradients(false);
    DistillationSums sums;
    Evaluation evaluation;
    std::int64_t comparisons = 0;
    while (const auto batch = loader.next()) {
      if (batch->target_count() == 0) continue;
      loss_of(*batch, {}, weights(1, 1), sums);
      evaluation.target_tokens += batch->target_count();
      comparisons += teacher_->comparisons(*batch);
    }
    const DistillationWeights mean = weights(evaluation.target_tokens, comparisons);
    const double t = method_.divergence.temperature;
    const double scale = method_.divergence.scale_by_temperature_squared ? t * t : 1;
    evaluation.eval_loss =
        mean.cross_entropy * sums.cross_entropy + mean.divergence * scale * sums.divergence + mean.hidden * sums.hidden;
    evaluation.metrics = metrics(sums, evaluation.target_tokens, comparisons);
    return evaluation;
  }

  std::vector<std::pair<std::string, at::Tensor>> extra_parameters() const override {
    if (!projection_.defined()) return {};
    return {{kProjection, projection_}};
  }
  void save_state(const std::string& folder) const override {
    if (projection_.defined()) save_safetensors(folder + kProjectionFile, extra_parameters());
  }
  void restore_state(const std::string& folder) override {
    if (projection_.defined()) restore_tensors(folder + kProjectionFile, extra_parameters());
  }

 private:
  DistillationWeights weights(std::int64_t targets, std::int64_t comparisons) const {
    const auto rows = static_cast<double>(targets);
    const double compared = static_cast<double>(std::max<std::int64_t>(1, comparisons));
    return {.cross_entropy = ce_alpha(method_) / rows,
            .divergence = method_.alpha / compared,
            .hidden = method_.hidden_state_weight / rows};
  }

  at::Tensor loss_of(const TokenBatch& batch, const ScoreOptions& options, const DistillationWeights& weights,
                     DistillationSums& sums) const {
    const TargetRows rows = target_rows(student_, batch, options);
    return teacher_->loss({.model = student_,
                           .batch = batch,
                           .rows = rows,
                           .options = method_.divergence,
                           .weights = weights,
                           .sums = sums,
                           .projection = projection_});
  }

  // What was not looked at has no mean.
  Metrics metrics(const DistillationSums& sums, std::int64_t targets, std::int64_t comparisons) const {
    const auto rows = static_cast<double>(targets);
    Metrics out;
    if (comparisons > 0) out.emplace_back("divergence", sums.divergence / static_cast<double>(comparisons));
    if (sums.cross_entropy > 0) out.emplace_back("ce_loss", sums.cross_entropy / rows);
    if (sums.entropy > 0) out.emplace_back("entropy", sums.entropy / rows);
    if (method_.hidden_state_weight > 0) out.emplace_back("hidden_loss", sums.hidden / rows);
    return out;
  }

  CausalLM& student_;
  std::unique_ptr<TeacherSource> teacher_;
  DistillationOptions method_;
  at::Tensor projection_;
  std::int64_t comparisons_ = 0;  // of the step
};

void check_teacher(const Teacher& teacher, const DistillationOptions& method) {
  refuse_usage((teacher.model == nullptr) == (teacher.store == nullptr), "teacher", "a model or a store, one of them");
  refuse_usage(teacher.data && teacher.model == nullptr, "teacher",
               "data of its own belong to a model, not to a store");
  refuse_usage(method.hidden_state_weight > 0 && teacher.model == nullptr, "hidden_state_weight",
               "needs the teacher itself: a store has no hidden states");
  refuse_usage(method.hidden_state_weight > 0 && teacher.data.has_value(), "hidden_state_weight",
               "not with another tokenizer: the rows are not the same");
}

}  // namespace

void check(const DistillationOptions& options) {
  check(options.divergence);
  const auto weight = [](double value, const char* field) {
    if (value >= 0 && std::isfinite(value)) return;
    throw Error(ErrorKind::range, "out of range",
                {.field = field, .expected = "0 or more", .found = number_text(value)});
  };
  weight(options.alpha, "alpha");
  weight(ce_alpha(options), "ce_alpha");
  weight(options.hidden_state_weight, "hidden_state_weight");
  refuse_usage(options.alpha == 0 && options.hidden_state_weight == 0, "alpha",
               "0: nothing is learnt from the teacher");
}

std::unique_ptr<Objective> make_distillation_objective(CausalLM& student, Teacher teacher, Dataset train,
                                                       std::optional<Dataset> validation,
                                                       const DistillationOptions& method,
                                                       const TrainingOptions& options) {
  check(method);
  check_teacher(teacher, method);
  refuse_usage(train.size() == 0, "data", "no rows to train on");
  at::Tensor projection;
  std::unique_ptr<TeacherSource> source;
  if (teacher.store != nullptr) {
    source = stored_teacher(student, *teacher.store, method.divergence);
  } else if (teacher.data) {
    source = other_vocabulary_teacher(student, train, *teacher.model, *teacher.data);
  } else {
    source = live_teacher(student, *teacher.model);
    const std::int64_t from = student.config().hidden_size, to = teacher.model->config().hidden_size;
    if (method.hidden_state_weight > 0 && from != to) projection = new_projection(to, from, options.seed);
  }
  return std::make_unique<DistillationObjective>(student, std::move(source), std::move(train), std::move(validation),
                                                 method, std::move(projection), options);
}

}  // namespace powerhouse
