#include "model/projections.h"

#include "ops/norm.h"

namespace powerhouse {
namespace {

at::Tensor clamped(const Attention& choice, const at::Tensor& x) {
  return choice.clip_qkv ? x.clamp(-*choice.clip_qkv, *choice.clip_qkv) : x;
}

QueryKeyValue split(const Attention& choice, const at::Tensor& fused) {
  const std::int64_t tokens = fused.size(0);
  const std::int64_t heads = choice.num_heads;
  const std::int64_t kv_heads = choice.num_key_value_heads;
  const std::int64_t dim = choice.head_dim;
  switch (choice.qkv) {
    case QkvLayout::separate: break;
    case QkvLayout::concatenated: {
      const at::Tensor all = fused.view({tokens, heads + 2 * kv_heads, dim});
      return {all.narrow(1, 0, heads), all.narrow(1, heads, kv_heads), all.narrow(1, heads + kv_heads, kv_heads)};
    }
    case QkvLayout::per_head: {
      const at::Tensor all = fused.view({tokens, heads, 3, dim});
      return {all.select(2, 0), all.select(2, 1), all.select(2, 2)};
    }
    case QkvLayout::grouped: {
      const std::int64_t group = heads / kv_heads;
      const at::Tensor all = fused.view({tokens, kv_heads, group + 2, dim});
      return {all.narrow(2, 0, group).reshape({tokens, heads, dim}), all.select(2, group), all.select(2, group + 1)};
    }
  }
  return {};
}

at::Tensor normed(const QkNorm& choice, const LayerWeights& weights, Role role, const at::Tensor& x,
                  Numerics numerics) {
  if (choice.scope != QkNormScope::whole) return ops::norm(x, choice.norm, weights[role], weights.bias(role), numerics);
  return ops::norm(x.flatten(1, 2), choice.norm, weights[role], weights.bias(role), numerics).view(x.sizes());
}

}  // namespace

std::int64_t fused_row(const Attention& attention, int part, std::int64_t i) {
  const std::int64_t dim = attention.head_dim;
  const std::int64_t head = i / dim;
  const std::int64_t heads = attention.num_heads;
  const std::int64_t kv_heads = attention.num_key_value_heads;
  std::int64_t place = 0;  // of the head among all that the matrix has
  switch (attention.qkv) {
    case QkvLayout::separate: return i;
    case QkvLayout::concatenated: place = head + (part > 0 ? heads : 0) + (part > 1 ? kv_heads : 0); break;
    case QkvLayout::per_head: place = 3 * head + part; break;
    case QkvLayout::grouped: {
      const std::int64_t group = heads / kv_heads;
      place = part == 0 ? head / group * (group + 2) + head % group : head * (group + 2) + group + part - 1;
      break;
    }
  }
  return place * dim + i % dim;
}

QueryKeyValue project(const Attention& choice, const std::function<at::Tensor(Role role)>& product) {
  const auto linear = [&](Role role) { return clamped(choice, product(role)); };
  QueryKeyValue out;
  if (choice.qkv == QkvLayout::separate) {
    const auto heads = [&](Role role, std::int64_t count) {
      const at::Tensor y = linear(role);
      return y.view({y.size(0), count, choice.head_dim});
    };
    out = {heads(Role::q_proj, choice.num_heads), heads(Role::k_proj, choice.num_key_value_heads),
           heads(Role::v_proj, choice.num_key_value_heads)};
  } else {
    out = split(choice, linear(Role::qkv_proj));
  }
  return out;
}

void norm_heads(const QkNorm& choice, const LayerWeights& weights, QueryKeyValue& heads, Numerics numerics) {
  heads.query = normed(choice, weights, Role::q_norm, heads.query, numerics);
  heads.key = normed(choice, weights, Role::k_norm, heads.key, numerics);
}

}  // namespace powerhouse
