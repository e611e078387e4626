#include "training/losses/common.h"

#include <ATen/ops/log_sigmoid_ops.h>

#include <cmath>
#include <numeric>

#include "ops/tensors.h"

namespace powerhouse::losses {

at::Tensor log_sigmoid(const at::Tensor& x) { return at::_ops::log_sigmoid::call(x); }

at::Tensor wide(const at::Tensor& values) {
  const at::ScalarType type = values.scalar_type();
  return type == at::kBFloat16 || type == at::kHalf ? values.to(at::kFloat) : values;
}

at::Tensor constant(const std::vector<double>& values, const at::Tensor& like) {
  at::Tensor tensor = empty_tensor({static_cast<std::int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), tensor.data_ptr<double>());
  return tensor.to(like.device(), wide(like).scalar_type());
}

at::Tensor counts(const std::vector<std::int64_t>& cu_seqlens, const at::Tensor& like) {
  std::vector<double> lengths;
  for (std::size_t i = 1; i < cu_seqlens.size(); ++i) {
    lengths.push_back(static_cast<double>(cu_seqlens[i] - cu_seqlens[i - 1]));
  }
  return constant(lengths, like);
}

at::Tensor segments(const std::vector<std::int64_t>& cu_seqlens, const at::Tensor& like) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(cu_seqlens.back()));
  for (std::size_t i = 1; i < cu_seqlens.size(); ++i) {
    std::fill(index.begin() + cu_seqlens[i - 1], index.begin() + cu_seqlens[i], static_cast<std::int64_t>(i - 1));
  }
  return index_tensor(index).to(like.device());
}

at::Tensor segment_sums(const at::Tensor& values, const std::vector<std::int64_t>& cu_seqlens) {
  const at::Tensor tokens = wide(values), doubles = tokens.to(at::kDouble);
  const at::Tensor zeros = doubles.new_zeros({static_cast<std::int64_t>(cu_seqlens.size()) - 1});
  return zeros.index_add(0, segments(cu_seqlens, values), doubles).to(tokens.scalar_type());
}

void check_vector(const at::Tensor& tensor, std::int64_t size, const std::string& field) {
  const std::string expected = "floating [" + std::to_string(size) + "]";
  if (!tensor.defined()) {
    throw Error(ErrorKind::usage, "a tensor is missing", {.field = field, .expected = expected, .found = "none"});
  }
  if (tensor.dim() == 1 && tensor.size(0) == size && tensor.is_floating_point()) return;
  std::string found = std::string(tensor.is_floating_point() ? "floating" : "other") + " [";
  for (std::int64_t i = 0; i < tensor.dim(); ++i) found += (i > 0 ? ", " : "") + std::to_string(tensor.size(i));
  throw Error(ErrorKind::usage, "a tensor of another shape or type",
              {.field = field, .expected = expected, .found = found + "]"});
}

void check_mask(const at::Tensor& mask, std::int64_t size, const std::string& field) {
  if (!mask.defined() || (mask.scalar_type() == at::kBool && mask.dim() == 1 && mask.size(0) == size)) return;
  throw Error(ErrorKind::usage, "a mask of another shape or type",
              {.field = field, .expected = "bool [" + std::to_string(size) + "]"});
}

void check_offsets(const std::vector<std::int64_t>& cu_seqlens, std::int64_t tokens, const std::string& field) {
  const bool good = !cu_seqlens.empty() && cu_seqlens.front() == 0 && cu_seqlens.back() == tokens &&
                    std::is_sorted(cu_seqlens.begin(), cu_seqlens.end());
  if (good) return;
  throw Error(ErrorKind::usage, "offsets of completions that don't fit their tokens",
              {.field = field + ".cu_seqlens",
               .expected = "0, rising, then " + std::to_string(tokens),
               .found = std::to_string(cu_seqlens.size()) + " offsets" +
                        (cu_seqlens.empty() ? "" : " to " + std::to_string(cu_seqlens.back()))});
}

void check_completions(const CompletionLogProbs& completions, const std::string& field) {
  const at::Tensor& tokens = completions.token_log_probs;
  check_vector(tokens, tokens.defined() ? tokens.numel() : 0, field + ".token_log_probs");
  check_offsets(completions.cu_seqlens, tokens.size(0), field);
  if (completions.entropy.defined()) check_vector(completions.entropy, tokens.size(0), field + ".entropy");
  if (completions.log_sum_sq_probs.defined()) {
    check_vector(completions.log_sum_sq_probs, tokens.size(0), field + ".log_sum_sq_probs");
  }
  if (completions.mean_logits.defined()) check_vector(completions.mean_logits, tokens.size(0), field + ".mean_logits");
  check_mask(completions.is_top1, tokens.size(0), field + ".is_top1");
  const auto lengths = static_cast<std::int64_t>(completions.lengths.size());
  if (lengths != 0 && lengths != completions.completions()) {
    throw Error(ErrorKind::usage, "another number of lengths than of completions",
                {.field = field + ".lengths",
                 .expected = std::to_string(completions.completions()),
                 .found = std::to_string(lengths)});
  }
}

