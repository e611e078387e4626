// Nodes of the graph that can make their output again. A product needs its input in backward; where that is the output
// of a norm or an activation, it asks that node for it and keeps no tensor: the node keeps its own inputs anyway.
//
// It may ask until the node's own backward has run, which frees them, and that comes after the product's. Two backward
// passes over parts of one graph need retain_graph, as anywhere.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace powerhouse::ops {

/// The autograd node of an operation with one output. It saves the inputs alone.
class RemakingNode : public torch::autograd::Node {
 public:
  /// The operation's value for `inputs`, with `node` as its history.
  static at::Tensor record(const std::shared_ptr<RemakingNode>& node, at::TensorList inputs);

  /// The output, made again when first asked for and held until this node's own backward. LibTorch's errors where a
  /// saved input was changed in place or is freed.
  at::Tensor output();
  /// `y`, this node's output, is asked for next: it is not made again.
  void hold(const at::Tensor& y);

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) final;
  void release_variables() final;

 protected:
  using Tensors = std::vector<at::Tensor>;
  virtual at::Tensor value(at::TensorList inputs) const = 0;
  /// One for each input, undefined where `wanted` (by place) is false.
  virtual Tensors gradients(const Tensors& inputs, const at::Tensor& dy, const std::vector<bool>& wanted) const = 0;

 private:
  Tensors unpacked() const;

  std::mutex mutex_{};
  std::vector<torch::autograd::SavedVariable> inputs_{};
  at::Tensor output_{};
};

/// A node with nothing pending, as autograd frees nodes of deep graphs.
template <typename Node, typename... Arguments>
std::shared_ptr<RemakingNode> make_node(Arguments&&... arguments) {
  return {new Node(std::forward<Arguments>(arguments)...), torch::autograd::deleteNode};
}

/// The node that can make x again; null where there is none.
std::shared_ptr<RemakingNode> remaking_node(const at::Tensor& x);

/// While it lives, remaking_node finds none on this thread: to hold memory and gradients against.
class KeepEverything {
 public:
  KeepEverything();
  ~KeepEverything();
  KeepEverything(const KeepEverything&) = delete;
  KeepEverything& operator=(const KeepEverything&) = delete;

 private:
  bool before_;
};

}  // namespace powerhouse::ops
