#include "model/decoder.h"

#include <ATen/ops/embedding_ops.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "model/adapted_module.h"
#include "model/device_pages.h"
#include "model/exact_product.h"
#include "model/plan.h"
#include "ops/activation.h"
#include "ops/adapted_linear.h"
#include "ops/attention.h"
#include "ops/block_product.h"
#include "ops/checkpoint.h"
#include "ops/documents.h"
#include "ops/exact.h"
#include "ops/flash_attention.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "ops/tensors.h"

namespace powerhouse {

void PackedBatch::add(std::span<const std::int64_t> tokens, std::int64_t first_position, std::int64_t rope_length) {
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  for (std::size_t i = 0; i < tokens.size(); ++i) position_ids.push_back(first_position + static_cast<std::int64_t>(i));
  cu_seqlens.push_back(static_cast<std::int64_t>(ids.size()));
  rope_lengths.push_back(rope_length > 0 ? rope_length : first_position + static_cast<std::int64_t>(tokens.size()));
}

// What every layer of one pass shares.
struct Decoder::Pass {
  const PackedBatch& batch;
  KvCache* cache;
  const HookTable& hooks;
  const Arithmetic arithmetic;
  const TrainingPass* training = nullptr;
  std::vector<ops::RopeTable> rope_tables{};  // one for each distinct RoPE
  at::Device device = at::kCPU;
  ops::DeviceDocuments documents{};            // where attention is a device's, without a cache
  std::shared_ptr<const DevicePages> pages{};  // and with one
  // ALiBi's slopes of the last layer that was asked for them: as a rule those of all.
  at::Tensor slopes{};
  const Block* slopes_of = nullptr;

  const ModuleAdapters* adapters(std::int64_t layer, Role role) const {
    return arithmetic.adapters == nullptr ? nullptr : arithmetic.adapters->find(layer, role);
  }

  AdaptedPass adapted() const {
    return {.numerics = arithmetic.numerics, .dropout_key = arithmetic.dropout_key, .keep_blocks = training != nullptr};
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
      : batch(from.batch), training(*from.training), pass{batch,     nullptr,          no_hooks,    from.arithmetic,
                                                          &training, from.rope_tables, from.device, from.documents} {}
};

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
  }
}

at::Tensor Decoder::linear(const Pass& pass, std::int64_t layer, Role role, const at::Tensor& x) const {
  const LayerWeights& weights = layer < 0 ? weights_.outside() : weights_.layer(layer);
  if (const ModuleAdapters* adapters = pass.adapters(layer, role)) {
    return adapted_product(x, {weights.weight(role), weights.bias(role)}, *adapters, pass.adapted());
  }
  if (pass.arithmetic.planned()) return planned_linear(*pass.arithmetic.plan->matrix(layer, role), weights, role, x);
  if (pass.training != nullptr) {
    return ops::adapted_linear(x, weights.weight(role), weights.bias(role), {}, pass.arithmetic.numerics);
  }
  if (weights.weight(role).device_blocks().defined()) {
    if (needs_autograd(x)) return ops::adapted_linear(x, weights.weight(role), weights.bias(role), {});
    return ops::block_product(x, weights.weight(role), weights.bias(role));
  }
  return ops::linear(x, weights.matrix(role), weights.bias(role), pass.arithmetic.numerics);
}

// Maps that read the same rows: training makes them together where it can.
std::vector<at::Tensor> Decoder::linears(const Pass& pass, std::int64_t layer, std::span<const Role> roles,
                                         const at::Tensor& x) const {
  const LayerWeights& weights = weights_.layer(layer);
  std::vector<ops::LinearPart> parts;
  for (const Role role : roles) {
    if (pass.training == nullptr || pass.arithmetic.planned()) break;
    auto part = linear_part({weights.weight(role), weights.bias(role)}, pass.adapters(layer, role), pass.adapted());
    if (!part) break;
    parts.push_back(std::move(*part));
  }
  if (parts.size() == roles.size()) return ops::adapted_linears(x, parts, pass.arithmetic.numerics);
  std::vector<at::Tensor> out;
  for (const Role role : roles) out.push_back(linear(pass, layer, role, x));
  return out;
}

