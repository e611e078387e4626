#include <algorithm>
#include <array>
#include <cmath>

#include "model/decoder_pass.h"
#include "model/exact_product.h"
#include "model/plan.h"
#include "ops/attention.h"
#include "ops/exact.h"
#include "ops/flash_attention.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse {

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

at::Tensor Decoder::attention(Pass& pass, std::int64_t layer, const at::Tensor& x, Values values) const {
  return linear(pass, layer, Role::o_proj, attention_context(pass, layer, project(pass, layer, x)), values);
}

at::Tensor Decoder::attention_context(Pass& pass, std::int64_t layer, QueryKeyValue heads) const {
  const LayerWeights& weights = weights_.layer(layer);
  const Block& block = config_.layers[static_cast<std::size_t>(layer)];
  const Numerics numerics = pass.arithmetic.numerics;
  const auto& qk_norm = block.attention.qk_norm;
  if (qk_norm && !qk_norm->after_rope) norm_heads(*qk_norm, weights, heads, numerics);
  const auto see = [&](HookPoint point, at::Tensor& y) {
    // RoPE turns in place: what a hook has seen, and may keep, must stay as it was.
    if (!pass.hooks.empty()) y = pass.hook(point, layer, y).clone();
  };
  see(HookPoint::query, heads.query);
  see(HookPoint::key, heads.key);
  see(HookPoint::value, heads.value);
  bool written = false;  // to the cache
  if (block.position == PositionKind::rope) {
    const ops::RopeTable& table = pass.rope_tables[rope_of_[static_cast<std::size_t>(layer)]];
    const RopeLayout layout = block.rope.layout;
    const bool joined = pass.few_rows && joins_launches(block) && pass.pages != nullptr;
    written = joined && !(qk_norm && qk_norm->after_rope) &&
              pass.pages->turn_and_write(layer, heads.query, heads.key, heads.value, table, layout);
    if (!written) {
      heads.query = ops::apply_rope(heads.query, table, layout, numerics);
      heads.key = ops::apply_rope(heads.key, table, layout, numerics);
    }
  }
  if (qk_norm && qk_norm->after_rope) norm_heads(*qk_norm, weights, heads, numerics);
  const at::Tensor context = attend(pass, layer, heads.query, heads.key, heads.value, written);
  return pass.hook(HookPoint::attention_context, layer, context);
}

at::Tensor Decoder::attend(Pass& pass, std::int64_t layer, const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value, bool written) const {
  const Block& block = config_.layers[static_cast<std::size_t>(layer)];
  const Attention& choice = block.attention;
  const auto& cu_seqlens = pass.batch.cu_seqlens;
  const std::size_t count = cu_seqlens.size() - 1;
  ops::AttentionRule rule{
      .scale = score_scale(block),
      .window = choice.sliding_window.value_or(0),
      .softcap = choice.softcap.value_or(0.0f),
      .alibi = block.position == PositionKind::alibi ? std::optional(block.alibi) : std::nullopt,
      .sinks = choice.sinks ? weights_.layer(layer)[Role::sinks] : at::Tensor(),
  };
  if (rule.alibi && !pass.device.is_cpu())
    rule.device_slopes = pass.slopes[slopes_of_[static_cast<std::size_t>(layer)]];
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
    if (!written) pass.pages->write(layer, key, value);
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
          pass.cache == nullptr || (past == 0 && pass.cache->formats() == to_block_format(key.scalar_type()));
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
  const KvCache::Formats formats = cached ? pass.cache->formats() : to_block_format(key.scalar_type());
  const at::Tensor attended =
      ops::paged_attention(query.detach(), paged,
                           {.key_type = formats.keys,
                            .value_type = formats.values,
                            .num_key_value_heads = choice.num_key_value_heads,
                            // Without a cache each sequence is one page, as long as any.
                            .page_tokens = cached ? pass.cache->page_tokens() : query.size(0) + longest_past,
                            .page_offset = cached ? pass.cache->page_offset(layer) : 0},
                           rule, pass.arithmetic.numerics);
  return by_library ? ops::with_value(differentiable, attended) : attended;
}

}  // namespace powerhouse
