// What a model says of a batch's targets: log-probabilities, entropy, loss; and the parameters that learn from them.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>

#include "model/rows_of_batch.h"
#include "model/target_rows.h"
#include "ops/checkpoint.h"
#include "ops/linear_cross_entropy.h"
#include "ops/log_probabilities.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Rows that have a target, and their targets.
struct Targets {
  std::vector<std::int64_t> rows, ids;

  Targets(const ModelConfig& config, const TokenBatch& batch) {
    for (std::size_t row = 0; row < batch.targets.size(); ++row) {
      if (batch.targets[row] == kIgnoredTarget) continue;
      rows.push_back(static_cast<std::int64_t>(row));
      ids.push_back(batch.targets[row]);
    }
    check_ids(config, ids);
    if (rows.empty()) throw Error(ErrorKind::usage, "a batch without targets", {.field = "targets"});
  }
};

// Logits of this many bytes are held at once, and once more where gradients flow.
constexpr std::int64_t kLogitsBytes = 64 << 20;

// Of rows of logits, [rows, 3 or 5]: what TokenScores has, in its order.
at::Tensor numbers_of(const at::Tensor& logits, const at::Tensor& targets, const ScoreOptions& options) {
  const at::Tensor log_probs = ops::log_probabilities(logits, options.temperature);
  const at::Tensor constant = log_probs.detach();
  const at::Tensor of_entropy = options.entropy_gradient ? log_probs : constant;
  std::vector<at::Tensor> numbers{log_probs.gather(-1, targets),
                                  of_entropy.exp().mul(of_entropy).sum({-1}, /*keepdim=*/true).neg(),
                                  constant.argmax(-1, /*keepdim=*/true).eq(targets).to(constant.scalar_type())};
  if (options.logit_statistics) {
    numbers.push_back(logits.detach().to(at::kFloat).mean(-1, /*keepdim=*/true).div(options.temperature));
    numbers.push_back(constant.mul(2).logsumexp({-1}, /*keepdim=*/true));
  }
  return concatenate(numbers, 1);
}

// By logits of some rows at a time, which are made again in the backward pass: for heads that no fused operation knows.
TokenScores by_logits(const std::shared_ptr<Model>& model, const Arithmetic& arithmetic, const at::Tensor& hidden,
                      const Targets& targets, const ScoreOptions& options) {
  const at::Tensor ids = index_tensor(targets.ids, hidden.device());
  const std::int64_t step = std::max<std::int64_t>(1, kLogitsBytes / (4 * model->config.vocab_size));
  std::vector<at::Tensor> parts;
  for (std::int64_t first = 0; first < hidden.size(0); first += step) {
    const std::int64_t count = std::min(step, hidden.size(0) - first);
    const auto piece = [model, arithmetic, options, first, target = ids.narrow(0, first, count)](
                           const at::Tensor& rows, ops::PieceRun /*run*/) {
      const at::Tensor logits = model->decoder.logits(rows, arithmetic, first);
      return numbers_of(logits, target.unsqueeze(-1), options);
    };
    parts.push_back(ops::checkpoint(piece, hidden.narrow(0, first, count)));
  }
  const at::Tensor all = concatenate(parts, 0), constant = all.detach();
  TokenScores scores{.rows = index_tensor(targets.rows),
                     .log_probs = all.select(1, 0),
                     .entropy = (options.entropy_gradient ? all : constant).select(1, 1),
                     .is_top1 = constant.select(1, 2).ne(0)};
  if (!options.logit_statistics) return scores;
  scores.mean_logits = constant.select(1, 3);
  scores.log_sum_sq_probs = constant.select(1, 4);
  return scores;
}

// The head as one operation with cross entropy; nothing where it can't be.
std::optional<ops::VocabularyHead> fused_head(const Decoder& decoder, const Arithmetic& arithmetic, float temperature) {
  auto head = decoder.vocabulary_head(arithmetic);
  if (!head || temperature == 1) return head;
  if (head->softcap) return std::nullopt;  // the temperature comes behind it
  head->logit_scale /= temperature;
  return head;
}