at::Tensor Decoder::norm(const Pass& pass, std::int64_t layer, Role role, const Norm& choice,
                         const at::Tensor& x) const {
  const LayerWeights& weights = layer < 0 ? weights_.outside() : weights_.layer(layer);
  if (const ModuleAdapters* own = pass.adapters(layer, role)) {
    const auto either = [](const at::Tensor& replaced, const at::Tensor& base) {
      return replaced.defined() ? replaced.to(base.scalar_type()) : base;
    };
    return ops::norm(x, choice, either(own->weight, weights[role]), either(own->bias, weights.bias(role)),
                     pass.arithmetic.numerics);
  }
  return ops::norm(x, choice, weights[role], weights.bias(role), pass.arithmetic.numerics);
}

void Decoder::make_rope_tables(Pass& pass) const {
  const PackedBatch& batch = pass.batch;
  for (const auto& [rope, frequencies] : ropes_) {
    ops::RopeTable table = ops::empty_rope_table(*rope, static_cast<std::int64_t>(batch.ids.size()));
    if (!frequencies.empty()) {
      ops::fill_rope_table(table, 0, *rope, frequencies, batch.position_ids);
    } else {
      for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
        const auto first = static_cast<std::size_t>(batch.cu_seqlens[i]);
        const auto rows = static_cast<std::size_t>(batch.cu_seqlens[i + 1]) - first;
        ops::fill_rope_table(table, batch.cu_seqlens[i], *rope, ops::rope_frequencies(*rope, batch.rope_lengths[i]),
                             std::span(batch.position_ids).subspan(first, rows));
      }
    }
    if (!pass.device.is_cpu()) table = {table.cos.to(pass.device), table.sin.to(pass.device)};
    pass.rope_tables.push_back(std::move(table));
  }
}

at::Tensor Decoder::embedding_rows(const Pass& pass, Role role, const at::Tensor& ids) const {
  const Weight& weight = weights_.outside().weight(role);
  if (const ModuleAdapters* adapters = pass.adapters(-1, role)) {
    return adapted_embedding(ids, weight, *adapters, pass.adapted());
  }
  // A plan has no use for the dense form.
  if (pass.arithmetic.planned()) return weight.rows(ids);
  if (pass.training != nullptr && is_quantized(weight)) return weight.rows(ids).to(pass.training->type);
  if (weight.device_blocks().defined()) return weight.rows(ids).to(weight.compute_type());
  return at::_ops::embedding::call(weight.tensor(), ids, -1, false, false);
}

at::Tensor Decoder::embed(const Pass& pass) const {
  at::Tensor x = scaled(embedding_rows(pass, Role::embed_tokens, index_tensor(pass.batch.ids, pass.device)),
                        config_.embedding_scale);
  if (const auto& rows = pass.batch.prompt_rows; !rows.empty()) {
    at::Tensor prompt = pass.arithmetic.adapters->prompt.to(x.scalar_type());
    if (!config_.scaled_lookup) prompt = scaled(prompt, config_.embedding_scale);
    const auto times = static_cast<std::int64_t>(rows.size()) / prompt.size(0);
    x = x.index_copy(0, index_tensor(rows, pass.device), prompt.repeat({times, 1}));
  }
  if (config_.embedding_size > 0) x = linear(pass, -1, Role::project_in, x);
  if (config_.learned_positions > 0) {
    const at::Tensor positions = index_tensor(pass.batch.position_ids, pass.device).add(config_.position_offset);
    x = x.add(embedding_rows(pass, Role::position_embeddings, positions));
  }
  if (config_.embedding_norm) x = norm(pass, -1, Role::embedding_norm, *config_.embedding_norm, x);
  return pass.hook(HookPoint::embeddings, -1, std::move(x));
}

at::Tensor Decoder::final_hidden(Pass& pass, at::Tensor x) const {
  const PackedBatch& batch = pass.batch;
  if (batch.logits_rows.size() < batch.ids.size()) x = x.index_select(0, index_tensor(batch.logits_rows, pass.device));
  if (config_.final_norm) x = norm(pass, -1, Role::final_norm, *config_.final_norm, x);
  x = pass.hook(HookPoint::final_norm, -1, std::move(x));
  return config_.embedding_size > 0 ? linear(pass, -1, Role::project_out, x) : x;
}

