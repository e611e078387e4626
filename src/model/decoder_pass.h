// What the files of Decoder share: the state of one pass.
#pragma once

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "model/adapted_module.h"
#include "model/decoder.h"
#include "model/device_pages.h"
#include "model/layerwise_pass.h"
#include "ops/documents.h"
#include "ops/rope.h"

namespace powerhouse {

// What every layer of one pass shares.
struct Decoder::Pass {
  const PackedBatch& batch;
  KvCache* cache;
  const HookTable& hooks;
  const Arithmetic arithmetic;
  const at::Device device;
  const TrainingPass* training = nullptr;
  // What the host makes, where the model is (decoder_inputs.cpp).
  std::vector<ops::RopeTable> rope_tables{};   // one for each distinct RoPE
  std::vector<at::Tensor> slopes{};            // and ALiBi, on a device
  ops::DeviceDocuments documents{};            // where attention is a device's, without a cache
  std::shared_ptr<const DevicePages> pages{};  // and with one
  at::Tensor ids{}, positions{}, logits_rows{};
  std::vector<at::Tensor> early{};  // rows of logits in front of the layers that PackedBatch::early names, in its order
  bool layerwise = false;           // a LayerwisePass, which never has the whole model in memory
  const LinearObserver* observer = nullptr;
  bool few_rows = false;  // a step of decoding whose launches may be joined (decoder_few_rows.cpp)

  const ModuleAdapters* adapters(std::int64_t layer, Role role) const {
    return arithmetic.adapters == nullptr ? nullptr : arithmetic.adapters->find(layer, role);
  }

  AdaptedPass adapted() const {
    return {.numerics = arithmetic.numerics,
            .dropout_key = arithmetic.dropout_key,
            .keep_blocks = training != nullptr || !device.is_cpu()};
  }

  at::Tensor hook(HookPoint point, std::int64_t layer, at::Tensor activation) const {
    if (hooks.empty()) return activation;
    return hooks.apply(
        std::move(activation),
        {.point = point, .layer = layer, .position_ids = batch.position_ids, .cu_seqlens = batch.cu_seqlens});
  }
};

// A pass that runs again in the backward pass, with all that it refers to.
struct Decoder::KeptPass {
  PackedBatch batch;
  TrainingPass training;
  HookTable no_hooks;
  Pass pass;

  explicit KeptPass(const Pass& from)
      : batch(from.batch), training(*from.training), pass{batch,         nullptr,   no_hooks,         from.arithmetic,
                                                          from.device,   &training, from.rope_tables, from.slopes,
                                                          from.documents} {}
};

/// Whether decoder_few_rows.cpp knows the wiring: a norm in front of each branch, one behind the other.
inline bool joins_launches(const Block& block) {
  return block.norm_place == NormPlace::before && block.residual == Residual::sequential && !block.residual_from_norm &&
         block.residual_multiplier == 1.0f && block.attention.qkv == QkvLayout::separate && !block.attention.clip_qkv &&
         !block.mlp.moe && !block.mlp.fused_gate_up;
}

/// What scores are multiplied by.
inline float score_scale(const Block& block) {
  return block.attention.scale.value_or(1.0f / std::sqrt(static_cast<float>(block.attention.head_dim)));
}

}  // namespace powerhouse