void check_pairs(const PairLogProbs& pairs) {
  check_completions(pairs.chosen, "chosen");
  check_completions(pairs.rejected, "rejected");
  if (pairs.chosen.completions() == pairs.rejected.completions() && pairs.chosen.completions() > 0) return;
  throw Error(ErrorKind::usage, "chosen and rejected completions make no pairs",
              {.field = "rejected",
               .expected = std::to_string(pairs.chosen.completions()) + " and above 0",
               .found = std::to_string(pairs.rejected.completions())});
}

at::Tensor finite_means(const CompletionLogProbs& completions, const std::string& field) {
  for (std::int64_t i = 0; i < completions.completions(); ++i) {
    if (completions.cu_seqlens[i] != completions.cu_seqlens[i + 1]) continue;
    throw Error(ErrorKind::numeric, "an empty completion has no mean",
                {.field = field + "[" + std::to_string(i) + "]", .expected = "at least one token"});
  }
  const at::Tensor total = segment_sums(completions.token_log_probs, completions.cu_seqlens);
  at::Tensor result = total.div(counts(completions.cu_seqlens, total));
  check_finite(result, field);
  return result;
}

void check_finite(const at::Tensor& values, const std::string& field) {
  const at::Tensor bad = values.detach().isfinite().logical_not().nonzero();
  if (bad.size(0) == 0) return;
  const auto first = bad[0][0].item<std::int64_t>();
  const auto value = values.detach()[first].item<double>();
  throw Error(ErrorKind::numeric, "a number of this batch is not finite",
              {.field = field + "[" + std::to_string(first) + "]",
               .expected = "a finite number",
               .found = std::isnan(value) ? "NaN"
                        : value > 0       ? "inf"
                                          : "-inf"});
}

void check_range(bool good, std::string_view field, std::string_view expected, double found) {
  if (good) return;
  throw Error(ErrorKind::range, "an option of a loss is out of its bounds",
              {.field = std::string(field), .expected = std::string(expected), .found = std::to_string(found)});
}

void add_metric(Metrics& metrics, std::string_view name, const at::Tensor& values) {
  const auto mean = values.detach().to(at::kDouble).mean().item<double>();
  if (!std::isnan(mean)) metrics.emplace_back(name, mean);
}

void add_entropy(Metrics& metrics, const std::vector<const CompletionLogProbs*>& completions) {
  std::vector<at::Tensor> entropies;
  for (const CompletionLogProbs* part : completions) {
    if (!part->entropy.defined()) return;
    entropies.push_back(part->entropy.detach());
  }
  add_metric(metrics, "entropy", concatenate(entropies, 0));
}

void add_pair_token_metrics(Metrics& metrics, const PairLogProbs& pairs) {
  add_entropy(metrics, {&pairs.chosen, &pairs.rejected});
  for (const auto& [name, side] : {std::pair("logits/chosen", &pairs.chosen), {"logits/rejected", &pairs.rejected}}) {
    if (side->mean_logits.defined()) add_metric(metrics, name, side->mean_logits);
  }
}

void add_pair_metrics(Metrics& metrics, const PairSums& rewards, const PairSums& log_probs) {
  const at::Tensor chosen = rewards.chosen.detach(), rejected = rewards.rejected.detach();
  add_metric(metrics, "rewards/chosen", chosen);
  add_metric(metrics, "rewards/rejected", rejected);
  add_metric(metrics, "rewards/accuracies", chosen.gt(rejected));
  add_metric(metrics, "rewards/margins", chosen.sub(rejected));
  add_metric(metrics, "logps/chosen", log_probs.chosen);
  add_metric(metrics, "logps/rejected", log_probs.rejected);
}

LossResult finish(at::Tensor loss, Metrics metrics, std::string_view method) {
  const auto value = loss.detach().item<double>();
  if (!std::isfinite(value)) {
    throw Error(ErrorKind::numeric, "a loss is not finite",
                {.field = std::string(method), .expected = "a finite number", .found = std::to_string(value)});
  }
  return {std::move(loss), std::move(metrics)};
}

}  // namespace powerhouse::losses
