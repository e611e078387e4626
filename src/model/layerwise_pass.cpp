#include "model/layerwise_pass.h"

#include <c10/core/GradMode.h>

#include "model/decoder_pass.h"

namespace powerhouse {

struct LayerwisePass::State {
  const Decoder& decoder;
  PackedBatch batch;
  HookTable no_hooks{};
  Decoder::Pass pass;

  State(const Decoder& decoder_, PackedBatch batch_)
      : decoder(decoder_), batch(std::move(batch_)), pass{batch, nullptr, no_hooks, {}, at::kCPU} {
    pass.layerwise = true;
    decoder.prepare(pass);
  }
};

LayerwisePass::LayerwisePass(const Decoder& decoder, PackedBatch batch)
    : state_(std::make_unique<State>(decoder, std::move(batch))) {}
LayerwisePass::~LayerwisePass() = default;
LayerwisePass::LayerwisePass(LayerwisePass&&) noexcept = default;

at::Tensor LayerwisePass::embeddings() const {
  const c10::AutoGradMode no_gradients(false);
  return state_->decoder.embed(state_->pass);
}

at::Tensor LayerwisePass::layer(std::int64_t index, const at::Tensor& x, const LinearObserver& observer) {
  const c10::AutoGradMode no_gradients(false);
  state_->pass.observer = observer ? &observer : nullptr;
  return state_->decoder.layer(state_->pass, index, x);
}

at::Tensor LayerwisePass::attention(std::int64_t index, const at::Tensor& x) {
  const c10::AutoGradMode no_gradients(false);
  state_->pass.observer = nullptr;
  return state_->decoder.attention(state_->pass, index, x);
}

at::Tensor LayerwisePass::mlp(std::int64_t index, const at::Tensor& x) {
  const c10::AutoGradMode no_gradients(false);
  state_->pass.observer = nullptr;
  return state_->decoder.mlp(state_->pass, index, x);
}

at::Tensor LayerwisePass::logits(const at::Tensor& x) {
  const c10::AutoGradMode no_gradients(false);
  state_->pass.observer = nullptr;
  return state_->decoder.logits(state_->decoder.final_hidden(state_->pass, x));
}

}  // namespace powerhouse
