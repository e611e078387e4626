#include "ops/head_loss.h"

#include "ops/head_inputs.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct ChunkLossDetails : torch::CustomClassHolder {
  HeadInputs inputs{};
  ChunkLossFunction loss{};
  std::int64_t chunk_bytes = 0;
  bool whole = false;  // logits are given, there is no head
  bool has_factors = false;
  bool autograd = false;  // whether it looked on when the op was called: within forward it never does
};
using ChunkLossDetailsPtr = c10::intrusive_ptr<ChunkLossDetails>;

at::ScalarType loss_type(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// The loss of all rows, and gradients by the inputs in their order.
struct Sum {
  const ChunkLossDetails& details;
  at::TensorList inputs;
  bool gradient;
  at::Tensor total{}, factors{};

  void add(std::int64_t first, at::Tensor& logits) {
    const ChunkLoss part = details.loss(first, logits, gradient);
    const at::Tensor loss = part.loss.to(at::kDouble);
    total = total.defined() ? total.add(loss) : loss;
    if (!gradient) return;
    if (part.gradient.data_ptr() != logits.data_ptr()) logits.copy_(part.gradient);
    if (details.has_factors) factors.narrow(0, first, logits.size(0)).copy_(part.factor_gradient);
  }
};

bool wants(const ChunkLossDetails& details, const at::Tensor& input) {
  return details.autograd && input.requires_grad();
}

at::Tensor sum_by_head(Sum& sum, variable_list& gradients) {
  const ChunkLossDetails& details = sum.details;
  HeadGradients found =
      details.inputs.gradients_wanted([&](std::size_t place) { return wants(details, sum.inputs[place]); });
  sum.gradient = sum.gradient || found.any();
  if (sum.gradient && !found.any()) found.want_hidden = true;  // only factors want one: the chunk's is made anyway
  visit_head_chunks(sum.inputs[0], details.inputs.head_of(sum.inputs), details.chunk_bytes, found,
                    [&](std::int64_t first, at::Tensor& logits) { sum.add(first, logits); });
  gradients = details.inputs.in_order(found);
  return sum.total;
}

at::Tensor sum_of_logits(Sum& sum, variable_list& gradients) {
  const at::Tensor& logits = sum.inputs[0];
  const std::int64_t rows = logits.size(0), row_bytes = logits.size(1) * 8;
  const std::int64_t step = std::max<std::int64_t>(1, sum.details.chunk_bytes / std::max<std::int64_t>(1, row_bytes));
  sum.gradient = sum.gradient || wants(sum.details, logits);
  if (sum.gradient) gradients.push_back(empty_tensor_like(logits));
  if (!sum.gradient) gradients.emplace_back();
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = std::min(step, rows - first);
    at::Tensor part = logits.detach().narrow(0, first, count).to(loss_type(logits)).clone();
    sum.add(first, part);
    if (sum.gradient) gradients.back().narrow(0, first, count).copy_(part);
  }
  return sum.total;
}

class HeadLoss : public torch::autograd::Function<HeadLoss> {
 public:
  static at::Tensor forward(AutogradContext* context, at::TensorList inputs, const ChunkLossDetailsPtr& details) {
    Sum sum{.details = *details, .inputs = inputs, .gradient = false};
    if (details->has_factors) {
      sum.gradient = wants(*details, inputs.back());
      sum.factors = inputs.back().new_zeros(inputs.back().sizes());
    }
    variable_list gradients;
    const at::Tensor total = details->whole ? sum_of_logits(sum, gradients) : sum_by_head(sum, gradients);
    if (details->has_factors) gradients.push_back(sum.factors);
    context->save_for_backward(std::move(gradients));
    const auto type = loss_type(inputs[0]);
    return total.defined() ? total.to(type) : inputs[0].new_zeros({}, type);
  }

  static variable_list backward(AutogradContext* context, const variable_list& d) {
    once_differentiable("head_loss");
    return kept_gradients(context->get_saved_variables(), d[0], 1);
  }
};

at::Tensor apply(variable_list inputs, ChunkLossDetailsPtr details, const ChunkLossFunction& loss,
                 const at::Tensor& factors, std::int64_t chunk_bytes) {
  details->loss = loss;
  details->chunk_bytes = chunk_bytes;
  details->has_factors = factors.defined();
  if (factors.defined()) inputs.push_back(factors);
  details->autograd = c10::GradMode::is_enabled();
  return HeadLoss::apply(at::TensorList(inputs), details);
}

}  // namespace

at::Tensor head_loss(const at::Tensor& hidden, const VocabularyHead& head, const ChunkLossFunction& loss,
                     const at::Tensor& factors, std::int64_t chunk_bytes) {
  variable_list inputs{hidden};
  auto details = c10::make_intrusive<ChunkLossDetails>();
  details->inputs = HeadInputs(head, inputs);
  return apply(std::move(inputs), std::move(details), loss, factors, chunk_bytes);
}

at::Tensor logits_loss(const at::Tensor& logits, const ChunkLossFunction& loss, const at::Tensor& factors,
                       std::int64_t chunk_bytes) {
  auto details = c10::make_intrusive<ChunkLossDetails>();
  details->whole = true;
  return apply({logits}, std::move(details), loss, factors, chunk_bytes);
}

ChunkLoss chunk_loss_by_autograd(const at::Tensor& logits, const at::Tensor& factors, bool gradient,
                                 const std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>& loss) {
  if (!gradient) return {.loss = loss(logits, factors)};
  const c10::AutoGradMode with_gradients(true);
  const auto leaf = [](const at::Tensor& x) { return x.defined() ? x.detach().requires_grad_(true) : x; };
  const at::Tensor inputs = leaf(logits), numbers = leaf(factors);
  const at::Tensor sum = loss(inputs, numbers);
  sum.backward();
  return {
      .loss = sum.detach(), .gradient = inputs.grad(), .factor_gradient = numbers.defined() ? numbers.grad() : numbers};
}

}  // namespace powerhouse::ops