at::Tensor Decoder::logits(const at::Tensor& hidden, const Arithmetic& arithmetic,
                           std::optional<std::int64_t> first_row) const {
  const at::Tensor& bias = weights_.outside().bias(Role::lm_head);
  at::Tensor logits;
  const ModuleAdapters* adapters =
      arithmetic.adapters == nullptr ? nullptr : arithmetic.adapters->find(-1, Role::lm_head);
  if (adapters != nullptr) {
    logits = adapted_product_f32(hidden, {weights_.lm_head_weight(), bias}, *adapters,
                                 {.numerics = arithmetic.numerics,
                                  .dropout_key = arithmetic.dropout_key,
                                  .first_row = first_row.value_or(0),
                                  .keep_blocks = first_row.has_value()});
  } else if (arithmetic.planned()) {
    logits = ops::differentiable_as(multiply_rows(*arithmetic.plan->matrix(-1, Role::lm_head), hidden),
                                    needs_autograd(hidden),
                                    [&] { return ops::linear_f32(hidden, weights_.lm_head(), bias); });
  } else if (weights_.lm_head_weight().device_blocks().defined() && !needs_autograd(hidden)) {
    logits = ops::block_product_f32(hidden, weights_.lm_head_weight(), bias);
  } else {
    logits = ops::linear_f32(hidden, weights_.lm_head(), bias, arithmetic.numerics);
  }
  if (config_.final_softcap && arithmetic.numerics == Numerics::exact) {
    logits = ops::exact_softcap(logits, config_.logit_scale, *config_.final_softcap);
  } else {
    if (config_.logit_scale != 1.0f) logits = logits.mul(config_.logit_scale);
    if (config_.final_softcap) logits = logits.div(*config_.final_softcap).tanh().mul(*config_.final_softcap);
  }
  return logits;
}

at::Tensor Decoder::scores(const at::Tensor& hidden, const Arithmetic& arithmetic) const {
  const Weight& weight = weights_.outside().weight(Role::score);
  const at::Tensor no_bias;
  const ModuleAdapters* adapters =
      arithmetic.adapters == nullptr ? nullptr : arithmetic.adapters->find(-1, Role::score);
  if (adapters == nullptr) return ops::linear_f32(hidden, weight.tensor(), no_bias, arithmetic.numerics);
  return adapted_product_f32(hidden, {weight, no_bias}, *adapters,
                             {.numerics = arithmetic.numerics, .dropout_key = arithmetic.dropout_key});
}

std::optional<ops::VocabularyHead> Decoder::vocabulary_head(const Arithmetic& arithmetic) const {
  if (arithmetic.numerics == Numerics::exact) return std::nullopt;
  const BaseModule base{weights_.lm_head_weight(), weights_.outside().bias(Role::lm_head)};
  ops::VocabularyHead head = ops::vocabulary_head(base.weight, base.bias);
  if (const auto* const own = arithmetic.adapters ? arithmetic.adapters->find(-1, Role::lm_head) : nullptr) {
    const auto part = linear_part(base, own, {.keep_blocks = true});
    if (!part || !part->terms.empty()) return std::nullopt;
    head.bias = part->bias;
    if (part->matrix.defined()) head = {.matrix = part->matrix, .bias = part->bias};
  }
  head.logit_scale = config_.logit_scale;
  head.softcap = config_.final_softcap;
  return head;
}

at::Tensor Decoder::forward(const PackedBatch& batch, KvCache* cache, const HookTable& hooks,
                            const Arithmetic& arithmetic) const {
  Pass pass{batch, cache, hooks, arithmetic};
  at::Tensor x = layers(pass);
  if (batch.logits_rows.empty()) return {};
  return pass.hook(HookPoint::logits, -1, logits(final_hidden(pass, std::move(x)), arithmetic));
}

