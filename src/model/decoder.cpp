#include <ATen/ops/embedding_ops.h>

#include <algorithm>

#include "model/decoder_pass.h"
#include "ops/attention.h"
#include "ops/checkpoint.h"
#include "ops/tensors.h"

namespace powerhouse {

void PackedBatch::add(std::span<const std::int64_t> tokens, std::int64_t first_position, std::int64_t rope_length) {
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  for (std::size_t i = 0; i < tokens.size(); ++i) position_ids.push_back(first_position + static_cast<std::int64_t>(i));
  cu_seqlens.push_back(static_cast<std::int64_t>(ids.size()));
  rope_lengths.push_back(rope_length > 0 ? rope_length : first_position + static_cast<std::int64_t>(tokens.size()));
}

namespace {

// x * scale with the scale rounded to x's type, as a Hugging Face model in that type holds it.
at::Tensor scaled(const at::Tensor& x, float scale) {
  if (scale == 1.0f) return x;
  return x.mul(x.scalar_type() == at::kBFloat16 ? static_cast<float>(c10::BFloat16(scale)) : scale);
}

}  // namespace

Decoder::Decoder(const ModelConfig& config, const DecoderWeights& weights) : config_(config), weights_(weights) {
  for (const Block& block : config.layers) {
    std::size_t index = 0;
    while (index < ropes_.size() && !(*ropes_[index].rope == block.rope)) ++index;
    if (index == ropes_.size() && block.position == PositionKind::rope) {
      ropes_.push_back({&block.rope, {}});
      if (!ops::depends_on_length(block.rope)) ropes_.back().frequencies = ops::rope_frequencies(block.rope, 0);
    }
    rope_of_.push_back(index);
    if (block.position == PositionKind::alibi) {
      const std::vector<float> slopes = ops::alibi_slopes(block.alibi, block.attention.num_heads, score_scale(block));
      const auto known = std::find(slopes_.begin(), slopes_.end(), slopes);
      slopes_of_.push_back(static_cast<std::size_t>(known - slopes_.begin()));
      if (known == slopes_.end()) slopes_.push_back(slopes);
    } else {
      slopes_of_.push_back(0);
    }
  }
}

at::Device Decoder::device() const { return weights_.outside().weight(Role::embed_tokens).device(); }

at::Tensor Decoder::embedding_rows(const Pass& pass, Role role, const at::Tensor& ids) const {
  const Weight& weight = weights_.outside().weight(role);
  if (const ModuleAdapters* adapters = pass.adapters(-1, role)) {
    return adapted_embedding(ids, weight, *adapters, pass.adapted());
  }
  // A plan has no use for the dense form, and a pass layer by layer no room for it.
  if (pass.arithmetic.planned() || pass.layerwise) return weight.rows(ids);
  if (pass.training != nullptr && is_quantized(weight)) return weight.rows(ids).to(pass.training->type);
  if (weight.device_blocks().defined()) return weight.rows(ids).to(weight.compute_type());
  return at::_ops::embedding::call(weight.tensor(), ids, -1, false, false);
}

at::Tensor Decoder::embed(const Pass& pass) const {
  at::Tensor x = scaled(embedding_rows(pass, Role::embed_tokens, pass.ids), config_.embedding_scale);
  if (const auto& rows = pass.batch.prompt_rows; !rows.empty()) {
    at::Tensor prompt = pass.arithmetic.adapters->prompt.to(x.scalar_type());
    if (!config_.scaled_lookup) prompt = scaled(prompt, config_.embedding_scale);
    const auto times = static_cast<std::int64_t>(rows.size()) / prompt.size(0);
    x = x.index_copy(0, index_tensor(rows, pass.device), prompt.repeat({times, 1}));
  }
  if (config_.embedding_size > 0) x = linear(pass, -1, Role::project_in, x);
  if (config_.learned_positions > 0) {
    x = x.add(embedding_rows(pass, Role::position_embeddings, pass.positions.add(config_.position_offset)));
  }
  if (config_.embedding_norm) x = norm(pass, -1, Role::embedding_norm, *config_.embedding_norm, x);
  return pass.hook(HookPoint::embeddings, -1, std::move(x));
}

at::Tensor Decoder::final_hidden(Pass& pass, at::Tensor x) const {
  const PackedBatch& batch = pass.batch;
  if (batch.logits_rows.size() < batch.ids.size()) x = x.index_select(0, pass.logits_rows);
  if (config_.final_norm) x = norm(pass, -1, Role::final_norm, *config_.final_norm, x);
  x = pass.hook(HookPoint::final_norm, -1, std::move(x));
  return config_.embedding_size > 0 ? linear(pass, -1, Role::project_out, x) : x;
}

at::Tensor Decoder::forward(const PackedBatch& batch, KvCache* cache, const HookTable& hooks,
                            const Arithmetic& arithmetic, DecodeGraphs* graphs) const {
  Pass pass{batch, cache, hooks, arithmetic, device()};
  pass.few_rows = takes_few_rows(pass);
  if (graphs != nullptr && may_replay(pass, *graphs)) return replayed(pass, *graphs);
  prepare(pass);
  return computed(pass);
}

at::Tensor Decoder::computed(Pass& pass) const {
  at::Tensor x = layers(pass);
  if (pass.batch.logits_rows.empty()) return {};
  if (at::Tensor logits = few_rows_logits(pass, x); logits.defined()) return logits;
  return pass.hook(HookPoint::logits, -1, logits(final_hidden(pass, std::move(x)), pass.arithmetic));
}

at::Tensor Decoder::hidden_states(const PackedBatch& batch, const HookTable& hooks, const Arithmetic& arithmetic,
                                  const TrainingPass& training) const {
  Pass pass{batch, nullptr, hooks, arithmetic, device(), &training};
  prepare(pass);
  return final_hidden(pass, layers(pass));
}

at::Tensor Decoder::layers(Pass& pass) const {
  at::Tensor x = embed(pass);
  const bool may_checkpoint = pass.training != nullptr && pass.hooks.empty();
  std::shared_ptr<KeptPass> kept;  // the backward pass comes when this one is over
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(config_.layers.size()); ++i) {
    if (may_checkpoint && i < pass.training->checkpointed_layers) {
      if (!kept) kept = std::make_shared<KeptPass>(pass);
      const auto piece = [this, kept, i](const at::Tensor& input, ops::PieceRun run) {
        return layer(kept->pass, i, input, run == ops::PieceRun::again ? Values::unread : Values::read);
      };
      x = ops::checkpoint(piece, x);
    } else {
      x = pass.hook(HookPoint::layer_output, i, layer(pass, i, x));
    }
  }
  return x;
}

