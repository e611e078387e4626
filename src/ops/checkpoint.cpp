#include "ops/checkpoint.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <utility>

namespace powerhouse::ops {
namespace {

using torch::autograd::variable_list;

struct CheckpointBackward : torch::autograd::Node {
  std::function<at::Tensor(const at::Tensor&)> piece;
  at::Tensor x;  // detached
  std::vector<at::Tensor> parameters;

  variable_list apply(variable_list&& gradients) override {
    variable_list out(1 + parameters.size());
    if (!gradients[0].defined()) return out;
    const c10::AutoGradMode recording(true);
    const at::Tensor input = x.detach().set_requires_grad(task_should_compute_output(0));
    variable_list inputs;
    std::vector<std::size_t> places;
    if (input.requires_grad()) {
      inputs.push_back(input);
      places.push_back(0);
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!task_should_compute_output(i + 1)) continue;
      inputs.push_back(parameters[i]);
      places.push_back(i + 1);
    }
    if (inputs.empty()) return out;
    const variable_list inner =
        torch::autograd::grad({piece(input)}, inputs, {gradients[0]}, /*retain_graph=*/false, /*create_graph=*/false,
                              /*allow_unused=*/true);
    for (std::size_t i = 0; i < places.size(); ++i) out[places[i]] = inner[i];
    return out;
  }

  void release_variables() override {
    piece = nullptr;
    x.reset();
    parameters.clear();
  }
};

}  // namespace

at::Tensor checkpoint(std::function<at::Tensor(const at::Tensor&)> piece, const at::Tensor& x,
                      std::vector<at::Tensor> parameters) {
  variable_list inputs{x};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  if (!torch::autograd::compute_requires_grad(inputs)) return piece(x);
  auto node = std::shared_ptr<CheckpointBackward>(new CheckpointBackward(), torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  // With autograd looking on, as it will run again: ops may round otherwise where it does not. Its graph ends here.
  at::Tensor y = piece(x.detach().set_requires_grad(x.requires_grad())).detach();
  node->piece = std::move(piece);
  node->x = x.detach();
  node->parameters = std::move(parameters);
  torch::autograd::set_history(y, node);
  return y;
}

}  // namespace powerhouse::ops