// Where losses over them are computed: a few numbers a target, whose gradients find their way back.
TokenScores on_cpu(TokenScores scores) {
  for (at::Tensor* const part :
       {&scores.log_probs, &scores.entropy, &scores.is_top1, &scores.mean_logits, &scores.log_sum_sq_probs}) {
    if (part->defined()) *part = part->to(at::kCPU);
  }
  return scores;
}

void check_temperature(float temperature) {
  if (temperature > 0 && std::isfinite(temperature)) return;
  throw Error(ErrorKind::range, "must be above 0", {.field = "temperature", .found = std::to_string(temperature)});
}

}  // namespace

TokenScores CausalLM::score(const TokenBatch& batch, const ScoreOptions& options) const {
  check_vocabulary_head(config());
  check_temperature(options.temperature);
  check_batch(config(), batch);
  const Targets targets(config(), batch);
  return with_hidden(*impl_, batch, targets.rows, options, [&](const at::Tensor& hidden, const Arithmetic& arithmetic) {
    const auto head = fused_head(impl_->model->decoder, arithmetic, options.temperature);
    if (!head) return on_cpu(by_logits(impl_->model, arithmetic, hidden, targets, options));
    const at::Tensor ids = index_tensor(targets.ids);
    const auto found = ops::linear_log_probs(
        hidden, *head, ids, {.statistics = options.logit_statistics, .entropy_gradient = options.entropy_gradient});
    return on_cpu({.rows = index_tensor(targets.rows),
                   .log_probs = found.log_probs,
                   .entropy = found.entropy,
                   .is_top1 = found.arg_max.eq(ids.to(hidden.device())),
                   .mean_logits = found.mean_logits,
                   .log_sum_sq_probs = found.log_sum_sq_probs});
  });
}

TokenLoss CausalLM::loss(const TokenBatch& batch, double normalizer, const ScoreOptions& options) const {
  if (!(normalizer > 0)) {
    throw Error(ErrorKind::range, "must be above 0", {.field = "normalizer", .found = std::to_string(normalizer)});
  }
  check_vocabulary_head(config());
  check_temperature(options.temperature);
  check_batch(config(), batch);
  const Targets targets(config(), batch);
  return with_hidden(*impl_, batch, targets.rows, options, [&](const at::Tensor& hidden, const Arithmetic& arithmetic) {
    const auto head = fused_head(impl_->model->decoder, arithmetic, options.temperature);
    if (!head) {
      const TokenScores scores = by_logits(impl_->model, arithmetic, hidden, targets, options);
      return TokenLoss{.loss = scores.log_probs.sum().neg().div(normalizer),
                       .log_probs = scores.log_probs.detach(),
                       .entropy = scores.entropy};
    }
    const at::Tensor weights = empty_tensor({hidden.size(0)}, at::kFloat).fill_(1.0 / normalizer);
    const auto found = ops::linear_cross_entropy(hidden, *head, index_tensor(targets.ids), weights);
    return TokenLoss{.loss = found.loss, .log_probs = found.rows.log_probs, .entropy = found.rows.entropy};
  });
}

TargetRows target_rows(const CausalLM& model, const TokenBatch& batch, const ScoreOptions& options) {
  const CausalLM::Impl& impl = model.impl();
  check_vocabulary_head(model.config());
  check_batch(model.config(), batch);
  const Targets targets(model.config(), batch);
  return with_hidden(impl, batch, targets.rows, options, [&](const at::Tensor& hidden, const Arithmetic& arithmetic) {
    return TargetRows{.hidden = hidden,
                      .rows = targets.rows,
                      .ids = targets.ids,
                      .head = impl.model->decoder.vocabulary_head(arithmetic),
                      .arithmetic = arithmetic};
  });
}

std::vector<std::pair<std::string, at::Tensor>> CausalLM::trainable_parameters() const {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (const ParameterSpec& spec : impl_->model->weights.specs()) {
    const Weight& weight = impl_->model->weights.weight(spec);
    if (weight.requires_grad()) parameters.emplace_back(spec.name, weight.tensor());
  }
  if (impl_->adapters) {
    const auto& trainable = impl_->adapters->trainable;
    parameters.insert(parameters.end(), trainable.begin(), trainable.end());
  }
  return parameters;
}

}  // namespace powerhouse
