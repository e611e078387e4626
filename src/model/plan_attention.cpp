// Attention of a pass: heads are normed, turned and written into the cache, then attended over its pages.
#include <algorithm>

#include "model/plan_pass.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

// Attention over more positions is a large share of a prompt's time: it goes by products of bf16 where weights are
// quantized. Whoever keeps them in bf16 gets float32: pairs of bf16 cost twice what rounding the products' rows does.
constexpr std::int64_t kExactLength = 256;

}  // namespace

void PlanPass::attention(const Worker& worker, const PlanLayer& layer) {
  const std::int64_t hidden = plan_.config_.hidden_size;
  PlanInput& input = prepare(worker, layer.qkv, {buffers_.x.data(), hidden, &layer.attention_norm});
  look(HookPoint::attention_norm, index_of(layer), input);
  if (worker.index == 0) cut_rows(layer);
  multiply(worker, layer.qkv, input, rows_, buffers_.qkv.data());
  look_at_heads(layer);
  // Side by side, the MLP reads x before attention is added to it.
  if (layer.block->residual != Residual::sequential) {
    const bool same = layer.block->residual == Residual::parallel_shared_norm;
    worker.wait();
    up_product(worker, layer, same ? layer.attention_norm : layer.mlp_norm);
  }
  worker.wait();
  turn_heads(worker, layer);
  look_at_heads(layer);
  // Where rows are cut, a worker attends to what others turned.
  if (!alone_ || buffers_.parts.cut()) worker.wait();
  attend(worker, layer);
  worker.wait();
  if (buffers_.parts.cut()) {
    merge(worker, layer);
    worker.wait();
  }
  look(HookPoint::attention_context, index_of(layer), buffers_.context.data(), layer.query_width());
  PlanInput& context = prepare(worker, layer.output, {buffers_.context.data(), layer.query_width()});
  add_branch(worker, layer.output, context, *layer.block, layer.attention_post_norm);
}

void PlanPass::cut_rows(const PlanLayer& layer) {
  const Attention& attention = layer.block->attention;
  buffers_.parts.begin(attention.num_key_value_heads, attention.num_heads, attention.head_dim);
  for (std::size_t i = 0; i < buffers_.sequences.size(); ++i) {
    const std::int64_t count = batch_.cu_seqlens[i + 1] - batch_.cu_seqlens[i];
    if (!one_by_one(count)) continue;
    for (std::int64_t k = 0; k < count; ++k) buffers_.parts.add(row_of(layer, i, k));
  }
  buffers_.parts.end();
}

// The k-th new row of a sequence.
cpu::AttentionRow PlanPass::row_of(const PlanLayer& layer, std::size_t sequence, std::int64_t k) const {
  const PlanSequence& from = buffers_.sequences[sequence];
  const std::int64_t number = batch_.cu_seqlens[sequence] + k;
  cpu::AttentionRow row = ops::row_at(from.before + k, layer.block->attention.sliding_window.value_or(0));
  row.q = buffers_.qkv.data() + number * layer.qkv.width();
  row.out = buffers_.context.data() + number * layer.query_width();
  const KvCache::Pages& pages = from.pages[cache_.table_of(index_of(layer))];
  row.key_pages = pages.keys.data();
  row.value_pages = pages.values.data();
  return row;
}

// Norms over all heads of a row together.
void PlanPass::norm_whole_heads(const PlanLayer& layer, std::int64_t row) {
  float* const query = buffers_.qkv.data() + row * layer.qkv.width();
  float* const key = query + layer.query_width();
  norm_row(kernels_, *layer.q_norm, query, query, layer.query_width());
  norm_row(kernels_, *layer.k_norm, key, key, layer.key_value_width());
}

