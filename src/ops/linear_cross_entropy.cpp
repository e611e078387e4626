#include "ops/linear_cross_entropy.h"

#include <ATen/ops/gather_ops.h>
#include <ATen/ops/log_softmax_ops.h>

#include <cmath>

#include "ops/dequantize.h"
#include "ops/device_kernels.h"
#include "ops/head_inputs.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the nodes are told beside tensors.
struct CrossEntropyDetails : torch::CustomClassHolder {
  HeadInputs inputs{};
  CrossEntropyOptions options{};
  bool autograd = false;  // whether it looked on when the op was called: within forward it never does
};
using CrossEntropyDetailsPtr = c10::intrusive_ptr<CrossEntropyDetails>;

// A row's log-probability depends on no other row: where only hidden wants a gradient, forward keeps that of each row,
// which backward scales. Where the head wants one too, or the entropy has one of its own, backward multiplies the rows
// by the head again.
class LogProbs : public torch::autograd::Function<LogProbs> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList inputs, const at::Tensor& targets,
                               const CrossEntropyDetailsPtr& details) {
    HeadGradients wanted =
        details->inputs.gradients_wanted([&](std::size_t i) { return details->autograd && inputs[i].requires_grad(); });
    const bool with_entropy = details->options.entropy_gradient;
    const bool keeps = wanted.want_hidden && !wanted.want_matrix && !wanted.want_bias && !with_entropy;
    HeadGradients kept{.want_hidden = keeps};
    const at::Tensor weights = keeps ? inputs[0].new_full(targets.sizes(), -1, at::kFloat) : at::Tensor();
    const RowResults rows =
        pass_through_head(inputs[0], details->inputs.head_of(inputs), targets, {weights}, details->options, kept);
    variable_list saved = keeps ? variable_list() : inputs.vec();
    saved.push_back(keeps ? kept.hidden : targets);
    context->save_for_backward(std::move(saved));
    context->saved_data["details"] = c10::IValue::make_capsule(details);
    context->saved_data["keeps"] = keeps;
    variable_list results{rows.log_probs, rows.entropy, rows.arg_max};
    variable_list constants{rows.arg_max};
    if (!with_entropy) constants.push_back(rows.entropy);
    if (details->options.statistics) {
      for (const at::Tensor& more : {rows.mean_logits, rows.log_sum_sq_probs}) {
        results.push_back(more);
        constants.push_back(more);
      }
    }
    context->mark_non_differentiable(constants);
    return results;
  }

  static variable_list backward(AutogradContext* context, const variable_list& d) {
    once_differentiable("linear_log_probs");
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["details"].toCapsule();
    const auto& details = static_cast<const CrossEntropyDetails&>(*holder);
    HeadGradients gradients =
        details.inputs.gradients_wanted([&](std::size_t place) { return context->needs_input_grad(place); });
    if (context->saved_data["keeps"].toBool()) {
      gradients.hidden = saved.back().mul(d[0].unsqueeze(1)).to(saved.back().scalar_type());
    } else {
      const at::TensorList inputs(saved.data(), saved.size() - 1);
      const RowWeights weights{d[0].neg(), details.options.entropy_gradient ? d[1].contiguous() : at::Tensor()};
      pass_through_head(inputs[0], details.inputs.head_of(inputs), saved.back(), weights,
                        {.chunk_bytes = details.options.chunk_bytes}, gradients);
    }
    return details.inputs.in_order(gradients, 2);
  }
};

