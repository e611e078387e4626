#include "calibration/awq_groups.h"

#include <algorithm>

#include "model/projections.h"

namespace powerhouse {
namespace {

std::vector<std::int64_t> range(std::int64_t first, std::int64_t count, std::int64_t step = 1) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) rows[static_cast<std::size_t>(i)] = first + i * step;
  return rows;
}

class Wiring {
 public:
  Wiring(const Block& block, const std::vector<LinearTarget>& targets) : block_(block), targets_(targets) {}

  std::vector<ScaleGroup> groups() {
    // What a norm makes must go to these maps alone.
    const bool norms = block_.norm.weight && !block_.residual_from_norm &&
                       (block_.norm_place == NormPlace::before || block_.norm_place == NormPlace::around);
    const bool shared = block_.residual == Residual::parallel_shared_norm;
    if (norms) {
      ScaleGroup attention{.feed = Role::attention_norm, .inspected = shared ? Inspected::both : Inspected::attention};
      add(attention, {Role::q_proj, Role::k_proj, Role::v_proj, Role::qkv_proj});
      if (shared) add_mlp(attention);
      groups_.push_back(std::move(attention));
    }
    add_values();
    if (norms && !shared) {
      ScaleGroup mlp{.feed = Role::mlp_norm, .inspected = Inspected::mlp};
      add_mlp(mlp);
      groups_.push_back(std::move(mlp));
    }
    add_downs();
    return std::move(groups_);
  }

 private:
  void add(ScaleGroup& group, std::initializer_list<Role> roles) const {
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      if (std::find(roles.begin(), roles.end(), targets_[i].role()) != roles.end()) group.targets.push_back(i);
    }
  }

  void add_mlp(ScaleGroup& group) const {
    add(group, {Role::gate_proj, Role::up_proj, Role::gate_up_proj, Role::shared_gate_proj, Role::shared_up_proj,
                Role::experts_gate_up});
    if (!block_.mlp.moe) return;
    group.others.push_back(Role::router);
    if (block_.mlp.moe->shared_intermediate_size > 0) group.others.push_back(Role::shared_expert_gate);
  }

  std::int64_t find(Role role, std::int64_t expert = -1) const {
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      if (targets_[i].role() == role && targets_[i].expert == expert) return static_cast<std::int64_t>(i);
    }
    return -1;
  }

  void add_single(Role feed, std::vector<std::int64_t> rows, Role target, std::int64_t expert = -1) {
    const std::int64_t place = find(target, expert);
    if (place < 0 || find(feed, expert) < 0) return;
    groups_.push_back({.feed = feed,
                       .rows = std::move(rows),
                       .expert = expert,
                       .targets = {static_cast<std::size_t>(place)},
                       .inspected = Inspected::map});
  }

  // What attention makes of a head's values is linear in them.
  void add_values() {
    const Attention& attention = block_.attention;
    if (attention.num_heads != attention.num_key_value_heads || attention.clip_qkv) return;
    const std::int64_t count = attention.num_heads * attention.head_dim;
    if (attention.qkv == QkvLayout::separate) {
      add_single(Role::v_proj, range(0, count), Role::o_proj);
      return;
    }
    std::vector<std::int64_t> rows = range(0, count);
    for (std::int64_t& row : rows) row = fused_row(attention, 2, row);
    add_single(Role::qkv_proj, std::move(rows), Role::o_proj);
  }

  // activation(gate) * up is linear in up; relu(up) is, for factors above zero.
  void add_downs() {
    const Mlp& mlp = block_.mlp;
    const std::int64_t inner = mlp.intermediate_size;
    if (!mlp.moe) {
      if (mlp.fused_gate_up) {
        add_single(Role::gate_up_proj, range(inner, inner), Role::down_proj);
      } else if (mlp.gated || mlp.activation == Activation::relu) {
        add_single(Role::up_proj, range(0, inner), Role::down_proj);
      }
      return;
    }
    const Moe& moe = *mlp.moe;
    if (moe.shared_intermediate_size > 0) {
      add_single(Role::shared_up_proj, range(0, moe.shared_intermediate_size), Role::shared_down_proj);
    }
    if (moe.clamp || moe.up_offset != 0.0f) return;
    const std::int64_t size = moe.intermediate_size;
    for (std::int64_t expert = 0; expert < moe.num_experts; ++expert) {
      add_single(Role::experts_gate_up, moe.interleaved_gate_up ? range(1, size, 2) : range(size, size),
                 Role::experts_down, expert);
    }
  }

  const Block& block_;
  const std::vector<LinearTarget>& targets_;
  std::vector<ScaleGroup> groups_;
};

}  // namespace

std::vector<ScaleGroup> scale_groups(const Block& block, const std::vector<LinearTarget>& targets) {
  return Wiring(block, targets).groups();
}

}  // namespace powerhouse
