#include "model/decoder.h"

#include <ATen/ops/embedding_ops.h>

#include <cmath>

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

at::Tensor index_tensor(std::span<const std::int64_t> values) {
  at::Tensor tensor = empty_tensor({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.data_ptr<std::int64_t>());
  return tensor;
}

}  // namespace

void PackedBatch::add(std::span<const std::int64_t> tokens, std::int64_t first_position) {
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  for (std::size_t i = 0; i < tokens.size(); ++i) position_ids.push_back(first_position + static_cast<std::int64_t>(i));
  cu_seqlens.push_back(static_cast<std::int64_t>(ids.size()));
}

// What every layer of one pass shares.
struct Decoder::Pass {
  const PackedBatch& batch;
  KvCache* cache;
  const HookTable& hooks;
  std::vector<ops::RopeTable> rope_tables;  // one for each distinct RoPE

  at::Tensor hook(HookPoint point, std::int64_t layer, at::Tensor activation) const {
    if (hooks.empty()) return activation;
    return hooks.apply(
        std::move(activation),
        {.point = point, .layer = layer, .position_ids = batch.position_ids, .cu_seqlens = batch.cu_seqlens});
  }
};

Decoder::Decoder(const ModelConfig& config, const DecoderWeights& weights) : config_(config), weights_(weights) {
  std::vector<const Rope*> distinct;
  for (const Block& block : config.layers) {
    std::size_t index = 0;
    while (index < distinct.size() && !(*distinct[index] == block.rope)) ++index;
    if (index == distinct.size()) {
      distinct.push_back(&block.rope);
      frequencies_.push_back(ops::rope_frequencies(block.rope));
    }
    frequencies_of_.push_back(index);
  }
}

at::Tensor Decoder::forward(const PackedBatch& batch, KvCache* cache, const HookTable& hooks) const {
  Pass pass{batch, cache, hooks, {}};
  for (const auto& frequencies : frequencies_) {
    pass.rope_tables.push_back(ops::rope_table(frequencies, batch.position_ids));
  }
  at::Tensor x = at::_ops::embedding::call(weights_.embed_tokens(), index_tensor(batch.ids), -1, false, false);
  x = pass.hook(HookPoint::embeddings, -1, std::move(x));
  for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(config_.layers.size()); ++layer) {
    const LayerWeights& weights = weights_.layer(layer);
    const float epsilon = config_.layers[static_cast<std::size_t>(layer)].norm.epsilon;

    at::Tensor branch = ops::rms_norm(x, weights[Role::attention_norm], epsilon);
    branch = attention(pass, layer, pass.hook(HookPoint::attention_norm, layer, std::move(branch)));
    x = pass.hook(HookPoint::attention_residual, layer, x.add(branch));

    branch = ops::rms_norm(x, weights[Role::mlp_norm], epsilon);
    branch = mlp(pass, layer, pass.hook(HookPoint::mlp_norm, layer, std::move(branch)));
    x = pass.hook(HookPoint::layer_output, layer, x.add(branch));
  }
  if (batch.logits_rows.empty()) return {};
  if (batch.logits_rows.size() < batch.ids.size()) x = x.index_select(0, index_tensor(batch.logits_rows));
  x = ops::rms_norm(x, weights_.final_norm(), config_.final_norm.epsilon);
  x = pass.hook(HookPoint::final_norm, -1, std::move(x));
  return pass.hook(HookPoint::logits, -1, ops::linear_f32(x, weights_.lm_head()));
}

