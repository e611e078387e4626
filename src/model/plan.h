// Plan: a decoder compiled for inference on the CPU. The same choices of ModelConfig as Decoder reads, as steps of our
// own kernels over buffers that are made once: one parallel region a pass with barriers between steps, no LibTorch on
// the way. Weights of blocks and of bf16 are packed for products (kernels/common/packed.h, packed_bf16.h); activations
// in front of blocks are quantized to 15 bits, those of long prompts rounded to bf16; everything between is float32.
//
// The plan serves sessions of models as their files have them, whatever their family. Hooks, gradients and the padded
// forward are Decoder's, and so is a model whose compute type was named.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "model/decoder.h"
#include "model/plan_parts.h"

namespace powerhouse {

class PlanAdapters;
struct PlanBuffers;

/// A point of a pass, as hooks name them; layer -1 outside layers.
struct PlanPoint {
  HookPoint point = HookPoint::logits;
  std::int64_t layer = -1;
};

class Plan {
 public:
  /// Whether all choices of the config have steps here: all but ALiBi in roundings that the kernels don't know, which
  /// no family calls for (ops::kernels_take).
  static bool has_steps(const ModelConfig& config);
  /// Both must outlive the plan. Null where the config has choices without steps.
  static std::unique_ptr<const Plan> compile(const ModelConfig& config, const DecoderWeights& weights,
                                             Numerics numerics = Numerics::fast);
  ~Plan();

  /// As Decoder::forward with a cache and without hooks; null `adapters`: none. From any thread.
  at::Tensor forward(const PackedBatch& batch, KvCache& cache, const PlanAdapters* adapters = nullptr) const;

  /// Where the first number that is not finite comes up in the same pass, on one thread. The cache's reserved room is
  /// written again with the same values.
  std::optional<PlanPoint> first_not_finite(const PackedBatch& batch, KvCache& cache,
                                            const PlanAdapters* adapters = nullptr) const;

  /// The products of a layer, for who multiplies by them outside a pass (model/exact_product.h); -1: those outside
  /// layers. Null where they have no such matrix; where query, key and value are one, each has its part of it.
  const PlanMatrix* matrix(std::int64_t layer, Role role) const;
  const PlanMoe& moe(std::int64_t layer) const { return *layers_[static_cast<std::size_t>(layer)].moe; }

  /// Bytes that the plan itself holds: packed and copied weights, norms and biases.
  std::size_t bytes() const;
  /// Bytes that it reads from the file: embeddings row by row, and matrices that are multiplied as they lie.
  std::size_t mapped_bytes() const;
  /// Of both, what the pass of one token reads: all matrices, but only the experts that it is given to.
  std::size_t bytes_per_token() const;
  /// Bytes of the buffers that wait for the next passes.
  std::size_t waiting_bytes() const;

 private:
  friend class PlanPass;
  Plan(const ModelConfig& config, const DecoderWeights& weights, Numerics numerics);
  void compile_layers();
  std::size_t bytes_in_file() const;  // of matrices
  std::unique_ptr<PlanBuffers> take_buffers() const;
  void give_back(std::unique_ptr<PlanBuffers> buffers) const noexcept;

  const ModelConfig& config_;
  const DecoderWeights& weights_;
  Numerics numerics_;
  std::vector<PlanLayer> layers_;
  std::vector<PlanRope> ropes_;
  PlanSizes sizes_;
  std::optional<PlanNorm> embedding_norm_, final_norm_;
  PlanProduct project_in_, project_out_, head_;
  mutable std::mutex mutex_;
  // Of passes that are over, and behind each the next; one for each pass that ever ran beside others. Those that grew
  // beyond kKeptBytes, for the rows of a long prompt, are let go.
  mutable std::unique_ptr<PlanBuffers> free_buffers_;
};

}  // namespace powerhouse