at::Tensor Decoder::hidden_states(const PackedBatch& batch, const HookTable& hooks, const Arithmetic& arithmetic,
                                  const TrainingPass& training) const {
  Pass pass{batch, nullptr, hooks, arithmetic, &training};
  return final_hidden(pass, layers(pass));
}

// What attention reads of a pass on a device, uploaded once for all layers.
void Decoder::prepare(Pass& pass) const {
  pass.device = weights_.outside().weight(Role::embed_tokens).device();
  make_rope_tables(pass);
  if (pass.device.is_cpu()) return;
  if (pass.cache != nullptr) {
    pass.pages = std::make_shared<const DevicePages>(*pass.cache, pass.batch.sequences, pass.batch.cu_seqlens);
  } else {
    pass.documents = ops::device_documents(pass.batch.cu_seqlens, pass.batch.prefixes, pass.device);
  }
}

at::Tensor Decoder::layers(Pass& pass) const {
  prepare(pass);
  at::Tensor x = embed(pass);
  const bool may_checkpoint = pass.training != nullptr && pass.hooks.empty();
  std::shared_ptr<KeptPass> kept;  // the backward pass comes when this one is over
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(config_.layers.size()); ++i) {
    if (may_checkpoint && i < pass.training->checkpointed_layers) {
      if (!kept) kept = std::make_shared<KeptPass>(pass);
      x = ops::checkpoint([this, kept, i](const at::Tensor& input) { return layer(kept->pass, i, input); }, x);
    } else {
      x = pass.hook(HookPoint::layer_output, i, layer(pass, i, x));
    }
  }
  return x;
}

// The wiring of all families.
at::Tensor Decoder::layer(Pass& pass, std::int64_t index, const at::Tensor& x) const {
  const Block& block = config_.layers[static_cast<std::size_t>(index)];
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

  at::Tensor normed = own_norm(Role::attention_norm, HookPoint::attention_norm, x);
  const at::Tensor attended =
      branch(Role::attention_post_norm, HookPoint::attention_output, attention(pass, index, normed));
  const at::Tensor middle =
      pass.hook(HookPoint::attention_residual, index, add(Role::attention_norm, x, normed, attended));
  // Side by side, the MLP reads what the attention read.
  switch (block.residual) {
    case Residual::sequential: normed = own_norm(Role::mlp_norm, HookPoint::mlp_norm, middle); break;
    case Residual::parallel: normed = own_norm(Role::mlp_norm, HookPoint::mlp_norm, x); break;
    case Residual::parallel_shared_norm: normed = pass.hook(HookPoint::mlp_norm, index, normed); break;
  }
  const at::Tensor y = branch(Role::mlp_post_norm, HookPoint::mlp_output, mlp(pass, index, normed));
  return add(Role::mlp_norm, middle, normed, y);
}

QueryKeyValue Decoder::project(const Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  const LayerWeights& weights = weights_.layer(layer);
  const Attention& choice = config_.layers[static_cast<std::size_t>(layer)].attention;
  const Arithmetic& arithmetic = pass.arithmetic;
  const bool fused = choice.qkv != QkvLayout::separate;
  const bool adapted = pass.adapters(layer, Role::qkv_proj) != nullptr;
  if (!fused && pass.training != nullptr) {
    constexpr std::array kRoles = {Role::q_proj, Role::k_proj, Role::v_proj};
    const std::vector<at::Tensor> all = linears(pass, layer, kRoles, x);
    return powerhouse::project(choice, [&](Role role) {
      return all[role == Role::q_proj ? 0 : role == Role::k_proj ? 1 : 2];
    });
  }
  if (!arithmetic.planned() || !fused || adapted) {
    return powerhouse::project(choice, [&](Role role) { return linear(pass, layer, role, x); });
  }
  QueryKeyValue heads;
  if (needs_autograd(x)) {
    heads = powerhouse::project(choice,
                                [&](Role role) { return ops::linear(x, weights.matrix(role), weights.bias(role)); });
  }
  const auto take = [&](Role role, at::Tensor& part, std::int64_t count) {
    at::Tensor value = multiply_rows(*arithmetic.plan->matrix(layer, role), x);
    if (choice.clip_qkv) value = value.clamp(-*choice.clip_qkv, *choice.clip_qkv);
    value = value.view({x.size(0), count, choice.head_dim});
    part = part.defined() ? ops::with_value(part, value) : value;
  };
  take(Role::q_proj, heads.query, choice.num_heads);
  take(Role::k_proj, heads.key, choice.num_key_value_heads);
  take(Role::v_proj, heads.value, choice.num_key_value_heads);
  return heads;
}

