// LayerwisePass: a pass that its caller takes layer by layer, and may change weights on the way. What runs text through
// a model in order to quantize it sees here what each linear map is about to multiply, before its weight is read.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "model/decoder.h"

namespace powerhouse {

/// Of a linear map of a layer, or of one expert's (else -1): its input, [rows, in]. Maps that read the same input get
/// the same tensor, one after the other. It may write to the map's weight; what it throws ends the pass.
using LinearObserver = std::function<void(std::int64_t layer, Role role, std::int64_t expert, const at::Tensor& x)>;

/// Without a cache, adapters, hooks and gradients; of a model on the CPU, in fast numerics.
class LayerwisePass {
 public:
  /// The decoder must outlive the pass. Of the batch, embeddings look at ids, layers at the rest.
  LayerwisePass(const Decoder& decoder, PackedBatch batch);
  ~LayerwisePass();
  LayerwisePass(LayerwisePass&&) noexcept;
  LayerwisePass& operator=(LayerwisePass&&) = delete;

  /// What the first layer reads, [rows, hidden].
  at::Tensor embeddings() const;
  /// What a layer makes of that.
  at::Tensor layer(std::int64_t index, const at::Tensor& x, const LinearObserver& observer = {});
  /// What attention, or the MLP, of a layer makes of what it reads (behind a norm in front, before one behind it).
  at::Tensor attention(std::int64_t index, const at::Tensor& x);
  at::Tensor mlp(std::int64_t index, const at::Tensor& x);
  /// What the head makes of what the last layer made: float32 [rows, vocabulary] of the batch's logits_rows.
  at::Tensor logits(const at::Tensor& x);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace powerhouse
