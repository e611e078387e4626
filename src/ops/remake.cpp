#include "ops/remake.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/functions/utils.h>

#include "ops/autograd.h"

namespace powerhouse::ops {
namespace {

thread_local bool keep_everything = false;

}  // namespace

at::Tensor RemakingNode::record(const std::shared_ptr<RemakingNode>& node, at::TensorList inputs) {
  for (const at::Tensor& input : inputs) {
    if (torch::autograd::isFwGradDefined(input)) {
      throw Error(ErrorKind::unsupported, "no forward-mode derivative of this operation", {.field = node->name()});
    }
    node->inputs_.emplace_back(input, /*is_output=*/false);
  }
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  at::Tensor y;
  {
    const c10::AutoGradMode off(false);
    y = node->value(inputs);
  }
  torch::autograd::set_history(y, node);
  return y;
}

RemakingNode::Tensors RemakingNode::unpacked() const {
  Tensors inputs;
  for (const auto& input : inputs_) inputs.push_back(input.unpack());
  return inputs;
}

at::Tensor RemakingNode::output() {
  const std::lock_guard lock(mutex_);
  if (!output_.defined()) {
    const c10::AutoGradMode off(false);
    output_ = value(unpacked());
  }
  return output_;
}

void RemakingNode::hold(const at::Tensor& y) {
  const std::lock_guard lock(mutex_);
  output_ = y.detach();  // else it would hold this node
}

torch::autograd::variable_list RemakingNode::apply(torch::autograd::variable_list&& gradients_of_y) {
  const std::lock_guard lock(mutex_);
  output_.reset();
  if (!gradients_of_y[0].defined()) return torch::autograd::variable_list(inputs_.size());
  once_differentiable(name().c_str());
  std::vector<bool> wanted;
  for (std::size_t i = 0; i < inputs_.size(); ++i) wanted.push_back(task_should_compute_output(i));
  const at::Tensor dy = std::move(gradients_of_y[0]);
  return gradients(unpacked(), dy, wanted);
}

void RemakingNode::release_variables() {
  const std::lock_guard lock(mutex_);
  output_.reset();
  for (auto& input : inputs_) input.reset_data();
}

std::shared_ptr<RemakingNode> remaking_node(const at::Tensor& x) {
  if (keep_everything || !x.requires_grad()) return nullptr;
  return std::dynamic_pointer_cast<RemakingNode>(x.grad_fn());
}

KeepEverything::KeepEverything() : before_(keep_everything) { keep_everything = true; }
KeepEverything::~KeepEverything() { keep_everything = before_; }

}  // namespace powerhouse::ops