at::Tensor Decoder::attention(Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  const LayerWeights& weights = weights_.layer(layer);
  const Block& block = config_.layers[static_cast<std::size_t>(layer)];
  const Numerics numerics = pass.arithmetic.numerics;
  QueryKeyValue heads = project(pass, layer, x);
  const auto& qk_norm = block.attention.qk_norm;
  if (qk_norm && !qk_norm->after_rope) norm_heads(*qk_norm, weights, heads, numerics);
  const auto see = [&](HookPoint point, at::Tensor& y) {
    // RoPE turns in place: what a hook has seen, and may keep, must stay as it was.
    if (!pass.hooks.empty()) y = pass.hook(point, layer, y).clone();
  };
  see(HookPoint::query, heads.query);
  see(HookPoint::key, heads.key);
  see(HookPoint::value, heads.value);
  if (block.position == PositionKind::rope) {
    const ops::RopeTable& table = pass.rope_tables[rope_of_[static_cast<std::size_t>(layer)]];
    heads.query = ops::apply_rope(heads.query, table, block.rope.layout, numerics);
    heads.key = ops::apply_rope(heads.key, table, block.rope.layout, numerics);
  }
  if (qk_norm && qk_norm->after_rope) norm_heads(*qk_norm, weights, heads, numerics);
  const at::Tensor context = attend(pass, layer, heads.query, heads.key, heads.value);
  return linear(pass, layer, Role::o_proj, pass.hook(HookPoint::attention_context, layer, context));
}

at::Tensor Decoder::slopes_on_device(Pass& pass, const Block& block, float scale) {
  const Block* const last = pass.slopes_of;
  const bool same = last != nullptr && last->alibi == block.alibi && last->attention == block.attention;
  if (!same) {
    const std::vector<float> slopes = ops::alibi_slopes(block.alibi, block.attention.num_heads, scale);
    pass.slopes = float_tensor(slopes, pass.device);
    pass.slopes_of = &block;
  }
  return pass.slopes;
}

