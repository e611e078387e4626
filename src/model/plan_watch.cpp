// Where numbers stop being finite in a plan: the pass once more on one thread, with a look at every activation.
#include "model/plan_pass.h"
#include "ops/tensors.h"

namespace powerhouse {

void PlanWatch::look(PlanPoint at, const float* values, std::int64_t rows, std::int64_t width,
                     std::int64_t stride) noexcept {
  if (found_ && (found_->layer != at.layer || found_->point <= at.point)) return;
  for (std::int64_t row = 0; row < rows; ++row) {
    if (cpu::kernels().first_not_finite(values + row * stride, Element::f32, 0, width) < 0) continue;
    found_ = at;
    return;
  }
}

// Before RoPE, and once more behind it and the norms.
void PlanPass::look_at_heads(const PlanLayer& layer) const {
  if (watch_ == nullptr) return;
  const float* const query = buffers_.qkv.data();
  const float* const key = query + layer.query_width();
  const std::int64_t index = index_of(layer);
  const std::int64_t width = layer.key_value_width();
  watch_->look({HookPoint::query, index}, query, rows_, layer.query_width(), layer.qkv.width());
  watch_->look({HookPoint::key, index}, key, rows_, width, layer.qkv.width());
  watch_->look({HookPoint::value, index}, key + width, rows_, width, layer.qkv.width());
}

std::optional<PlanPoint> Plan::first_not_finite(const PackedBatch& batch, KvCache& cache,
                                                const PlanAdapters* adapters) const {
  const std::int64_t count = batch.logits_count();
  const at::Tensor logits = empty_tensor({count, config_.vocab_size}, at::kFloat);
  std::unique_ptr<PlanBuffers> buffers = take_buffers();
  PlanPass pass(*this, batch, cache, *buffers, adapters, 1, count > 0 ? logits.mutable_data_ptr<float>() : nullptr);
  PlanWatch watch;
  pass.watch(watch);
  Barrier alone;
  pass.run(0, 1, alone);
  give_back(std::move(buffers));
  if (!watch.found()) {
    watch.look({HookPoint::logits, -1}, logits.const_data_ptr<float>(), count, config_.vocab_size, config_.vocab_size);
  }
  return watch.found();
}

}  // namespace powerhouse
