#include "model/parameter_slots.h"

namespace powerhouse {

Slot norm_slot(Role role, const Norm& norm, std::vector<std::int64_t> shape) {
  return {role, std::move(shape), norm.bias, norm.weight, norm.unit_offset};
}

namespace {

void add_attention(std::vector<Slot>& slots, const ModelConfig& config, const Block& block) {
  const std::int64_t hidden = config.hidden_size;
  const Attention& attention = block.attention;
  const std::int64_t query = attention.num_heads * attention.head_dim;
  const std::int64_t key = attention.num_key_value_heads * attention.head_dim;
  if (attention.qkv == QkvLayout::separate) {
    slots.push_back({Role::q_proj, {query, hidden}, attention.qkv_bias});
    slots.push_back({Role::k_proj, {key, hidden}, attention.qkv_bias});
    slots.push_back({Role::v_proj, {key, hidden}, attention.qkv_bias});
  } else {
    slots.push_back({Role::qkv_proj, {query + 2 * key, hidden}, attention.qkv_bias});
  }
  if (attention.qk_norm) {
    const auto shape = [&](std::int64_t heads) -> std::vector<std::int64_t> {
      switch (attention.qk_norm->scope) {
        case QkNormScope::head: return {attention.head_dim};
        case QkNormScope::each_head: return {heads, attention.head_dim};
        case QkNormScope::whole: break;
      }
      return {heads * attention.head_dim};
    };
    slots.push_back(norm_slot(Role::q_norm, attention.qk_norm->norm, shape(attention.num_heads)));
    slots.push_back(norm_slot(Role::k_norm, attention.qk_norm->norm, shape(attention.num_key_value_heads)));
  }
  if (attention.sinks) slots.push_back({Role::sinks, {attention.num_heads}});
  slots.push_back({Role::o_proj, {hidden, query}, attention.output_bias});
}

void add_mlp(std::vector<Slot>& slots, const ModelConfig& config, const Block& block) {
  const std::int64_t hidden = config.hidden_size;
  const Mlp& mlp = block.mlp;
  if (mlp.moe) {
    const std::int64_t inner = mlp.moe->intermediate_size;
    const std::int64_t shared = mlp.moe->shared_intermediate_size;
    slots.push_back({Role::router, {mlp.moe->num_experts, hidden}, mlp.moe->bias});
    slots.push_back({Role::experts_gate_up, {mlp.moe->num_experts, 2 * inner, hidden}, mlp.moe->bias});
    slots.push_back({Role::experts_down, {mlp.moe->num_experts, hidden, inner}, mlp.moe->bias});
    if (shared > 0) {
      slots.push_back({Role::shared_gate_proj, {shared, hidden}});
      slots.push_back({Role::shared_up_proj, {shared, hidden}});
      slots.push_back({Role::shared_down_proj, {hidden, shared}});
      slots.push_back({Role::shared_expert_gate, {1, hidden}});
    }
    return;
  }
  const std::int64_t inner = mlp.intermediate_size;
  if (mlp.fused_gate_up) {
    slots.push_back({Role::gate_up_proj, {2 * inner, hidden}, mlp.bias});
  } else {
    if (mlp.gated) slots.push_back({Role::gate_proj, {inner, hidden}, mlp.bias});
    slots.push_back({Role::up_proj, {inner, hidden}, mlp.bias});
  }
  slots.push_back({Role::down_proj, {hidden, inner}, mlp.bias});
}

}  // namespace

std::vector<Slot> layer_slots(const ModelConfig& config, const Block& block) {
  const std::vector<std::int64_t> hidden = {config.hidden_size};
  const bool own_norm = block.norm_place != NormPlace::after_branch;
  const bool post_norm = block.norm_place == NormPlace::around || block.norm_place == NormPlace::after_branch;
  std::vector<Slot> slots;
  if (own_norm) slots.push_back(norm_slot(Role::attention_norm, block.norm, hidden));
  add_attention(slots, config, block);
  if (post_norm) slots.push_back(norm_slot(Role::attention_post_norm, block.norm, hidden));
  if (own_norm && block.residual != Residual::parallel_shared_norm) {
    slots.push_back(norm_slot(Role::mlp_norm, block.norm, hidden));
  }
  add_mlp(slots, config, block);
  if (post_norm) slots.push_back(norm_slot(Role::mlp_post_norm, block.norm, hidden));
  return slots;
}

}  // namespace powerhouse
