#include "ops/checkpoint.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <unordered_set>
#include <utility>
#include <vector>

namespace powerhouse::ops {
namespace {

using torch::autograd::variable_list;

using torch::autograd::Edge;

struct CheckpointBackward : torch::autograd::Node {
  Piece piece;
  at::Tensor x;  // detached
  torch::autograd::edge_list leaves;

  variable_list apply(variable_list&& gradients) override {
    variable_list out(1 + leaves.size());
    if (!gradients[0].defined()) return out;
    const c10::AutoGradMode recording(true);
    const at::Tensor input = x.detach().set_requires_grad(task_should_compute_output(0));
    torch::autograd::edge_list wanted;
    std::vector<std::size_t> places;
    if (input.requires_grad()) {
      wanted.push_back(torch::autograd::impl::gradient_edge(input));
      places.push_back(0);
    }
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (!task_should_compute_output(i + 1)) continue;
      wanted.push_back(leaves[i]);
      places.push_back(i + 1);
    }
    if (wanted.empty()) return out;
    // What other pieces read too, and was made outside, is not made again: its graph stays.
    const at::Tensor y = piece(input, PieceRun::again);
    const variable_list inner = torch::autograd::Engine::get_default_engine().execute(
        {torch::autograd::impl::gradient_edge(y)}, {gradients[0]}, /*keep_graph=*/true, /*create_graph=*/false,
        /*accumulate_grad=*/false, wanted);
    for (std::size_t i = 0; i < places.size(); ++i) out[places[i]] = inner[i];
    return out;
  }

  void release_variables() override {
    piece = nullptr;
    x.reset();
    leaves.clear();
  }
};

// Where the gradients go of the leaves that y was made of, but for x's.
torch::autograd::edge_list leaves_of(const at::Tensor& y, const at::Tensor& x) {
  const torch::autograd::Node* const of_x =
      x.requires_grad() ? torch::autograd::impl::gradient_edge(x).function.get() : nullptr;
  torch::autograd::edge_list leaves;
  std::unordered_set<const torch::autograd::Node*> seen{of_x};
  torch::autograd::edge_list next{torch::autograd::impl::gradient_edge(y)};
  while (!next.empty()) {
    const Edge edge = next.back();
    next.pop_back();
    if (!edge.is_valid() || !seen.insert(edge.function.get()).second) continue;
    const torch::autograd::edge_list& further = edge.function->next_edges();
    if (further.empty()) leaves.push_back(edge);  // it keeps what it is given
    next.insert(next.end(), further.begin(), further.end());
  }
  return leaves;
}

}  // namespace

at::Tensor checkpoint(Piece piece, const at::Tensor& x) {
  if (!c10::GradMode::is_enabled()) return piece(x, PieceRun::first);
  // With autograd looking on, as it will run again: ops may round otherwise where it does not. Its graph ends here.
  const at::Tensor input = x.detach().set_requires_grad(x.requires_grad());
  at::Tensor y = piece(input, PieceRun::first);
  if (!y.requires_grad()) return y;
  auto node = std::shared_ptr<CheckpointBackward>(new CheckpointBackward(), torch::autograd::deleteNode);
  node->leaves = leaves_of(y, input);
  node->set_next_edges(torch::autograd::collect_next_edges(x));
  for (const Edge& leaf : node->leaves) node->add_next_edge(leaf);
  node->piece = std::move(piece);
  node->x = x.detach();
  y = y.detach();
  torch::autograd::set_history(y, node);
  return y;
}

}  // namespace powerhouse::ops