at::Tensor Decoder::attention(Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  const LayerWeights& weights = weights_.layer(layer);
  const Block& block = config_.layers[static_cast<std::size_t>(layer)];
  const std::int64_t tokens = x.size(0);
  const auto project = [&](Role role, HookPoint point, std::int64_t heads) {
    const at::Tensor y =
        ops::linear(x, weights[role], weights.bias(role)).view({tokens, heads, block.attention.head_dim});
    // RoPE turns in place: what a hook has seen, and may keep, must stay as it was.
    return pass.hooks.empty() ? y : pass.hook(point, layer, y).clone();
  };
  const ops::RopeTable& table = pass.rope_tables[frequencies_of_[static_cast<std::size_t>(layer)]];
  const at::Tensor query =
      ops::apply_rope(project(Role::q_proj, HookPoint::query, block.attention.num_heads), table, block.rope.layout);
  const at::Tensor key = ops::apply_rope(project(Role::k_proj, HookPoint::key, block.attention.num_key_value_heads),
                                         table, block.rope.layout);
  const at::Tensor value = project(Role::v_proj, HookPoint::value, block.attention.num_key_value_heads);

  const at::Tensor context = pass.hook(HookPoint::attention_context, layer, attend(pass, layer, query, key, value));
  const at::Tensor y = ops::linear(context, weights[Role::o_proj], weights.bias(Role::o_proj));
  return pass.hook(HookPoint::attention_output, layer, y);
}

at::Tensor Decoder::attend(Pass& pass, std::int64_t layer, const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value) const {
  const Attention& choice = config_.layers[static_cast<std::size_t>(layer)].attention;
  const float scale = 1.0f / std::sqrt(static_cast<float>(choice.head_dim));
  const auto& cu_seqlens = pass.batch.cu_seqlens;
  const std::size_t count = cu_seqlens.size() - 1;
  const bool by_kernel = is_kernel_tensor(query) && !needs_autograd(query, key, value);
  const at::Tensor keys = key.contiguous();
  const at::Tensor values = value.contiguous();

  std::vector<at::Tensor> parts;          // of sequences that go through the library
  std::vector<ops::PagedSequence> paged;  // of those that our kernels take
  std::vector<KvCache::Pages> pages(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t begin = cu_seqlens[i];
    const std::int64_t rows = cu_seqlens[i + 1] - begin;
    KvCache::KeyValue seen{keys.narrow(0, begin, rows), values.narrow(0, begin, rows)};
    std::int64_t past = 0;
    if (pass.cache != nullptr) {
      past = pass.cache->length(pass.batch.sequences[i]);
      pass.cache->write(layer, pass.batch.sequences[i], seen.key, seen.value);
    }
    if (by_kernel) {
      pages[i] = pass.cache != nullptr ? pass.cache->pages(layer, pass.batch.sequences[i])
                                       : KvCache::Pages{{seen.key.const_data_ptr()}, {seen.value.const_data_ptr()}};
      paged.push_back({.key_pages = pages[i].keys,
                       .value_pages = pages[i].values,
                       .length = past + rows,
                       .first_row = begin,
                       .rows = rows});
    } else {
      const bool fresh = past == 0 && (pass.cache == nullptr || pass.cache->type() == key.scalar_type());
      if (!fresh) seen = pass.cache->gather(layer, pass.batch.sequences[i], past + rows, key.scalar_type());
      parts.push_back(ops::causal_attention(query.narrow(0, begin, rows), seen.key, seen.value, scale));
    }
  }
  if (!by_kernel) return count == 1 ? parts[0] : concatenate(parts, 0);
  const bool cached = pass.cache != nullptr;
  return ops::paged_attention(query, paged,
                              {.type = cached ? pass.cache->type() : key.scalar_type(),
                               .num_key_value_heads = choice.num_key_value_heads,
                               // Without a cache each sequence is one page, as long as any.
                               .page_tokens = cached ? pass.cache->page_tokens() : query.size(0)},
                              scale);
}

at::Tensor Decoder::mlp(Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  const LayerWeights& weights = weights_.layer(layer);
  const Mlp& choice = config_.layers[static_cast<std::size_t>(layer)].mlp;
  const at::Tensor gate = ops::linear(x, weights[Role::gate_proj], weights.bias(Role::gate_proj));
  const at::Tensor up = ops::linear(x, weights[Role::up_proj], weights.bias(Role::up_proj));
  const at::Tensor inner =
      pass.hook(HookPoint::mlp_activation, layer, ops::gated_activation(choice.activation, gate, up));
  const at::Tensor y = ops::linear(inner, weights[Role::down_proj], weights.bias(Role::down_proj));
  return pass.hook(HookPoint::mlp_output, layer, y);
}

}  // namespace powerhouse
