// Room for a pass: what the plan's widest layer takes, for as many rows as the batch has and as many workers.
#include <algorithm>

#include "model/plan_pass.h"

namespace powerhouse {

void PlanRowSize::include(const PlanProduct& product) {
  if (product.matrices.empty()) return;
  const std::int64_t size = stride(product.matrices.front().inputs);
  floats = std::max(floats, size);
  if (product.reads_codes()) codes = std::max(codes, size);
  if (product.reads_bf16()) bf16 = std::max(bf16, size);
  if (product.order()) {
    ordered = std::max(ordered, size);
    if (product.reads_bf16()) ordered_bf16 = std::max(ordered_bf16, size);
  }
  for (const PlanMatrix& matrix : product.matrices) {
    if (matrix.blocks) tile = std::max(tile, cpu::kGemmMaxPanels * kPanelRows * matrix.inputs);
  }
}

void PlanSizes::include(const PlanLayer& layer) {
  const Attention& attention = layer.block->attention;
  const std::int64_t group = attention.num_heads / attention.num_key_value_heads;
  qkv = std::max(qkv, layer.qkv.width());
  context = std::max(context, layer.query_width());
  up = std::max(up, layer.up.width());
  partial = std::max(partial, cpu::attention_partial_floats(attention.num_heads, attention.head_dim));
  scratch = std::max({scratch, cpu::attention_scratch_floats(group, attention.head_dim),
                      cpu::prefill_scratch_floats(group, attention.head_dim)});
  for (const PlanProduct* product : {&layer.qkv, &layer.output, &layer.up, &layer.down}) input.include(*product);
  if (!layer.moe) return;
  const Moe& moe = *layer.block->mlp.moe;
  input.include(layer.moe->router);
  for (const PlanProduct* product : {&layer.moe->up, &layer.moe->down, &layer.moe->shared_down}) {
    routed.include(*product);
  }
  router = std::max(router, layer.moe->router.width());
  chosen = std::max(chosen, moe.num_experts_per_tok);
  experts = std::max(experts, moe.num_experts);
  up = std::max(up, moe.num_experts_per_tok * 2 * moe.intermediate_size);
}

void PlanInput::reserve(std::int64_t rows, const PlanRowSize& size) {
  grow(many, rows);
  grow(floats, rows * size.floats);
  grow(codes, rows * size.codes);
  grow(scales, rows * size.codes / 32);
  grow(totals, rows * size.codes / 32);
  grow(sums, rows * size.codes / 16);
  grow(bf16, rows * size.bf16);
  grow(ordered, rows * size.ordered);
  grow(ordered_bf16, rows * size.ordered_bf16);
}

std::size_t PlanInput::bytes() const {
  return (floats.size() + ordered.size() + scales.size() + totals.size()) * sizeof(float) +
         codes.size() * sizeof(std::int16_t) + sums.size() * sizeof(std::int32_t) +
         (bf16.size() + ordered_bf16.size()) * sizeof(std::uint16_t);
}

std::size_t PlanBuffers::bytes() const {
  std::size_t floats = 0;
  for (const std::vector<float>* part :
       {&x, &qkv, &context, &up, &branch, &early, &embedded, &router, &expert, &low_rank}) {
    floats += part->size();
  }
  for (const auto* tables : {&cos, &sin}) {
    for (const std::vector<float>& table : *tables) floats += table.size();
  }
  return floats * sizeof(float) + input.bytes() + routed.bytes();
}

void PlanRoutes::reserve(std::int64_t slots, std::int64_t expert_count) {
  grow(experts, slots);
  grow(weights, slots);
  grow(places, slots);
  first.reserve(static_cast<std::size_t>(expert_count) + 1);
}

void PlanPass::make_room(int workers) {
  const PlanSizes& sizes = plan_.sizes_;
  const std::int64_t hidden = plan_.config_.hidden_size;
  const std::int64_t most = std::max(rows_, batch_.logits_count());
  if (!batch_.early.empty()) grow(buffers_.early, batch_.logits_count() * hidden);
  grow(buffers_.x, rows_ * hidden);
  grow(buffers_.branch, rows_ * hidden);
  grow(buffers_.qkv, rows_ * sizes.qkv);
  grow(buffers_.context, rows_ * sizes.context);
  grow(buffers_.up, rows_ * sizes.up);
  grow(buffers_.embedded, rows_ * plan_.config_.embedding_size);
  if (most > kOwnRows) buffers_.input.reserve(most, sizes.input);
  if (adapters_ != nullptr) grow(buffers_.low_rank, most * adapters_->width());
  const std::int64_t slots = rows_ * sizes.chosen;
  if (slots > 0) {
    grow(buffers_.router, rows_ * sizes.router);
    grow(buffers_.expert, rows_ * hidden);
    if (slots > kOwnSlots) buffers_.routed.reserve(slots, sizes.routed);
    if (rows_ > kOwnRows) buffers_.routes.reserve(slots, sizes.experts);
  }
  const bool many = std::find(buffers_.many.begin(), buffers_.many.end(), 1) != buffers_.many.end();
  if (static_cast<int>(buffers_.own.size()) < workers) buffers_.own.resize(static_cast<std::size_t>(workers));
  for (PlanBuffers::Own& own : buffers_.own) {
    grow(own.scratch, many || adapters_ != nullptr ? std::max(sizes.scratch, cpu::kGemmScratchFloats) : sizes.scratch);
    grow(own.tile, std::max(sizes.input.tile, sizes.routed.tile));
    if (adapters_ != nullptr) grow(own.low_rank, kLowRankFloats);
    own.input.reserve(kOwnRows, sizes.input);
    if (slots == 0) continue;
    grow(own.probabilities, sizes.experts);
    own.routed.reserve(kOwnSlots, sizes.routed);
    if (rows_ <= kOwnRows) own.routes.reserve(slots, sizes.experts);
  }
}

// Room for the rows that are attended one by one, in whichever layer.
void PlanPass::make_attention_room() {
  std::size_t rows = 0, parts = 0, most = 0;
  for (std::size_t i = 0; i < buffers_.sequences.size(); ++i) {
    const std::int64_t count = batch_.cu_seqlens[i + 1] - batch_.cu_seqlens[i];
    const std::size_t of_last = ops::AttentionParts::parts_up_to(buffers_.sequences[i].before + count);
    if (one_by_one(count)) {
      rows += static_cast<std::size_t>(count);
      parts += static_cast<std::size_t>(count) * of_last;
    } else {
      most = std::max(most, of_last);
    }
  }
  buffers_.parts.reserve(rows, parts, plan_.sizes_.partial);
  if (plan_.numerics_ != Numerics::exact || most == 0) return;
  for (PlanBuffers::Own& own : buffers_.own) own.parts.reserve(1, most, plan_.sizes_.partial);
}

}  // namespace powerhouse