void PlanPass::turn_heads(const Worker& worker, const PlanLayer& layer) {
  const Attention& attention = layer.block->attention;
  const Range rows = worker.share_of(rows_);
  if (attention.clip_qkv) {
    float* const data = buffers_.qkv.data();
    for (std::int64_t i = rows.begin * layer.qkv.width(); i < rows.end * layer.qkv.width(); ++i) {
      data[i] = std::clamp(data[i], -*attention.clip_qkv, *attention.clip_qkv);
    }
    worker.wait();
  }
  const std::int64_t kv_heads = attention.num_key_value_heads;
  const bool whole = attention.qk_norm && attention.qk_norm->scope == QkNormScope::whole;
  const bool turned = whole && attention.qk_norm->after_rope;
  if (whole) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      for (std::int64_t head = 0; turned && head < kv_heads; ++head) turn_head(layer, row, head);
      norm_whole_heads(layer, row);
    }
    worker.wait();
  }
  // Shared as `attend` shares single rows: there a worker reads only what it turned itself.
  const Range items = worker.share_of(rows_ * kv_heads);
  for (std::int64_t item = items.begin; item < items.end; ++item) {
    if (!turned) turn_head(layer, item / kv_heads, item % kv_heads);
    write_key_value(layer, item / kv_heads, item % kv_heads);
  }
}

// A key-value head of one row with the query heads that read it.
void PlanPass::turn_head(const PlanLayer& layer, std::int64_t row, std::int64_t kv_head) {
  const Block& block = *layer.block;
  const Attention& attention = block.attention;
  const std::int64_t dim = attention.head_dim;
  const std::int64_t group = attention.num_heads / attention.num_key_value_heads;
  float* const query = buffers_.qkv.data() + row * layer.qkv.width() + kv_head * group * dim;
  float* const key = buffers_.qkv.data() + row * layer.qkv.width() + layer.query_width() + kv_head * dim;
  const auto norm = [&](bool after_rope) {
    if (!attention.qk_norm || attention.qk_norm->scope == QkNormScope::whole) return;
    if (attention.qk_norm->after_rope != after_rope) return;
    norm_heads(*layer.q_norm, query, dim, group, kv_head * group);
    norm_heads(*layer.k_norm, key, dim, 1, kv_head);
  };
  norm(false);
  if (block.position == PositionKind::rope) {
    const std::int64_t pairs = block.rope.rotary_dim / 2;
    cpu::RopeParams params{.data = query,
                           .cos = buffers_.cos[layer.rope].data() + row * pairs,
                           .sin = buffers_.sin[layer.rope].data() + row * pairs,
                           .heads = group,
                           .rotary_dim = block.rope.rotary_dim,
                           .head_stride = dim,
                           .interleaved = block.rope.layout == RopeLayout::interleaved};
    kernels_.rope(params, 0, group);
    params.data = key;
    params.heads = 1;
    kernels_.rope(params, 0, 1);
  }
  norm(true);
}

void PlanPass::write_key_value(const PlanLayer& layer, std::int64_t row, std::int64_t kv_head) {
  const std::int64_t dim = layer.block->attention.head_dim;
  const float* const key = buffers_.qkv.data() + row * layer.qkv.width() + layer.query_width() + kv_head * dim;
  const float* const value = key + layer.key_value_width();
  const auto number = static_cast<std::size_t>(buffers_.sequence_of[static_cast<std::size_t>(row)]);
  const PlanSequence& sequence = buffers_.sequences[number];
  const std::int64_t position = sequence.before + row - batch_.cu_seqlens[number];
  const auto page = static_cast<std::size_t>(position / cache_.page_tokens());
  const std::int64_t place =
      cache_.page_offset(index_of(layer)) + position % cache_.page_tokens() * layer.key_value_width() + kv_head * dim;
  const auto write = [&](BlockFormat type, const float* from, const void* base) {
    auto* const to = static_cast<char*>(const_cast<void*>(base)) + cpu::cache_bytes(type, place);
    kernels_.store_cache({.cache_type = type, .source = from, .destination = to}, 0, dim);
  };
  const KvCache::Pages& pages = sequence.pages[cache_.table_of(index_of(layer))];
  write(cache_.formats().keys, key, pages.keys[page]);
  write(cache_.formats().values, value, pages.values[page]);
}