at::Tensor Decoder::attend(Pass& pass, std::int64_t layer, const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value) const {
  const Block& block = config_.layers[static_cast<std::size_t>(layer)];
  const Attention& choice = block.attention;
  const auto& cu_seqlens = pass.batch.cu_seqlens;
  const std::size_t count = cu_seqlens.size() - 1;
  ops::AttentionRule rule{
      .scale = choice.scale.value_or(1.0f / std::sqrt(static_cast<float>(choice.head_dim))),
      .window = choice.sliding_window.value_or(0),
      .softcap = choice.softcap.value_or(0.0f),
      .alibi = block.position == PositionKind::alibi ? std::optional(block.alibi) : std::nullopt,
      .sinks = choice.sinks ? weights_.layer(layer)[Role::sinks] : at::Tensor(),
  };
  if (rule.alibi && !pass.device.is_cpu()) rule.device_slopes = slopes_on_device(pass, block, rule.scale);
  const bool exact = pass.arithmetic.numerics == Numerics::exact;
  const at::Tensor prefix =
      pass.cache == nullptr && pass.arithmetic.adapters != nullptr ? pass.arithmetic.adapters->prefix : at::Tensor();
  const bool autograd = needs_autograd(query, key, value, prefix);
  // A pass that scores takes the kernels of one that trains, so that a policy equals the reference that it began as.
  const bool on_device = !pass.device.is_cpu();
  if ((autograd || pass.training != nullptr || on_device) && !exact && pass.cache == nullptr && !prefix.defined()) {
    return ops::flash_attention(query, key, value, cu_seqlens, rule, pass.batch.prefixes, pass.documents);
  }
  if (pass.pages != nullptr && !autograd) {
    pass.pages->write(layer, key, value);
    return pass.pages->attend(layer, query, key, value, rule);
  }
  const bool by_kernel = exact || (is_kernel_tensor(query) && !autograd && ops::kernels_take(rule));
  const bool by_library = autograd || !by_kernel;
  const at::Tensor keys = key.contiguous();
  const at::Tensor values = value.contiguous();

  std::int64_t longest_past = 0;
  std::vector<at::Tensor> parts;          // of sequences that go through the library
  std::vector<ops::PagedSequence> paged;  // of those that our kernels take
  std::vector<KvCache::Pages> pages(count);
  std::vector<KvCache::KeyValue> kept;  // of prefixes, as long as pages point to them
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t begin = cu_seqlens[i];
    const std::int64_t rows = cu_seqlens[i + 1] - begin;
    KvCache::KeyValue seen{keys.narrow(0, begin, rows), values.narrow(0, begin, rows)};
    std::int64_t past = 0;
    if (const ops::RowRange before = ops::prefix_rows(cu_seqlens, pass.batch.prefixes, i); before.count > 0) {
      past = before.count;
      seen = {concatenate({keys.narrow(0, before.first, past), seen.key}, 0),
              concatenate({values.narrow(0, before.first, past), seen.value}, 0)};
      kept.push_back(seen);
    }
    if (pass.cache != nullptr) {
      past = pass.cache->length(pass.batch.sequences[i]);
      pass.cache->write(layer, pass.batch.sequences[i], seen.key, seen.value);
    } else if (prefix.defined()) {
      const at::Tensor own = prefix.select(1, layer).to(key.scalar_type());
      past += own.size(0);
      seen = {concatenate({own.select(1, 0), seen.key}, 0), concatenate({own.select(1, 1), seen.value}, 0)};
      kept.push_back(seen);
    }
    if (by_library) {
      KvCache::KeyValue all = seen;
      const bool fresh =
          pass.cache == nullptr || (past == 0 && pass.cache->format() == to_block_format(key.scalar_type()));
      if (!fresh) all = pass.cache->gather(layer, pass.batch.sequences[i], past + rows, key.scalar_type());
      parts.push_back(ops::causal_attention(query.narrow(0, begin, rows), all.key, all.value, rule));
    }
    if (by_kernel) {
      pages[i] = pass.cache != nullptr ? pass.cache->pages(layer, pass.batch.sequences[i])
                                       : KvCache::Pages{{seen.key.const_data_ptr()}, {seen.value.const_data_ptr()}};
      longest_past = std::max(longest_past, past);
      paged.push_back({.key_pages = pages[i].keys,
                       .value_pages = pages[i].values,
                       .length = past + rows,
                       .first_row = begin,
                       .rows = rows});
    }
  }
  at::Tensor differentiable;
  if (by_library) differentiable = count == 1 ? parts[0] : concatenate(parts, 0);
  if (!by_kernel) return differentiable;
  const bool cached = pass.cache != nullptr;
  const at::Tensor attended =
      ops::paged_attention(query.detach(), paged,
                           {.type = cached ? pass.cache->format() : to_block_format(key.scalar_type()),
                            .num_key_value_heads = choice.num_key_value_heads,
                            // Without a cache each sequence is one page, as long as any.
                            .page_tokens = cached ? pass.cache->page_tokens() : query.size(0) + longest_past,
                            .page_offset = cached ? pass.cache->page_offset(layer) : 0},
                           rule, pass.arithmetic.numerics);
  return by_library ? ops::with_value(differentiable, attended) : attended;
}