// The gradients are there when forward ends.
class WeightedLoss : public torch::autograd::Function<WeightedLoss> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList inputs, const at::Tensor& targets,
                               const at::Tensor& weights, const CrossEntropyDetailsPtr& details) {
    HeadGradients gradients =
        details->inputs.gradients_wanted([&](std::size_t i) { return details->autograd && inputs[i].requires_grad(); });
    const RowResults rows =
        pass_through_head(inputs[0], details->inputs.head_of(inputs), targets, {weights}, details->options, gradients);
    context->save_for_backward(details->inputs.in_order(gradients));
    context->saved_data["details"] = c10::IValue::make_capsule(details);
    context->mark_non_differentiable({rows.log_probs, rows.entropy, rows.arg_max});
    return {loss_of(rows, weights), rows.log_probs, rows.entropy, rows.arg_max};
  }

  static variable_list backward(AutogradContext* context, const variable_list& d) {
    once_differentiable("linear_cross_entropy");
    return kept_gradients(context->get_saved_variables(), d[0], 3);
  }

  static at::Tensor loss_of(const RowResults& rows, const at::Tensor& weights) {
    return rows.loss.to(at::kDouble).dot(weights.to(at::kDouble)).to(at::kFloat);
  }
};

// By LibTorch's operations, whole: losses and log-probabilities of all rows.
RowResults by_library(const at::Tensor& hidden, const VocabularyHead& head, const at::Tensor& targets,
                      const CrossEntropyOptions& options) {
  const auto type = hidden.scalar_type();
  const at::Tensor matrix =
      head.matrix.defined() ? head.matrix.to(type) : dequantized(head.blocks, at::kFloat).to(type);
  at::Tensor logits = linear(hidden, matrix, head.bias.defined() ? head.bias.to(type) : head.bias);
  logits = logits.mul(head.logit_scale);
  if (head.softcap) logits = logits.div(*head.softcap).tanh().mul(*head.softcap);
  const at::Tensor logs = at::_ops::log_softmax_int::call(logits, -1, std::nullopt);
  const at::Tensor there = targets.to(hidden.device());
  const at::Tensor counts = there.ne(kIgnoredTarget);
  const at::Tensor places = there.clamp_min(0).unsqueeze(1);
  const auto kept = [&](const at::Tensor& x) { return x.masked_fill(counts.logical_not(), 0.0); };
  const at::Tensor log_probs = kept(at::_ops::gather::call(logs, 1, places, false).squeeze(1));
  at::Tensor loss = log_probs.mul(options.label_smoothing - 1.0);
  if (options.label_smoothing != 0) loss = loss.sub(kept(logs.mean(1)).mul(options.label_smoothing));
  if (options.z_loss != 0) loss = loss.add(kept(logits.logsumexp({1}).square()).mul(options.z_loss));
  const at::Tensor entropy = kept(logs.exp().mul(logs).sum(1).neg());
  RowResults rows{.loss = loss,
                  .log_probs = log_probs,
                  .entropy = options.entropy_gradient ? entropy : entropy.detach(),
                  .arg_max = logits.detach().argmax(1).masked_fill(counts.logical_not(), -1)};
  if (!options.statistics) return rows;
  rows.mean_logits = kept(logits.detach().mean(1));
  rows.log_sum_sq_probs = kept(logs.detach().mul(2).logsumexp({1}));
  return rows;
}

void expect(bool fits, const char* field, const char* expected, ErrorKind kind = ErrorKind::usage) {
  if (fits) return;
  throw Error(kind, "an argument of cross entropy does not fit", {.field = field, .expected = expected});
}