void PlanPass::norm_heads(const PlanNorm& norm, float* heads, std::int64_t dim, std::int64_t count,
                          std::int64_t first) {
  for (std::int64_t i = 0; i < count; ++i) {
    norm_row(kernels_, norm, heads + i * dim, heads + i * dim, dim, (first + i) * norm.weight_head_stride);
  }
}

cpu::AttentionShape PlanPass::shape_of(const PlanLayer& layer) const {
  const Block& block = *layer.block;
  const Attention& attention = block.attention;
  return {.type = Element::f32,
          .key_type = cache_.formats().keys,
          .value_type = cache_.formats().values,
          .num_kv_heads = attention.num_key_value_heads,
          .group = attention.num_heads / attention.num_key_value_heads,
          .head_dim = attention.head_dim,
          .page_tokens = cache_.page_tokens(),
          .page_offset = cache_.page_offset(index_of(layer)),
          .token_stride = layer.key_value_width(),
          .kv_head_stride = attention.head_dim,
          .q_head_stride = attention.head_dim,
          .out_head_stride = attention.head_dim,
          .scale = layer.scale,
          .softcap = attention.softcap.value_or(0.0f),
          .alibi_slopes = layer.alibi_slopes.empty() ? nullptr : layer.alibi_slopes.data(),
          .alibi_in_bf16 = block.position == PositionKind::alibi && block.alibi.bf16_rounding,
          .sinks = layer.sinks.empty() ? nullptr : layer.sinks.data()};
}

void PlanPass::attend(const Worker& worker, const PlanLayer& layer) {
  const cpu::AttentionShape shape = shape_of(layer);
  float* const scratch = worker.own.scratch.data();
  for (std::size_t i = 0; i < buffers_.sequences.size(); ++i) {
    const PlanSequence& sequence = buffers_.sequences[i];
    const std::int64_t first = batch_.cu_seqlens[i];
    const std::int64_t count = batch_.cu_seqlens[i + 1] - first;
    if (one_by_one(count)) continue;
    if (plan_.numerics_ == Numerics::exact) {
      // Later rows see more: they take turns.
      for (std::int64_t k = worker.index; k < count; k += worker.count) {
        worker.own.parts.attend(shape, row_of(layer, i, k), scratch);
      }
      continue;
    }
    cpu::PrefillParams params{shape};
    params.q = buffers_.qkv.data() + first * layer.qkv.width();
    params.out = buffers_.context.data() + first * layer.query_width();
    const KvCache::Pages& pages = sequence.pages[cache_.table_of(index_of(layer))];
    params.key_pages = pages.keys.data();
    params.value_pages = pages.values.data();
    params.rows = count;
    params.length = sequence.before + count;
    params.bf16_products = params.length > kExactLength && layer.qkv.reads_codes();
    params.window = layer.block->attention.sliding_window.value_or(0);
    params.q_row_stride = layer.qkv.width();
    params.out_row_stride = layer.query_width();
    const Range items = worker.share_of(cpu::prefill_items(params));
    if (items.begin < items.end) kernels_.prefill_attention(params, items.begin, items.end, scratch);
  }
  const ops::AttentionParts& parts = buffers_.parts;
  if (parts.empty()) return;
  const cpu::AttentionParams params{shape, parts.rows()};
  // Whole rows are shared as `turn_heads` shares them.
  const Range items = parts.cut() ? parts.share_of(worker.index, worker.count) : worker.share_of(parts.items());
  if (items.begin < items.end) kernels_.attention(params, items.begin, items.end, scratch);
}

// The rows that were cut.
void PlanPass::merge(const Worker& worker, const PlanLayer& layer) const {
  const Range items = worker.share_of(buffers_.parts.merge_items());
  if (items.begin == items.end) return;
  const Attention& attention = layer.block->attention;
  kernels_.merge_attention({.num_heads = attention.num_heads,
                            .head_dim = attention.head_dim,
                            .out_head_stride = attention.head_dim,
                            .sinks = layer.sinks.empty() ? nullptr : layer.sinks.data(),
                            .rows = buffers_.parts.merges()},
                           items.begin, items.end);
}

}  // namespace powerhouse