at::Tensor Decoder::mlp(Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  const Mlp& choice = config_.layers[static_cast<std::size_t>(layer)].mlp;
  if (choice.moe) return mixture(pass, layer, x);
  const Numerics numerics = pass.arithmetic.numerics;
  at::Tensor inner;
  if (choice.fused_gate_up) {
    const at::Tensor both = linear(pass, layer, Role::gate_up_proj, x);
    const std::int64_t size = choice.intermediate_size;
    inner = ops::gated_activation(choice.activation, both.narrow(1, 0, size), both.narrow(1, size, size), numerics);
  } else if (choice.gated) {
    constexpr std::array kRoles = {Role::gate_proj, Role::up_proj};
    const std::vector<at::Tensor> both = linears(pass, layer, kRoles, x);
    inner = ops::gated_activation(choice.activation, both[0], both[1], numerics);
  } else {
    inner = ops::activate(choice.activation, linear(pass, layer, Role::up_proj, x), numerics);
  }
  return linear(pass, layer, Role::down_proj, pass.hook(HookPoint::mlp_activation, layer, inner));
}

ops::Experts Decoder::experts_of(const Pass& pass, std::int64_t layer) const {
  const LayerWeights& weights = weights_.layer(layer);
  const ModuleAdapters* gate_up = pass.adapters(layer, Role::experts_gate_up);
  const ModuleAdapters* down = pass.adapters(layer, Role::experts_down);
  const bool kept = pass.training != nullptr && (is_quantized(weights.weight(Role::experts_gate_up)) ||
                                                 is_quantized(weights.weight(Role::experts_down)));
  if (gate_up != nullptr || down != nullptr || (kept && !pass.arithmetic.planned())) {
    const Moe& moe = *config_.layers[static_cast<std::size_t>(layer)].mlp.moe;
    return adapted_experts(weights, moe, gate_up, down, pass.adapted());
  }
  if (!pass.arithmetic.planned()) {
    return {.gate_up = weights.matrix(Role::experts_gate_up),
            .gate_up_bias = weights.bias(Role::experts_gate_up),
            .down = weights.matrix(Role::experts_down),
            .down_bias = weights.bias(Role::experts_down)};
  }
  const PlanMoe& moe = pass.arithmetic.plan->moe(layer);
  const Moe& choice = *config_.layers[static_cast<std::size_t>(layer)].mlp.moe;
  // A plan's rows are gate, then up.
  const auto by = [&weights](const std::vector<PlanMatrix>& matrices, Role role, bool interleaved) {
    return [&weights, &matrices, role, interleaved](std::int64_t expert, const at::Tensor& x) {
      return ops::differentiable_as(
          multiply_rows(matrices[static_cast<std::size_t>(expert)], x), needs_autograd(x), [&] {
            const at::Tensor& bias = weights.bias(role);
            const at::Tensor y =
                ops::linear(x, weights.matrix(role).select(0, expert), bias.defined() ? bias.select(0, expert) : bias);
            return interleaved ? y.unflatten(1, {y.size(1) / 2, 2}).transpose(1, 2).flatten(1, 2) : y;
          });
    };
  };
  return {.gate_up_by = by(moe.ups, Role::experts_gate_up, choice.interleaved_gate_up),
          .down_by = by(moe.downs, Role::experts_down, false)};
}

at::Tensor Decoder::mixture(Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  const Mlp& choice = config_.layers[static_cast<std::size_t>(layer)].mlp;
  const Numerics numerics = pass.arithmetic.numerics;
  const at::Tensor router_logits = pass.hook(HookPoint::router_logits, layer, linear(pass, layer, Role::router, x));
  const ops::Routing routing = ops::route(*choice.moe, router_logits, numerics);
  const ops::Experts experts = experts_of(pass, layer);
  if (choice.moe->shared_intermediate_size == 0) {
    return ops::mixture_of_experts(x, routing, choice, experts, {}, numerics);
  }
  const at::Tensor shared =
      linear(pass, layer, Role::shared_down_proj,
             ops::gated_activation(choice.activation, linear(pass, layer, Role::shared_gate_proj, x),
                                   linear(pass, layer, Role::shared_up_proj, x), numerics));
  const at::Tensor gate = linear(pass, layer, Role::shared_expert_gate, x);
  // A plan begins with what every token sees.
  if (numerics == Numerics::exact) {
    const at::Tensor start = ops::exact_shared_share(gate).mul(shared);
    return ops::mixture_of_experts(x, routing, choice, experts, start, numerics);
  }
  return ops::mixture_of_experts(x, routing, choice, experts).add(gate.sigmoid().mul(shared));
}

}  // namespace powerhouse