void check(const at::Tensor& hidden, const VocabularyHead& head, const at::Tensor& targets,
           const CrossEntropyOptions& options) {
  expect(hidden.defined() && hidden.dim() == 2, "hidden", "[rows, hidden]");
  const StoredWeight* const stored = head.matrix.defined() ? nullptr : head.blocks.stored();
  expect(head.matrix.defined() || stored != nullptr, "head", "a matrix or a weight of blocks");
  const std::vector<std::int64_t> shape = stored != nullptr ? stored->shape : head.matrix.sizes().vec();
  expect(shape.size() == 2 && shape[0] > 0 && shape[1] == hidden.size(1), "head", "[vocabulary, hidden]");
  expect(!head.bias.defined() || (head.bias.dim() == 1 && head.bias.size(0) == shape[0]), "bias", "[vocabulary]");
  expect(targets.defined() && targets.dim() == 1 && targets.size(0) == hidden.size(0) &&
             targets.scalar_type() == at::kLong,
         "targets", "int64 [rows]");
  expect(head.logit_scale > 0 && head.softcap.value_or(1.0f) > 0, "logit_scale and softcap", "above 0",
         ErrorKind::range);
  expect(options.label_smoothing >= 0 && options.label_smoothing <= 1, "label_smoothing", "[0, 1]", ErrorKind::range);
  expect(options.chunk_bytes >= 0, "chunk_bytes", "at least 0", ErrorKind::range);
  const at::Tensor bad = targets.ne(kIgnoredTarget).logical_and(targets.lt(0).logical_or(targets.ge(shape[0])));
  if (targets.numel() > 0 && bad.any().item<bool>()) {
    throw Error(ErrorKind::range, "a target is not a token of the vocabulary",
                {.field = "targets",
                 .expected = "below " + std::to_string(shape[0]),
                 .found = std::to_string(targets.masked_select(bad).select(0, 0).item<std::int64_t>())});
  }
}

struct NodeArguments {
  variable_list inputs;
  CrossEntropyDetailsPtr details = c10::make_intrusive<CrossEntropyDetails>();
};

NodeArguments arguments(const at::Tensor& hidden, const VocabularyHead& head, const CrossEntropyOptions& options) {
  NodeArguments all{.inputs = {hidden}};
  all.details->inputs = HeadInputs(head, all.inputs);
  all.details->options = options;
  all.details->autograd = needs_autograd(hidden, head.matrix, head.bias);
  return all;
}

}  // namespace

VocabularyHead vocabulary_head(const Weight& weight, const at::Tensor& bias) {
  VocabularyHead head{.bias = bias};
  if (is_quantized(weight)) {
    head.blocks = weight;
  } else {
    head.matrix = weight.matrix();
  }
  return head;
}

TargetLogProbs linear_log_probs(const at::Tensor& hidden, const VocabularyHead& head, const at::Tensor& targets,
                                const CrossEntropyOptions& options) {
  check(hidden, head, targets, options);
  if (!has_kernels(hidden)) {
    const RowResults rows = by_library(hidden, head, targets, options);
    return {rows.log_probs, rows.entropy, rows.arg_max, rows.mean_logits, rows.log_sum_sq_probs};
  }
  // The kernel's loss is the target's log-probability alone.
  const NodeArguments node = arguments(hidden, head,
                                       {.chunk_bytes = options.chunk_bytes,
                                        .statistics = options.statistics,
                                        .entropy_gradient = options.entropy_gradient});
  const variable_list rows = LogProbs::apply(at::TensorList(node.inputs), targets, node.details);
  TargetLogProbs out{rows[0], rows[1], rows[2]};
  if (options.statistics) out.mean_logits = rows[3], out.log_sum_sq_probs = rows[4];
  return out;
}

CrossEntropy linear_cross_entropy(const at::Tensor& hidden, const VocabularyHead& head, const at::Tensor& targets,
                                  const at::Tensor& row_weights, const CrossEntropyOptions& options) {
  check(hidden, head, targets, options);
  expect(row_weights.defined() && row_weights.sizes() == targets.sizes() && row_weights.scalar_type() == at::kFloat,
         "weights", "float32 [rows]");
  const at::Tensor weights = row_weights.is_cpu() ? uploaded(row_weights, hidden.device()) : row_weights;
  if (!has_kernels(hidden)) {
    const RowResults rows = by_library(hidden, head, targets, options);
    return {rows.loss.dot(weights.to(rows.loss.scalar_type())), {rows.log_probs.detach(), rows.entropy, rows.arg_max}};
  }
  const NodeArguments node = arguments(hidden, head, options);
  const variable_list found = WeightedLoss::apply(at::TensorList(node.inputs), targets, weights, node.details);
  return {found[0], {found[1], found[2], found[3]}};
}

}  // namespace powerhouse::ops
