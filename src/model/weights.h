// DecoderWeights: every parameter of a model, by role and layer.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "model/parameters.h"
#include "ops/weight.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

/// The parameters of one layer; those a family lacks are undefined.
class LayerWeights {
 public:
  const at::Tensor& operator[](Role role) const { return weights_[index(role)].tensor(); }
  /// A matrix as rows of outputs, however it is handed out.
  at::Tensor matrix(Role role) const { return weights_[index(role)].matrix(); }
  const at::Tensor& bias(Role role) const { return biases_[index(role)].tensor(); }
  const Weight& weight(Role role) const { return weights_[index(role)]; }
  const Weight& bias_weight(Role role) const { return biases_[index(role)]; }
  Weight& slot(Role role, bool is_bias) { return (is_bias ? biases_ : weights_)[index(role)]; }

 private:
  static std::size_t index(Role role) { return static_cast<std::size_t>(role); }
  std::array<Weight, kRoleCount> weights_, biases_;
};

class DecoderWeights {
 public:
  DecoderWeights(std::vector<ParameterSpec> specs, const ModelConfig& config);

  /// What stands outside layers.
  const LayerWeights& outside() const { return outside_; }
  const Weight& lm_head_weight() const { return outside_.weight(tied_head_ ? Role::embed_tokens : Role::lm_head); }
  const at::Tensor& lm_head() const { return lm_head_weight().tensor(); }
  bool tied_head() const { return tied_head_; }
  const LayerWeights& layer(std::int64_t layer) const { return layers_[static_cast<std::size_t>(layer)]; }

  /// What the model calls for, in the order of the forward pass, and the weight that holds each.
  const std::vector<ParameterSpec>& specs() const { return specs_; }
  Weight& weight(const ParameterSpec& spec);
  /// All of them (Weight::move_to).
  void move_to(const at::Device& device);
  const Weight& weight(const ParameterSpec& spec) const { return const_cast<DecoderWeights*>(this)->weight(spec); }
  /// By Hugging Face name, in any spelling; null where there is none.
  Weight* find(std::string_view hf_name);
  /// One of the tensors that a checkpoint holds a parameter in, as a view of it and of its gradient; undefined where
  /// there is none of that name.
  at::Tensor find_part(std::string_view hf_name);

 private:
  std::vector<ParameterSpec> specs_;
  LayerWeights outside_;  // embeddings, final norm, head
  std::vector<LayerWeights> layers_;
  bool tied_head_;
};

}  // namespace powerhouse