// The wiring of all families.
at::Tensor Decoder::layer(Pass& pass, std::int64_t index, const at::Tensor& x, Values values) const {
  const Block& block = config_.layers[static_cast<std::size_t>(index)];
  if (pass.few_rows && joins_launches(block)) return few_rows_layer(pass, index, x);
  const bool before = block.norm_place == NormPlace::before || block.norm_place == NormPlace::around;
  const bool behind = block.norm_place == NormPlace::around || block.norm_place == NormPlace::after_branch;
  const auto own_norm = [&](Role role, HookPoint point, const at::Tensor& input) {
    return pass.hook(point, index, before ? norm(pass, index, role, block.norm, input) : input);
  };
  const auto branch = [&](Role role, HookPoint point, at::Tensor y) {
    if (behind) y = norm(pass, index, role, block.norm, y);
    return pass.hook(point, index, scaled(y, block.residual_multiplier));
  };
  const auto add = [&](Role role, const at::Tensor& input, const at::Tensor& normed, const at::Tensor& y) {
    const at::Tensor sum = (block.residual_from_norm ? normed : input).add(y);
    return block.norm_place == NormPlace::after_add ? norm(pass, index, role, block.norm, sum) : sum;
  };

  // Norms read what comes before them, and an MLP behind the attention reads that.
  const Values last = before && !behind ? values : Values::read;
  const Values attention_values = block.residual == Residual::sequential ? Values::read : last;
  at::Tensor normed = own_norm(Role::attention_norm, HookPoint::attention_norm, x);
  const at::Tensor attended =
      branch(Role::attention_post_norm, HookPoint::attention_output, attention(pass, index, normed, attention_values));
  const at::Tensor middle =
      pass.hook(HookPoint::attention_residual, index, add(Role::attention_norm, x, normed, attended));
  // Side by side, the MLP reads what the attention read.
  switch (block.residual) {
    case Residual::sequential: normed = own_norm(Role::mlp_norm, HookPoint::mlp_norm, middle); break;
    case Residual::parallel: normed = own_norm(Role::mlp_norm, HookPoint::mlp_norm, x); break;
    case Residual::parallel_shared_norm: normed = pass.hook(HookPoint::mlp_norm, index, normed); break;
  }
  const at::Tensor y = branch(Role::mlp_post_norm, HookPoint::mlp_output, mlp(pass, index, normed, last));
  return add(Role::mlp_norm, middle, normed, y);
}

}  // namespace powerhouse
